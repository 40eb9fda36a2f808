package ops

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Package is a package of the host's package manager, apt or dnf.
//
// What comes with it goes with it: before anything is done, the machine's packages and the places that installation scripts write to are written down
// (see trace), and undoing takes away every package that was not there before, and what purging those leaves behind. What the package's service makes
// once it runs (links, rules, images) is somebody else's to claim.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // exactly this one, or with a * at its end what begins so; "" is any
	Held    bool   `json:"held,omitempty"`    // no upgrade touches it
	Absent  bool   `json:"absent,omitempty"`

	Free      bool   `json:"free,omitempty"`      // in observations: it is not held; a wish that does not say Held does not mind
	Untouched bool   `json:"untouched,omitempty"` // in observations: nothing of ours is to be taken back
	State     string `json:"state,omitempty"`     // in observations: how far an installation came that was cut off
	Lost      bool   `json:"lost,omitempty"`      // in observations: no repository has this version any more, so replacing it cannot be undone
}

func (p Package) Key() Key { return Key("package:" + p.Name) }

// OneWay says of an observation that what replaces it cannot be taken back.
func (p Package) OneWay() bool { return p.Lost }

func (p Package) Observe(ctx context.Context, m Machine) (Op, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	manager, err := managerOf(m)
	if err != nil {
		return nil, err
	}
	all, err := manager.table(ctx, m)
	if err != nil {
		return nil, err
	}
	t, err := readTrace(m, p.Name)
	if err != nil {
		return nil, err
	}
	seen := Package{Name: p.Name, Untouched: t == nil}
	is, there := all[p.Name]
	if !there || !is.installed() {
		seen.Absent = true
		return seen, nil
	}
	seen.Version, seen.State, seen.Held, seen.Free = is.Version, is.State, is.Held, !is.Held
	// What a plan needs to know, and an undo does not: that asks with a version that was once seen.
	if t == nil && !p.Untouched && (p.Absent || !fits(p.Version, is.Version)) {
		to := is.Version
		has, err := manager.offers(ctx, m, p.Name, to)
		if err != nil {
			return nil, err
		}
		seen.Lost = !has
	}
	return seen, nil
}

// same: an observation says more than a wish, and is compared by all of it.
func (p Package) same(seen Op) bool {
	s := seen.(Package)
	switch {
	case p.Untouched && !s.Untouched:
		return false
	case p.Absent || s.Absent:
		return p.Absent == s.Absent
	case p.State != s.State, p.Held && !s.Held, p.Free && s.Held:
		return false
	}
	return p.Lost || fits(p.Version, s.Version)
}

func (p Package) Set(ctx context.Context, m Machine, was Op) error {
	if err := p.check(); err != nil {
		return err
	}
	manager, err := managerOf(m)
	if err != nil {
		return err
	}
	t, err := readTrace(m, p.Name)
	if err != nil {
		return err
	}
	if p.Untouched {
		return p.takeBack(ctx, m, manager, t)
	}
	seen, err := p.Observe(ctx, m)
	if err != nil || p.same(seen) && (t == nil || !t.Unfinished) {
		return err
	}
	if err := awaitManager(ctx, m, manager); err != nil {
		return err
	}
	all, err := manager.table(ctx, m)
	if err != nil {
		return err
	}
	if err := mend(ctx, m, manager, t, all, true); err != nil {
		return err
	}
	if t, err = beginTrace(ctx, m, p, t, all); err != nil {
		return err
	}
	w, _ := was.(Package)
	if err := p.apply(ctx, m, manager, t, w.Lost); err != nil {
		return err
	}
	if all, err = manager.table(ctx, m); err != nil {
		return err
	}
	return t.finish(ctx, m, manager, all)
}

