package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// dnf is the package manager of Fedora and its children, in its fourth edition: rpm's database is asked by rpm, in a format of ours. Its file, unlike
// dpkg's, has another content after every transaction, so an undo leaves the same packages, but not the same bytes of the database; and dnf's history
// tells for ever what was done.
type dnf struct{}

func (dnf) name() string   { return "dnf" }
func (dnf) repair() string { return "dnf remove --duplicates" }
func (dnf) locks() []string {
	return []string{"/var/lib/dnf/rpmdb_lock.pid", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"}
}
func (dnf) writes() []string { return []string{"/etc", "/var/lib/alternatives"} }

// installed asks rpm's database, as somebody who may not write there: where root reads it, rpm writes to the files beside it. Where only root can
// read it, it is asked as root.
func (dnf) installed(ctx context.Context, m Machine) ([]rpm, error) {
	ask := []string{"rpm", "-qa", "--qf", rpmTable}
	out, err := m.Run(ctx, append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, ask...)...)
	if err != nil && ctx.Err() == nil {
		out, err = m.Run(ctx, ask...)
	}
	if err != nil {
		return nil, fmt.Errorf("rpm: %w", dnfError(err))
	}
	var all []rpm
	for line := range strings.Lines(string(out)) {
		if r, ok := readRPM(line); ok {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b rpm) int { return compareNumbers(a.at, b.at) })
	return all, nil
}

func (d dnf) table(ctx context.Context, m Machine) (packageTable, error) {
	installed, err := d.installed(ctx, m)
	if err != nil {
		return nil, err
	}
	locks, err := readVersionLocks(m)
	if err != nil {
		return nil, err
	}
	all := packageTable{}
	for _, r := range installed { // the last that came last
		is := packageState{Version: r.version, Held: locks.hold(r)}
		if _, twice := all[r.key()]; twice {
			is.State = "installed twice"
		}
		all[r.key()] = is
		if r.beside() && r.name != r.key() {
			is.Alias, is.State = true, ""
			all[r.name] = is
		}
	}
	return all, nil
}

// exact names packages of the table to rpm; what is not there is nothing.
func (d dnf) exact(ctx context.Context, m Machine, keys ...string) ([]string, error) {
	installed, err := d.installed(ctx, m)
	var names []string
	for _, r := range installed {
		if slices.Contains(keys, r.key()) {
			names = append(names, r.exact())
		}
	}
	return names, err
}

func (d dnf) files(ctx context.Context, m Machine, name string) ([]string, error) {
	names, err := d.exact(ctx, m, name)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	out, err := m.Run(ctx, "rpm", "-ql", names[0])
	var files []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, "/") { // otherwise it says that there are none
			files = append(files, line)
		}
	}
	return files, dnfError(err)
}

// dnfCache is where dnf keeps what it knows of repositories.
const dnfCache = "/var/cache/dnf"

