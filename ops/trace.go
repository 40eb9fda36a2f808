package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// trace is the memory of what installing a package did to a machine. Installation scripts write what they like, and purging leaves much of it: groups,
// directories, backups of databases. So the places that they write to are looked at before and after, and what differs is what they did. What
// somebody else writes there in those seconds is taken for theirs, unless it is changed again.
type trace struct {
	name string

	Start      packageTable      `json:"start,omitempty"`      // while unfinished: the packages before the change under way
	Unfinished bool              `json:"unfinished,omitempty"` // a change was begun, and what came of it is not known yet
	Wanted     string            `json:"wanted,omitempty"`     // the version that was to be installed
	Held       bool              `json:"held,omitempty"`       // whether the package itself was held
	Before     map[string]*found `json:"before"`               // while unfinished everything, later only what differs; nil was not there
	After      map[string]*found `json:"after,omitempty"`
	Brought    map[string]bool   `json:"brought,omitempty"` // packages that were not installed before; true: but their configuration was there
	Changed    map[string]string `json:"changed,omitempty"` // packages that were there in another version, or are gone: the version they had
	Reached    map[string]bool   `json:"reached,omitempty"` // targets; true: before the first change, false: since
	Older      bool              `json:"older,omitempty"`   // there was data from before, which purging might take along
	Units      []string          `json:"units,omitempty"`   // while it is taken back: the units of the packages that came
	There      map[string]*found `json:"there,omitempty"`   // while it is taken back: the configuration before anything was removed
}

func traceFile(m Machine, name string) string {
	return tracesDir(m) + "/" + url.PathEscape(name) + "/trace.json"
}

func tracesDir(m Machine) string { return stateDir(m) + "/packages" }

func (t *trace) dir(m Machine) string { return path.Dir(traceFile(m, t.name)) }

// data is where the bytes with this digest lie.
func (t *trace) data(m Machine, sum string) string {
	return t.dir(m) + "/data/" + strings.TrimPrefix(sum, "sha256:")
}

func readTrace(m Machine, name string) (*trace, error) {
	data, err := os.ReadFile(m.Path(traceFile(m, name)))
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &trace{Brought: map[string]bool{}, Changed: map[string]string{}}
	if err := strict(data, t); err != nil {
		return nil, fmt.Errorf("%s: %w", traceFile(m, name), err)
	}
	t.name = name
	return t, nil
}

func (t *trace) write(m Machine) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return writeMark(m, traceFile(m, t.name), append(data, '\n'))
}

// beginTrace writes down how things are, before anything is changed. What an earlier trace says of before stays true.
func beginTrace(ctx context.Context, m Machine, p Package, t *trace, all packageTable) (*trace, error) {
	if t != nil && t.Unfinished {
		return t, nil
	}
	if t == nil {
		t = &trace{name: p.Name, Held: all[p.Name].Held, Brought: map[string]bool{}, Changed: map[string]string{}}
	}
	if t.Reached == nil {
		var err error
		if t.Reached, err = reached(ctx, m); err != nil {
			return nil, err
		}
	}
	now, err := look(m)
	if err != nil {
		return nil, err
	}
	if err := t.saveAll(m, now); err != nil {
		return nil, err
	}
	for p, was := range t.Before {
		switch {
		case isAccounts(p) && was != nil && now[p] != nil && !now[p].is(t.After[p]):
			// It has others' lines by now. Before, for them, is as if ours had never been added.
			if now[p], err = t.saveLines(m, p, now[p]); err != nil {
				return nil, err
			}
		case !now[p].is(t.After[p]): // somebody else's by now
		case was == nil:
			delete(now, p)
		default:
			now[p] = was
		}
	}
	t.Start, t.Unfinished, t.Wanted, t.Before, t.After, t.There, t.Units = all, true, p.Version, now, nil, nil, nil
	return t, t.write(m)
}

// saveAll copies the bytes of files, so that they can be brought back.
func (t *trace) saveAll(m Machine, all map[string]*found) error {
	if err := os.MkdirAll(m.Path(t.dir(m)+"/data"), 0o700); err != nil {
		return err
	}
	for p, f := range all {
		if f.kind() != unix.S_IFREG || f.Sum == "" || exists(m, t.data(m, f.Sum)) {
			continue
		}
		content, err := os.ReadFile(m.Path(p))
		if err != nil {
			return fmt.Errorf("read %s: %w", p, cause(err))
		}
		f.Sum = digestOf(content) // somebody may have changed it since it was looked at
		if err := os.WriteFile(m.Path(t.data(m, f.Sum)), content, 0o600); err != nil {
			return err
		}
	}
	return syncAll(m.Path(t.dir(m)))
}

