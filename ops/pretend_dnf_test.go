package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sampleRPM is a package of a pretend dnf's repository. What lies below /etc is configuration.
type sampleRPM struct {
	Name, Arch, Version string // with epoch, as rpm writes it
	Depends, Provides   []string
	Files               map[string]string
	Leaves              map[string]string // that its scripts make
	Lost                bool              // no repository has it any more
}

func (r sampleRPM) nevra() string { return r.Name + "-" + r.Version[2:] + "." + r.Arch }

// pretendDNF does what the real dnf 4.14 and rpm 4.18 do, in what they were seen to do (e2e's TestDNF).
type pretendDNF struct {
	w         *world
	repo      []sampleRPM
	installed []sampleRPM // what came last is last
	cutAt     string      // "" or where the next transaction ends before its time: "unpacking", "script" of the last package
	broken    string      // what dnf says about a repository
}

var errCut = errors.New("signal: killed")

// offerRPM makes the machine one of dnf's, with packages that somebody installed.
func offerRPM(installed ...string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) { newPretendDNF(t, w, installed...) }
}

func newPretendDNF(t *testing.T, w *world, installed ...string) *pretendDNF {
	conf := func(v string) map[string]string {
		return map[string]string{"/usr/bin/tool": v, "/etc/tool.conf": "from " + v}
	}
	kernel := func(v string) sampleRPM {
		return sampleRPM{Name: "kernel-core", Arch: "x86_64", Version: "0:" + v, Provides: []string{"installonlypkg(kernel)"}, Files: map[string]string{"/usr/lib/modules/" + v: v}}
	}
	d := &pretendDNF{w: w, repo: []sampleRPM{
		{Name: "tool", Arch: "x86_64", Version: "1:2.0-1", Depends: []string{"tool-libs"}, Files: conf("2.0"), Leaves: map[string]string{"/etc/tool.d/made": "2.0"}},
		{Name: "tool", Arch: "x86_64", Version: "1:1.0-1", Depends: []string{"tool-libs"}, Files: conf("1.0"), Leaves: map[string]string{"/etc/tool.d/made": "1.0"}},
		{Name: "tool", Arch: "i686", Version: "1:1.0-1", Files: conf("1.0")},
		{Name: "tool-libs", Arch: "x86_64", Version: "0:1-1", Files: map[string]string{"/usr/lib/tool/a lib": "x"}},
		{Name: "tool-libs", Arch: "i686", Version: "0:1-1", Files: map[string]string{"/usr/lib/tool32/lib": "x"}},
		{Name: "module", Arch: "noarch", Version: "0:1-1", Depends: []string{"kernel-core"}},
		kernel("6.2-1"), kernel("6.1-1"),
		{Name: "old", Arch: "noarch", Version: "0:0.9-1", Lost: true},
		{Name: "old", Arch: "noarch", Version: "0:1-1"},
	}}
	w.write(t, "/usr/bin/dnf", "", 0o755)
	w.write(t, versionPlugin, "[main]\nenabled = 1\nlocklist = /etc/dnf/plugins/versionlock.list\n", 0o644)
	w.write(t, "/etc/dnf/plugins/versionlock.list", "# mine\nbash-0:5.1.8-9.el9.*\n", 0o644)
	w.write(t, dnfCache+"/lab.solv", "", 0o644)
	w.write(t, "/var/lib/dnf/history.sqlite", "", 0o644)
	w.write(t, "/var/lib/alternatives/x", "", 0o644)
	for _, dir := range []string{"/usr/lib/modules", "/var/tmp"} {
		must(t, os.MkdirAll(w.Path(dir), 0o755))
	}
	must(t, d.save())
	w.Handle("rpm", d.rpm)
	w.Handle("dnf", d.dnf)
	w.Handle("setpriv", func(argv []string) ([]byte, error) { return d.rpm(argv[4:]) })
	for _, spec := range installed {
		i := slices.IndexFunc(d.repo, func(r sampleRPM) bool { return r.nevra() == spec })
		must(t, d.transaction([]sampleRPM{d.repo[i]}))
	}
	return d
}