// offers asks dnf what it knows already. Its lock and its logs go into a directory in memory, where it finds its cache by links.
func (dnf) offers(ctx context.Context, m Machine, name, version string) (bool, error) {
	real, err := os.MkdirTemp(m.Path("/run"), "kubewright-dnf-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(real)
	dir := "/run/" + path.Base(real)
	cached, _ := os.ReadDir(m.Path(dnfCache)) // without one nothing is known
	for _, c := range cached {
		if c.IsDir() || strings.HasSuffix(c.Name(), ".solv") || strings.HasSuffix(c.Name(), ".solvx") {
			if err := os.Symlink(dnfCache+"/"+c.Name(), real+"/"+c.Name()); err != nil {
				return false, err
			}
		}
	}
	out, err := m.Run(ctx, "dnf", "-q", "--cacheonly", "--setopt=cachedir="+dir, "--setopt=logdir="+dir, "--setopt=persistdir="+dir,
		"repoquery", "--available", "--qf", "%{epoch}:%{version}-%{release}\n", name)
	if err != nil {
		return false, nil // no list is at hand
	}
	for line := range strings.Lines(string(out)) {
		if strings.TrimPrefix(strings.TrimSpace(line), "0:") == version {
			return true, nil
		}
	}
	return false, nil
}

func dnfDir(m Machine) string { return stateDir(m) + "/dnf" }

// dnfPackages is where lies what was downloaded for an installation that has not come to its end.
func dnfPackages(m Machine) string { return dnfDir(m) + "/packages" }

// dnfArgv has dnf keep what it knows of repositories with us: what they offer is then as new as we want, and the host's own cache stays as it is.
// What a repository that does not answer means is for the host's own configuration to say.
func dnfArgv(m Machine, argv ...string) []string {
	fresh := fmt.Sprintf("metadata_expire=%d", int(freshFor.Seconds()))
	return append([]string{"dnf", "-y", "-q", "--setopt=cachedir=" + dnfDir(m) + "/cache", "--setopt=" + fresh, "--setopt=*." + fresh}, argv...)
}

// install: dnf installs the version asked for whatever is there, unless a lock keeps it from that. A lock on just what is there gives way to one on
// what shall be; one that somebody wrote as a pattern does not, and is told of.
func (d dnf) install(ctx context.Context, m Machine, name, version string) error {
	locks, err := readVersionLocks(m)
	if err != nil {
		return err
	}
	all, err := d.table(ctx, m)
	if err != nil {
		return err
	}
	held := all[name].Held && version != "" && !fits(version, all[name].Version)
	if held {
		if err := d.hold(ctx, m, name, false); err != nil {
			return err
		}
	}
	err = dnfError(run(ctx, m, dnfArgv(m, "--setopt=install_weak_deps=False", "--setopt=keepcache=True", "--setopt=destdir="+dnfPackages(m), "install", rpmSpec(name, version))...))
	if held {
		err = errors.Join(err, d.hold(ctx, m, name, true)) // what is there by now
	}
	if err != nil {
		if what := locks.about(name); what != "" && ctx.Err() == nil {
			err = fmt.Errorf("%w (%s has %s)", err, locks.file, what)
		}
		return err
	}
	return os.RemoveAll(m.Path(dnfPackages(m)))
}

// fetch needs dnf's plugin for downloading, which has the architecture named: else it brings the package of every one.
func (dnf) fetch(ctx context.Context, m Machine, name, version, dir string) error {
	arches := append(nativeRPM(), "noarch")
	if _, arch := cutArch(name); arch != "" {
		arches = []string{arch}
	}
	_, err := m.Run(ctx, dnfArgv(m, "download", "--arch="+strings.Join(arches, ","), "--destdir", dir, rpmSpec(name, version))...)
	return dnfError(err)
}

func (dnf) installFiles(ctx context.Context, m Machine, files ...string) error {
	return dnfError(run(ctx, m, slices.Concat([]string{"rpm", "-U", "--oldpackage"}, files)...))
}

// remove: rpm, unlike dnf, takes nobody else's packages along. It keeps what was changed of a configuration beside it.
func (d dnf) remove(ctx context.Context, m Machine, _ bool, names ...string) error {
	names, err := d.exact(ctx, m, names...)
	if err != nil || len(names) == 0 {
		return err
	}
	return dnfError(run(ctx, m, slices.Concat([]string{"rpm", "-e"}, names)...))
}

// dnfError finds what says why in what dnf and rpm wrote.
func dnfError(err error) error {
	last := LastLines(err)
	if err == nil || last == "" {
		return err
	}
	why, problem := "", false
	for line := range strings.Lines(last) {
		line = strings.TrimSpace(line)
		rest, isDnf := strings.CutPrefix(line, "Error:")
		_, after, isProblem := strings.Cut(line, ": ")
		switch {
		case isDnf:
			why = strings.TrimSpace(rest)
		case why == "" && strings.HasPrefix(line, "Problem") && isProblem:
			why, problem = after, true
		case problem && strings.HasPrefix(line, "- "): // the first detail tells the most
			why, problem = why+": "+line[2:], false
		case why == "" && strings.HasPrefix(line, "No such command"):
			why = line
		case why == "" && strings.HasPrefix(line, "error: "):
			why = strings.TrimPrefix(line, "error: ")
			problem = strings.HasSuffix(why, ":")
		case problem && strings.HasSuffix(why, ":"):
			why, problem = why+" "+line, false
		}
	}
	if why == "" {
		return err
	}
	return &OutputError{Err: errors.New(why), Last: last}
}
