package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// apt is Debian's and its children's package manager: dpkg's database is read, dpkg and apt-get are run.
type apt struct{}

const (
	dpkgDir    = "/var/lib/dpkg"
	dpkgStatus = dpkgDir + "/status"
)

func (apt) name() string    { return "apt" }
func (apt) repair() string  { return "dpkg --configure -a" }
func (apt) locks() []string { return []string{dpkgDir + "/lock-frontend", dpkgDir + "/lock"} }
func (apt) writes() []string {
	return []string{"/etc", dpkgDir, "/var/lib/apt", "/var/lib/systemd/deb-systemd-helper-enabled", "/var/lib/systemd/deb-systemd-helper-masked",
		"/var/lib/systemd/deb-systemd-user-helper-enabled", "/var/lib/systemd/deb-systemd-user-helper-masked", "/var/lib/systemd/timers", "/var/lib/ucf", "/var/lib/pam"}
}

// table reads what dpkg knows: its status file, and the changes beside it that dpkg has not yet merged because it was cut off.
func (apt) table(_ context.Context, m Machine) (packageTable, error) {
	files := []string{dpkgStatus}
	updates, err := os.ReadDir(m.Path(dpkgDir + "/updates"))
	if err != nil && !missing(err) {
		return nil, err
	}
	for _, u := range updates { // in order: their names are numbers of one width
		if _, err := strconv.Atoi(u.Name()); err == nil {
			files = append(files, dpkgDir+"/updates/"+u.Name())
		}
	}
	all := packageTable{}
	native := ""
	type stanza struct{ name, arch, status, version string }
	var stanzas []stanza
	for _, file := range files {
		data, err := os.ReadFile(m.Path(file))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, cause(err))
		}
		for _, f := range controlStanzas(data) {
			s := stanza{f["Package"], f["Architecture"], f["Status"], f["Version"]}
			if s.name == "dpkg" {
				native = s.arch
			}
			stanzas = append(stanzas, s)
		}
	}
	for _, s := range stanzas {
		name := s.name
		if s.arch != "all" && s.arch != "" && native != "" && s.arch != native {
			name += ":" + s.arch
		}
		words := strings.Fields(s.status) // want, flag, state
		if name == "" || len(words) != 3 {
			return nil, fmt.Errorf("%s: the package %q has the status %q", dpkgStatus, name, s.status)
		}
		is := packageState{Version: s.version, Held: words[0] == "hold"}
		switch words[2] {
		case "installed":
		case "not-installed":
			delete(all, name)
			continue
		case "config-files":
			is.Config = true
		default: // half-installed, unpacked, half-configured, triggers-awaited, triggers-pending
			is.State = words[2]
		}
		if words[1] != "ok" {
			is.State = words[1] + " " + words[2]
		}
		if is.Version == "" && is.State != "" {
			is.Version = "none" // half-installed for the first time
		}
		all[name] = is
	}
	return all, nil
}

// controlStanzas reads the fields of Debian's control files that fit on their line.
func controlStanzas(data []byte) []map[string]string {
	var out []map[string]string
	for _, block := range bytes.Split(data, []byte("\n\n")) {
		fields := map[string]string{}
		for line := range bytes.Lines(block) {
			if name, value, ok := bytes.Cut(line, []byte(":")); ok && line[0] != ' ' && line[0] != '\t' {
				switch string(name) {
				case "Package", "Architecture", "Status", "Version", "Filename":
					fields[string(name)] = string(bytes.TrimSpace(value))
				}
			}
		}
		if len(fields) > 0 {
			out = append(out, fields)
		}
	}
	return out
}

// files reads dpkg's list of a package's files.
func (apt) files(_ context.Context, m Machine, name string) ([]string, error) {
	for _, file := range []string{dpkgDir + "/info/" + name + ".list", dpkgDir + "/info/" + name + ":" + runtime.GOARCH + ".list"} {
		data, err := os.ReadFile(m.Path(file))
		if err == nil {
			return strings.Fields(string(data)), nil
		}
		if !missing(err) {
			return nil, err
		}
	}
	return nil, nil
}

// offers: a version that only dpkg knows has no file name.
func (apt) offers(ctx context.Context, m Machine, name, version string) (bool, error) {
	// Without the caches apt writes nothing.
	out, err := m.Run(ctx, "apt-cache", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "show", name+"="+version)
	if err != nil {
		return false, nil
	}
	return slices.ContainsFunc(controlStanzas(out), func(f map[string]string) bool { return f["Version"] == version && f["Filename"] != "" }), nil
}

