package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// putPackagesBack takes away the packages that came, and puts back those that changed.
func (t *trace) putPackagesBack(ctx context.Context, m Machine, manager packager, lost bool) error {
	if t.There == nil {
		// Purging may take along what is not the package's.
		now, err := look(m)
		if err != nil {
			return err
		}
		maps.DeleteFunc(now, func(p string, _ *found) bool { return !strings.HasPrefix(p, "/etc/") || t.came(p) })
		if err := t.saveAll(m, now); err != nil {
			return err
		}
		t.There = now
		for name := range t.Brought {
			files, err := manager.files(ctx, m, name)
			if err != nil {
				return err
			}
			for _, file := range files {
				if strings.HasSuffix(path.Dir(file), "/systemd/system") && !strings.Contains(file, "@.") { // a template is no unit
					t.Units = append(t.Units, path.Base(file))
				}
			}
		}
		if err := t.write(m); err != nil {
			return err
		}
	}
	all, err := manager.table(ctx, m)
	if err != nil {
		return err
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(t.Changed)) {
		version := t.Changed[name]
		if is := all[name]; is.installed() && is.Version == version || lost && name == t.name {
			continue
		}
		if file := t.kept(m, name, version); file != "" {
			files = append(files, file)
		} else if err := manager.install(ctx, m, name, version); err != nil {
			return fmt.Errorf("put %s %s back: %w", name, version, err)
		}
	}
	if len(files) > 0 {
		if err := manager.installFiles(ctx, m, files...); err != nil {
			return err
		}
	}
	if _, came := t.Brought[t.name]; came {
		if err := hold(ctx, m, manager, t.name, false); err != nil {
			return err
		}
	}
	var purge, remove []string
	for _, name := range slices.Sorted(maps.Keys(t.Brought)) {
		switch is, there := all[name]; {
		case !there:
		case !t.Brought[name] && !t.Older:
			purge = append(purge, name)
		case is.installed():
			remove = append(remove, name)
		}
	}
	for _, list := range [][]string{remove, purge} {
		if len(list) > 0 {
			if err := manager.remove(ctx, m, len(purge) > 0 && list[0] == purge[0], list...); err != nil {
				return err
			}
		}
	}
	return hold(ctx, m, manager, t.name, t.Held)
}