func (d *pretendDNF) save() error {
	var lines []string
	for _, r := range d.installed {
		lines = append(lines, r.nevra())
	}
	slices.Sort(lines)
	return pretendWrite(d.w.Pretend, "/var/lib/rpm/rpmdb", strings.Join(lines, "\n"))
}

func says(text string) error { return &OutputError{Err: errors.New("exit status 1"), Last: text} }

// specOf finds what a name as NAME, NAME.ARCH, NAME-VERSION or NAME-VERSION.ARCH means.
func (r sampleRPM) is(spec string) bool {
	noEpoch := r.Version[strings.Index(r.Version, ":")+1:]
	for _, version := range []string{"", "-" + r.Version, "-" + noEpoch} {
		for _, arch := range []string{"", "." + r.Arch} {
			if ok, _ := path.Match(spec, r.Name+version+arch); ok {
				return true
			}
		}
	}
	return false
}

func (r sampleRPM) beside() bool { return len(r.Provides) > 0 }

func (d *pretendDNF) find(spec string) []sampleRPM {
	var found []sampleRPM
	for _, r := range d.installed {
		if r.is(spec) {
			found = append(found, r)
		}
	}
	return found
}

func (d *pretendDNF) owned(file string) bool {
	return slices.ContainsFunc(d.installed, func(r sampleRPM) bool { _, has := r.Files[file]; return has })
}

// lay writes a package's files; configuration that somebody changed is put aside.
func (d *pretendDNF) lay(r sampleRPM, was []sampleRPM) error {
	for file, content := range r.Files {
		now, err := os.ReadFile(d.w.Path(file))
		if strings.HasPrefix(file, "/etc/") && err == nil && !slices.ContainsFunc(was, func(o sampleRPM) bool { return o.Files[file] == string(now) }) {
			if err := os.Rename(d.w.Path(file), d.w.Path(file+".rpmsave")); err != nil {
				return err
			}
		}
		if err := pretendWrite(d.w.Pretend, file, content); err != nil {
			return err
		}
	}
	return nil
}

// transaction installs packages, in whatever direction, one after the other.
func (d *pretendDNF) transaction(all []sampleRPM) error {
	for i, r := range all {
		cut := ""
		if i == len(all)-1 {
			cut, d.cutAt = d.cutAt, ""
		}
		was := slices.DeleteFunc(d.find(r.Name), func(o sampleRPM) bool { return o.Arch != r.Arch || r.beside() && o.Version != r.Version })
		if cut == "unpacking" {
			for file, content := range r.Files {
				if err := pretendWrite(d.w.Pretend, file+";6b0086c4", content[:1]); err != nil {
					return err
				}
			}
			return errors.Join(errCut, pretendWrite(d.w.Pretend, "/var/lib/dnf/rpmdb_lock.pid", "99999"))
		}
		if err := d.lay(r, was); err != nil {
			return err
		}
		if cut == "laying" { // as rpm before 4.18 does, which gives each file its name at once
			return errCut
		}
		same := func(o sampleRPM) bool { return o.nevra() == r.nevra() }
		if !slices.ContainsFunc(d.installed, same) {
			d.installed = append(d.installed, r)
		}
		if err := d.save(); err != nil {
			return err
		}
		if cut == "script" {
			return errors.Join(errCut, pretendWrite(d.w.Pretend, "/var/tmp/rpm-tmp.Ab12", "script"))
		}
		for file, content := range r.Leaves {
			if err := pretendWrite(d.w.Pretend, file, content); err != nil {
				return err
			}
		}
		for _, o := range was {
			if !same(o) {
				if err := d.erase(o); err != nil {
					return err
				}
			}
		}
	}
	return d.save()
}