// aptOptions have apt keep its lists and downloads with us: what it offers is then as new as we want, and the host's own lists stay as they are. Its
// downloads run as root, because nobody else may look there; what they bring is verified as always.
func aptOptions(m Machine) []string {
	dir := stateDir(m) + "/apt"
	return []string{"-q", "-y",
		"-o", "Dir::State::Lists=" + dir + "/lists", "-o", "Dir::Cache::Archives=" + dir + "/archives",
		"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=root", "-o", "Dpkg::Use-Pty=0",
		"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=60"}
}

// freshFor is how long lists that we fetched are good for.
const freshFor = 10 * time.Minute

func (apt) refresh(ctx context.Context, m Machine) error {
	dir := m.Path(stateDir(m) + "/apt")
	done := filepath.Join(dir, "refreshed")
	if fi, err := os.Stat(done); err == nil && time.Since(fi.ModTime()).Abs() < freshFor {
		return nil
	}
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	if _, err := m.Run(ctx, slices.Concat([]string{"apt-get"}, aptOptions(m), []string{"update"})...); err != nil {
		return fmt.Errorf("apt-get update: %w", aptError(err))
	}
	return os.WriteFile(done, nil, 0o600)
}

// install goes on where a repository does not answer: it may be another one that has the package.
func (a apt) install(ctx context.Context, m Machine, name, version string) error {
	stale := a.refresh(ctx, m)
	if ctx.Err() != nil {
		return stale
	}
	if version != "" {
		name += "=" + version
	}
	argv := slices.Concat([]string{"apt-get"}, aptOptions(m), []string{"--no-install-recommends", "--no-remove", "--allow-downgrades",
		"--allow-change-held-packages", "--fix-broken", "install", name})
	return withStale(aptError(run(ctx, m, argv...)), stale)
}

func (a apt) fetch(ctx context.Context, m Machine, name, version, dir string) error {
	stale := a.refresh(ctx, m)
	_, err := m.Run(ctx, slices.Concat([]string{"env", "-C", dir, "apt-get"}, aptOptions(m), []string{"download", name + "=" + version})...)
	return withStale(aptError(err), stale)
}

// withStale adds to a failure that the repositories' lists could not be had, which may be its cause.
func withStale(err, stale error) error {
	if err == nil || stale == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, stale)
}

func (apt) installFiles(ctx context.Context, m Machine, files ...string) error {
	return aptError(run(ctx, m, slices.Concat([]string{"dpkg", "--force-confdef", "--force-confold", "--force-downgrade", "--install"}, files)...))
}

// remove: dpkg, unlike apt, takes nobody else's packages along.
func (apt) remove(ctx context.Context, m Machine, purge bool, names ...string) error {
	how := "--remove"
	if purge {
		how = "--purge"
	}
	return aptError(run(ctx, m, slices.Concat([]string{"dpkg", "--force-remove-reinstreq", how}, names)...))
}

func (apt) hold(ctx context.Context, m Machine, name string, held bool) error {
	word := "unhold"
	if held {
		word = "hold"
	}
	return run(ctx, m, "apt-mark", word, name)
}

// mend: what was only half unpacked cannot be configured; installing it anew, which comes next, mends that or says why not.
func (apt) mend(ctx context.Context, m Machine, _ *trace, all packageTable, _ bool) error {
	if unfinished(all) == "" {
		return nil
	}
	if err := changing(m, "dpkg --configure -a"); err != nil {
		return err
	}
	_, _ = m.Run(ctx, "dpkg", "--force-confdef", "--force-confold", "--configure", "-a")
	return ctx.Err()
}

// aptError finds the line that says why in what apt and dpkg wrote: the last one only says that something failed.
func aptError(err error) error {
	last := LastLines(err)
	if err == nil || last == "" {
		return err
	}
	for line := range strings.Lines(last) {
		for _, mark := range []string{"E: ", "dpkg: error"} {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, mark) && !strings.Contains(line, "Sub-process") {
				return &OutputError{Err: errors.New(strings.TrimPrefix(line, "E: ")), Last: last}
			}
		}
	}
	return err
}
