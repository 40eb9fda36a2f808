package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// dnf is the package manager of Fedora and its children: rpm's database is asked by rpm, in a format of ours. Its file, unlike dpkg's, has another
// content after every transaction, so an undo leaves the same packages, but not the same bytes of the database.
type dnf struct{}

const (
	versionLocks  = "/etc/dnf/plugins/versionlock.list"
	versionPlugin = "/etc/dnf/plugins/versionlock.conf"
)

func (dnf) name() string   { return "dnf" }
func (dnf) repair() string { return "dnf history redo last" }
func (dnf) locks() []string {
	return []string{"/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"}
}
func (dnf) writes() []string { return []string{"/etc"} }

func (dnf) table(ctx context.Context, m Machine) (packageTable, error) {
	out, err := m.Run(ctx, "rpm", "-qa", "--qf", `%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n`)
	if err != nil {
		return nil, fmt.Errorf("rpm: %w", err)
	}
	list, err := os.ReadFile(m.Path(versionLocks))
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("read %s: %w", versionLocks, cause(err))
	}
	all := packageTable{}
	for line := range strings.Lines(string(out)) {
		name, version, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || name == "gpg-pubkey" { // a key, of which there may be several
			continue
		}
		if full := strings.TrimPrefix(version, "0:"); all[name].Version == "" {
			all[name] = packageState{Version: full, Held: locked(string(list), name, version)}
		}
	}
	return all, nil
}

// locked says whether the list of the versionlock plugin has a package: its lines are NAME-EPOCH:VERSION-RELEASE.*, and one that begins with ! excludes.
func locked(list, name, version string) bool {
	for line := range strings.Lines(list) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+"-"); ok && strings.HasPrefix(rest, version) {
			return true
		}
	}
	return false
}

func (dnf) files(ctx context.Context, m Machine, name string) ([]string, error) {
	out, err := m.Run(ctx, "rpm", "-ql", name)
	return strings.Fields(string(out)), err
}

func (dnf) offers(ctx context.Context, m Machine, name, version string) (bool, error) {
	out, err := m.Run(ctx, "dnf", "-q", "--cacheonly", "repoquery", "--qf", "%{epoch}:%{version}-%{release}\n", name)
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

func (dnf) install(ctx context.Context, m Machine, name, version string) error {
	if version != "" {
		name += "-" + version // the version asked for is installed whatever is there
	}
	return run(ctx, m, "dnf", "-y", "-q", "--setopt=install_weak_deps=False", "install", name)
}

func (dnf) fetch(ctx context.Context, m Machine, name, version, dir string) error {
	_, err := m.Run(ctx, "dnf", "-y", "-q", "download", "--destdir", m.Path(dir), name+"-"+version)
	return err
}

func (dnf) installFiles(ctx context.Context, m Machine, files ...string) error {
	return run(ctx, m, slices.Concat([]string{"rpm", "-U", "--oldpackage"}, files)...)
}

// remove: rpm, unlike dnf, takes nobody else's packages along. It keeps what was changed of a configuration beside it.
func (dnf) remove(ctx context.Context, m Machine, _ bool, names ...string) error {
	return run(ctx, m, slices.Concat([]string{"rpm", "-e"}, names)...)
}

func (dnf) hold(ctx context.Context, m Machine, name string, held bool) error {
	if !exists(m, versionPlugin) {
		return errors.New("dnf has no versionlock plugin here, so no version can be held: install python3-dnf-plugin-versionlock")
	}
	word := "delete"
	if held {
		word = "add"
	}
	return run(ctx, m, "dnf", "-q", "versionlock", word, name)
}

func (dnf) mend(context.Context, Machine) error {
	return errors.New("an installation was cut off: finish it on the host with \"dnf history redo last\"")
}