func (d *pretendDNF) erase(r sampleRPM) error {
	d.installed = slices.DeleteFunc(d.installed, func(o sampleRPM) bool { return o.nevra() == r.nevra() })
	for file, content := range r.Files {
		if d.owned(file) {
			continue
		}
		if now, err := os.ReadFile(d.w.Path(file)); err == nil && strings.HasPrefix(file, "/etc/") && string(now) != content {
			if err := os.Rename(d.w.Path(file), d.w.Path(file+".rpmsave")); err != nil {
				return err
			}
		}
		_ = os.Remove(d.w.Path(file))
		for dir := path.Dir(file); !slices.Contains([]string{"/", "/etc", "/usr/bin", "/usr/lib", "/usr/lib/modules"}, dir); dir = path.Dir(dir) {
			_ = os.Remove(d.w.Path(dir)) // if it is empty
		}
	}
	return d.save()
}

func (d *pretendDNF) rpm(argv []string) ([]byte, error) {
	var out strings.Builder
	line := func(r sampleRPM) string { return fmt.Sprintf("%s\t%s\t%s", r.Name, r.Arch, r.Version) }
	has := func(flag string) bool { return slices.Contains(argv, flag) }
	switch argv[1] {
	case "-qa":
		for i, r := range d.installed {
			fmt.Fprintf(&out, "%s\t%d\t%s \n", line(r), i+8, strings.Join(append(r.Provides, r.Name), " "))
		}
	case "-ql":
		found := d.find(argv[2])
		if len(found) == 0 {
			return []byte("package " + argv[2] + " is not installed\n"), says("")
		}
		for file := range found[0].Files {
			out.WriteString(file + "\n")
		}
		if len(found[0].Files) == 0 {
			out.WriteString("(contains no files)\n")
		}
	case "-qp":
		r, err := d.read(argv[4])
		if err != nil {
			return nil, says("error: open of " + argv[4] + " failed: No such file or directory")
		}
		if strings.Contains(argv[3], "FILENAMES") {
			for file := range r.Files {
				out.WriteString(file + "\n")
			}
			break
		}
		fmt.Fprintf(&out, "%s\t\t%s \n", line(r), strings.Join(append(r.Provides, r.Name), " "))
	case "-qf":
		var err error
		for _, file := range argv[4:] {
			if d.owned(file) {
				out.WriteString("\tsomebody\n")
			} else {
				fmt.Fprintf(&out, "file %s is not owned by any package\n", file)
				err = says("")
			}
		}
		return []byte(out.String()), err
	case "-V":
		for _, r := range d.find(argv[len(argv)-1]) {
			for file, content := range r.Files {
				if now, _ := os.ReadFile(d.w.Path(file)); string(now) != content && !strings.HasPrefix(file, "/etc/") {
					return []byte("S.5....T.    " + file + "\n"), says("")
				}
			}
		}
	case "-U":
		var all []sampleRPM
		for _, file := range argv {
			if !strings.HasSuffix(file, ".rpm") {
				continue
			}
			r, err := d.read(file)
			if err != nil {
				return nil, err
			}
			if len(d.find(r.Name+"-"+r.Version+"."+r.Arch)) > 0 && !has("--replacepkgs") {
				return nil, says("\tpackage " + r.nevra() + " is already installed")
			}
			all = append(all, r)
		}
		return nil, d.transaction(all)
	case "-e":
		var going []sampleRPM
		for _, spec := range argv[2:] {
			found := d.find(spec)
			if len(found) > 1 {
				return nil, says("error: \"" + spec + "\" specifies multiple packages:\n  " + found[0].nevra())
			}
			if len(found) == 0 {
				return nil, says("rpm: RPM should not be used directly install RPM packages, use Alien instead!\nerror: package " + spec + " is not installed")
			}
			going = append(going, found[0])
		}
		for _, r := range d.installed {
			for _, g := range going {
				left := slices.DeleteFunc(d.find(g.Name), func(o sampleRPM) bool {
					return slices.ContainsFunc(going, func(g sampleRPM) bool { return g.nevra() == o.nevra() })
				})
				stays := !slices.ContainsFunc(going, func(g sampleRPM) bool { return g.nevra() == r.nevra() })
				if slices.Contains(r.Depends, g.Name) && stays && len(left) == 0 {
					return nil, says("error: Failed dependencies:\n\t" + g.Name + " is needed by (installed) " + r.nevra())
				}
			}
		}
		for _, g := range going {
			if err := d.erase(g); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("the pretend rpm does not know %q", argv)
	}
	return []byte(out.String()), nil
}

func (d *pretendDNF) read(file string) (r sampleRPM, err error) {
	data, err := os.ReadFile(d.w.Path(file))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	return r, err
}

// locked says whether versionlock's list keeps a version from being seen.
func (d *pretendDNF) locked(r sampleRPM) bool {
	list, _ := os.ReadFile(d.w.Path("/etc/dnf/plugins/versionlock.list"))
	about, fits := false, false
	for line := range strings.Lines(string(list)) {
		pattern := strings.TrimSpace(line)
		if ok, _ := path.Match(r.Name+"-[0-9]*", pattern); !ok {
			continue
		}
		about = true
		if ok, _ := path.Match(pattern, r.Name+"-"+r.Version+"."+r.Arch); ok {
			fits = true
		}
	}
	return about && !fits
}

func (d *pretendDNF) dnf(argv []string) ([]byte, error) {
	opts := map[string]string{}
	for _, a := range argv {
		if name, value, ok := strings.Cut(strings.TrimPrefix(a, "--setopt="), "="); ok {
			opts[name] = value
		}
	}
	spec := argv[len(argv)-1]
	native := func(r sampleRPM) bool { return r.Arch != "i686" }
	write := func(dir string, r sampleRPM) error {
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return pretendWrite(d.w.Pretend, filepath.Join(dir, r.nevra()+".rpm"), string(data))
	}
	switch {
	case slices.Contains(argv, "repoquery"):
		out := ""
		if _, err := os.Lstat(d.w.Path(opts["cachedir"] + "/lab.solv")); err != nil {
			return nil, says("Error: Cache-only enabled but no cache for 'lab'")
		}
		for _, r := range d.repo {
			if r.Name == spec && !r.Lost {
				out += r.Version + "\n\n"
			}
		}
		return []byte(out), pretendWrite(d.w.Pretend, opts["logdir"]+"/dnf.log", "x")
	case d.broken != "":
		return nil, says("Error: " + d.broken)
	case slices.Contains(argv, "download"):
		arches, dir, found := "", argv[slices.Index(argv, "--destdir")+1], false
		for _, a := range argv {
			if all, ok := strings.CutPrefix(a, "--arch="); ok {
				arches = all
			}
		}
		for _, r := range d.repo {
			if r.is(spec) && !r.Lost && (arches == "" || slices.Contains(strings.Split(arches, ","), r.Arch)) {
				found = true
				if err := write(dir, r); err != nil {
					return nil, err
				}
			}
		}
		if !found {
			return nil, says("No package " + spec + " available.\nExiting due to strict setting.\nError: No package " + spec + " available.")
		}
		return nil, nil
	case slices.Contains(argv, "install"):
		i := slices.IndexFunc(d.repo, func(r sampleRPM) bool { return r.is(spec) && native(r) && !r.Lost && !d.locked(r) })
		if i < 0 {
			return nil, says("Error: Unable to find a match: " + spec)
		}
		want := d.repo[i]
		if found := d.find(spec); len(found) > 0 {
			return nil, nil // nothing to do
		}
		var all []sampleRPM
		for _, dep := range want.Depends {
			j := slices.IndexFunc(d.repo, func(r sampleRPM) bool { return r.Name == dep && native(r) })
			if len(d.find(d.repo[j].nevra())) == 0 {
				all = append(all, d.repo[j])
			}
		}
		all = append(all, want)
		for _, r := range all {
			if dir := opts["destdir"]; dir != "" {
				if err := write(dir, r); err != nil {
					return nil, err
				}
			}
		}
		return nil, d.transaction(all)
	}
	return nil, says("No such command: " + spec + ". Please use /usr/bin/dnf --help")
}