// apply makes the package as wished; what it replaces is fetched first, so that it can come back whatever becomes of the repositories.
func (p Package) apply(ctx context.Context, m Machine, manager packager, t *trace, lost bool) error {
	all, err := manager.table(ctx, m)
	if err != nil {
		return err
	}
	is := all[p.Name]
	right := is.installed() && is.State == "" && fits(p.Version, is.Version)
	if is.installed() && (p.Absent || !fits(p.Version, is.Version)) {
		err := t.fetch(ctx, m, manager, p.Name, is.Version)
		if err != nil && !lost {
			return fmt.Errorf("%s %s is not to be had any more, so it could not be put back: %w", p.Name, is.Version, err)
		}
	}
	switch {
	case p.Absent && is.installed():
		return manager.remove(ctx, m, true, p.Name)
	case p.Absent:
		return nil
	case !right:
		if file := t.kept(m, p.Name, p.Version); file != "" {
			err = manager.installFiles(ctx, m, file)
		} else {
			err = manager.install(ctx, m, p.Name, p.Version)
		}
		if err != nil {
			return err
		}
	}
	if p.Held || p.Free {
		return hold(ctx, m, manager, p.Name, p.Held)
	}
	return nil
}

func hold(ctx context.Context, m Machine, manager packager, name string, held bool) error {
	all, err := manager.table(ctx, m)
	if is, there := all[name]; err != nil || !there || is.Held == held {
		return err
	}
	return manager.hold(ctx, m, name, held)
}

// takeBack puts everything back that the trace remembers, and forgets it.
func (p Package) takeBack(ctx context.Context, m Machine, manager packager, t *trace) error {
	if t == nil {
		return nil
	}
	if err := awaitManager(ctx, m, manager); err != nil {
		return err
	}
	all, err := manager.table(ctx, m)
	if err != nil {
		return err
	}
	if err := mend(ctx, m, manager, t, all, false); err != nil {
		return err
	}
	if t.Unfinished { // cut off before it was known what came of it
		if all, err = manager.table(ctx, m); err != nil {
			return err
		}
		if unfinished(all) != "" {
			// What is only half unpacked cannot be removed without a trace: it is finished first, from what was downloaded for it.
			if err := manager.install(ctx, m, p.Name, t.Wanted); err != nil {
				return err
			}
			if all, err = manager.table(ctx, m); err != nil {
				return err
			}
		}
		if err := t.finish(ctx, m, manager, all); err != nil {
			return err
		}
	}
	if err := t.putPackagesBack(ctx, m, manager, p.Lost); err != nil {
		return err
	}
	if err := t.putUnitsBack(ctx, m); err != nil {
		return err
	}
	if err := t.putFilesBack(m); err != nil {
		return err
	}
	return t.forget(m)
}

// mend has the manager mend what a change of ours that was cut off has left, of this package or of another. What somebody else's has left is theirs to
// finish: its scripts may do anything.
func mend(ctx context.Context, m Machine, manager packager, t *trace, all packageTable, finish bool) error {
	if t != nil && (t.Unfinished || t.There != nil) {
		return manager.mend(ctx, m, t, all, finish)
	}
	name := unfinished(all)
	if name == "" {
		return nil
	}
	others, err := os.ReadDir(m.Path(tracesDir(m)))
	if err != nil && !missing(err) {
		return err
	}
	for _, e := range others {
		other, err := url.PathUnescape(e.Name())
		if err != nil {
			continue
		}
		if t, err = readTrace(m, other); err != nil {
			return err
		}
		if t != nil && (t.Unfinished || t.There != nil) {
			return manager.mend(ctx, m, t, all, finish)
		}
	}
	return fmt.Errorf("%s is %s: an installation that is not kubewright's was cut off; if its scripts may run, finish it on the host with %q",
		name, all[name].State, manager.repair())
}

// unfinished names a package whose installation was cut off, "" where there is none.
func unfinished(all packageTable) string {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].State != "" {
			return name
		}
	}
	return ""
}

// fits says whether a version is one that was asked for.
func fits(want, version string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(version, prefix)
	}
	return want == "" || want == version
}

var (
	packageName    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]*$`)
	packageVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+~:^_-]*\*?$`)
)

// check keeps anything from the package manager that it could take for an option.
func (p Package) check() error {
	if !packageName.MatchString(p.Name) {
		return fmt.Errorf("%q is not the name of a package", p.Name)
	}
	if p.Version != "" && !packageVersion.MatchString(p.Version) {
		return fmt.Errorf("%q is not a version of a package", p.Version)
	}
	if p.Absent && (p.Held || p.Version != "") {
		return errors.New("a package that is absent has no version and is not held")
	}
	return nil
}