// syncAll puts on disk what was written to a file system.
func syncAll(real string) error {
	d, err := os.Open(real)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// finish writes down what came of it, and lets go of the bytes that stayed.
func (t *trace) finish(ctx context.Context, m Machine, manager packager, all packageTable) error {
	now, err := look(m)
	if err != nil {
		return err
	}
	before, after := map[string]*found{}, map[string]*found{}
	differs := func(p string) {
		before[p], after[p] = t.Before[p], now[p]
		if original := backedUp(p); original != "" { // which decides what becomes of the backup
			before[original], after[original] = t.Before[original], now[original]
		}
	}
	for p := range now {
		if !now[p].is(t.Before[p]) || backedUp(p) != "" { // of backups it is known whether there were more
			differs(p)
		}
	}
	for p := range t.Before {
		if now[p] == nil {
			differs(p)
		}
	}
	for p, f := range after {
		if isAccounts(p) && f != nil { // what was added to them is told line by line
			if err := t.saveAll(m, map[string]*found{p: f}); err != nil {
				return err
			}
		}
	}
	since, err := reached(ctx, m)
	if err != nil {
		return err
	}
	for name := range since {
		if !t.Reached[name] {
			t.Reached[name] = false
		}
	}
	t.packages(all)
	t.Older = t.Older || t.older()
	for name, version := range t.Changed {
		// Of the package itself that was done before it was replaced. What came along is tried; an undo tells.
		if err := t.fetch(ctx, m, manager, name, version); err != nil && ctx.Err() != nil {
			return err
		}
	}
	t.Before, t.After, t.Start, t.Unfinished = before, after, nil, false
	if err := t.write(m); err != nil {
		return err
	}
	return t.sift(m)
}

// packages tells from the packages before and after which ones came, and which changed.
func (t *trace) packages(all packageTable) {
	for name, is := range all {
		was, there := t.Start[name]
		if is.Alias {
			continue
		}
		if is.installed() && (!there || !was.installed()) || is.Config && !there {
			if _, gone := t.Changed[name]; !gone {
				t.Brought[name] = t.Brought[name] || was.Config
			}
		}
	}
	for name, was := range t.Start {
		if _, ours := t.Brought[name]; ours || !was.installed() || was.Alias {
			continue
		}
		if is := all[name]; !is.installed() || is.Version != was.Version {
			if _, known := t.Changed[name]; !known {
				t.Changed[name] = was.Version
			}
		}
	}
}

// older says whether a directory that bears the name of a package that came was there before and held something.
func (t *trace) older() bool {
	for p, f := range t.Before {
		if f == nil || !shallow(p) || path.Dir(p) == "/run" || f.kind() != unix.S_IFDIR || f.Empty {
			continue
		}
		for name := range t.Brought {
			if base := path.Base(p); name == base || name == base+".io" || name == base+"-ce" {
				return true
			}
		}
	}
	return false
}

// sift lets go of the bytes that nobody will ask for.
func (t *trace) sift(m Machine) error {
	needed := map[string]bool{}
	for _, all := range []map[string]*found{t.Before, t.After, t.There} {
		for _, f := range all {
			if f != nil {
				needed[strings.TrimPrefix(f.Sum, "sha256:")] = true
			}
		}
	}
	entries, err := os.ReadDir(m.Path(t.dir(m) + "/data"))
	for _, e := range entries {
		if !needed[e.Name()] {
			_ = os.Remove(m.Path(t.dir(m) + "/data/" + e.Name())) // else it goes with the trace
		}
	}
	return err
}

// forget is the end of an undo.
func (t *trace) forget(m Machine) error {
	if err := changing(m, "forget how it was before "+t.name); err != nil {
		return err
	}
	if err := os.Remove(m.Path(traceFile(m, t.name))); err != nil && !missing(err) {
		return err
	}
	return os.RemoveAll(m.Path(t.dir(m)))
}

// fetch downloads the file of a version, so that it can be installed again whatever becomes of the repositories.
func (t *trace) fetch(ctx context.Context, m Machine, manager packager, name, version string) error {
	if t.kept(m, name, version) != "" {
		return nil
	}
	dir := t.dir(m) + "/files/" + url.PathEscape(name) + "/" + url.PathEscape(version)
	for _, d := range []string{dir + ".new", dir} {
		if err := os.RemoveAll(m.Path(d)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(m.Path(dir+".new"), 0o700); err != nil {
		return err
	}
	if err := manager.fetch(ctx, m, name, version, dir+".new"); err != nil {
		return err
	}
	if err := syncAll(m.Path(dir + ".new")); err != nil {
		return err
	}
	return os.Rename(m.Path(dir+".new"), m.Path(dir))
}

// kept is the file of a version that was fetched, "" where there is none.
func (t *trace) kept(m Machine, name, version string) string {
	if version == "" {
		return ""
	}
	dir := t.dir(m) + "/files/" + url.PathEscape(name) + "/" + url.PathEscape(version)
	entries, err := os.ReadDir(m.Path(dir))
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(entries, func(e os.DirEntry) bool { return e.Type().IsRegular() })
	if i < 0 {
		return ""
	}
	return dir + "/" + entries[i].Name()
}