// putUnitsBack has systemd forget the units that went, and leaves the targets that only they reached.
func (t *trace) putUnitsBack(ctx context.Context, m Machine) error {
	for _, name := range slices.Sorted(slices.Values(t.Units)) {
		s, err := m.Units().State(ctx, name)
		if err != nil {
			return err
		}
		if s.Unsettled && !s.Exists {
			if err := m.Units().Stop(ctx, name, false); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Reached)) {
		if t.Reached[name] {
			continue
		}
		s, err := m.Units().State(ctx, name)
		if err == nil && s.Active {
			err = m.Units().Stop(ctx, name, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// came says whether a path, or a directory above it, is new since the package was installed.
func (t *trace) came(p string) bool {
	for ; p != "/"; p = path.Dir(p) {
		if was, differs := t.Before[p]; differs && was == nil {
			return true
		}
	}
	return false
}

// putFilesBack brings the files back that installing changed, and removes those that it made, as far as nobody changed them since.
func (t *trace) putFilesBack(m Machine) error {
	paths := slices.Sorted(maps.Keys(t.After))
	var errs []error
	do := func(p string, how func(Machine, string) error) { errs = append(errs, how(m, p)) }
	for _, p := range slices.Backward(paths) { // what is new, the innermost first
		if t.Before[p] == nil && backedUp(p) == "" {
			do(p, t.takeAway)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(t.There)) {
		if !exists(m, p) {
			do(p, func(m Machine, p string) error { return t.make(m, p, t.There[p]) })
		}
	}
	for _, p := range paths {
		if t.Before[p] != nil && backedUp(p) == "" {
			do(p, t.bringBack)
		}
	}
	for _, p := range slices.Concat(paths, t.moreBackups(m)) { // last, because they follow what they are backups of
		if backedUp(p) != "" {
			do(p, t.backup)
		}
	}
	return errors.Join(errs...)
}

// takeAway removes what was not there before.
func (t *trace) takeAway(m Machine, p string) error {
	now, err := lookAt(m, p)
	after := t.After[p]
	if err != nil || now == nil || after == nil || now.kind() != after.kind() {
		return err
	}
	switch {
	case now.kind() == unix.S_IFDIR && shallow(p):
		return removeTree(m, p)
	case now.kind() == unix.S_IFDIR:
		if empty, err := isEmpty(m, p); err != nil || !empty {
			return err // somebody put something there
		}
		return removeDir(m, p)
	case shallow(p) || now.is(after):
		return remove(m, p)
	}
	return nil
}

// bringBack makes a path what it was, unless somebody changed it since.
func (t *trace) bringBack(m Machine, p string) error {
	now, err := lookAt(m, p)
	was := t.Before[p]
	if err != nil || now.is(was) {
		return err
	}
	if after := t.After[p]; now != nil && after != nil && shallow(p) {
		now.Empty = after.Empty // what is in it comes and goes
	}
	// Who put the packages back may have written another version's: then it counts how it was before that.
	if now.is(t.After[p]) || t.There[p] != nil && t.There[p].is(t.After[p]) {
		return t.make(m, p, was)
	}
	if !isAccounts(p) || now == nil || t.After[p] == nil {
		return nil
	}
	rest, err := t.withoutOurs(m, p)
	if err != nil {
		return err
	}
	return writeFile(m, p, now.attrs(), func(w io.Writer) error { _, err := w.Write(rest); return err })
}

// backup brings a backup back where what it is a backup of is as it was.
func (t *trace) backup(m Machine, p string) error {
	now, err := lookAt(m, p)
	if err != nil || now.is(t.Before[p]) {
		return err
	}
	original, err := lookAt(m, backedUp(p))
	if err != nil || !original.is(t.Before[backedUp(p)]) {
		return err
	}
	if t.Before[p] == nil {
		return remove(m, p)
	}
	return t.make(m, p, t.Before[p])
}

// make makes a path what it was.
func (t *trace) make(m Machine, p string, was *found) error {
	switch was.kind() {
	case unix.S_IFDIR:
		if !exists(m, p) {
			if err := makeParents(m, p+"/."); err != nil {
				return err
			}
		} else if was.Empty {
			if err := emptyTree(m, p); err != nil {
				return err
			}
		}
		return adjustDir(m, p, was.attrs())
	case unix.S_IFLNK:
		return link(m, was.Sum, p)
	case unix.S_IFREG:
		if was.Sum == "" {
			return fmt.Errorf("%s was too large to be kept aside, and is not as it was", p)
		}
		content, err := os.ReadFile(m.Path(t.data(m, was.Sum)))
		if err != nil {
			return fmt.Errorf("the original of %s is gone: %w", p, cause(err))
		}
		return writeFile(m, p, was.attrs(), func(w io.Writer) error { _, err := w.Write(content); return err })
	}
	return nil
}

// moreBackups are backups that purging made and that were never there.
func (t *trace) moreBackups(m Machine) []string {
	var more []string
	for p := range t.After {
		names, _ := os.ReadDir(m.Path(path.Dir(p)))
		for _, n := range names {
			other := path.Dir(p) + "/" + n.Name()
			if _, known := t.After[other]; !known && backedUp(other) == p {
				more = append(more, other)
			}
		}
	}
	return more
}

// backedUp is the file that one with such a name is a backup of, "" for all others: dpkg's, ucf's and the accounts'.
func backedUp(p string) string {
	if path.Dir(p) == "/var/lib/ucf" {
		if original := strings.TrimRight(p, "0123456789"); original != p {
			return strings.TrimSuffix(original, ".")
		}
	}
	if original, ok := strings.CutSuffix(p, "-old"); ok && path.Dir(p) == dpkgDir {
		return original
	}
	if original, ok := strings.CutSuffix(p, "-"); ok && isAccounts(original) {
		return original
	}
	return ""
}
