package ops

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// PretendPackage is a package of a pretend machine's repository.
type PretendPackage struct {
	Name, Version string
	Depends       []string
	Files         map[string]string // that it has, and that go with it
	Leaves        map[string]string // that its scripts make, and that purging leaves
	Group         string            // that its scripts make, likewise
	Modes         map[string]os.FileMode
	Nukes         []string // directories that purging empties, whoever put something there
	Withdrawn     bool     // it is installed, but no repository has it
}

// Offer gives the machine apt, a database of packages, and a repository. What is in installed was installed from it before ("name=version").
func (p *Pretend) Offer(repository []PretendPackage, installed ...string) {
	d := &pretendAPT{p: p, repository: repository}
	for name, content := range map[string]string{
		"/usr/bin/apt-get": "", dpkgStatus: "", dpkgDir + "/lock-frontend": "", dpkgDir + "/updates/.keep": "",
		"/etc/group": "root:x:0:\n", "/etc/group-": "",
	} {
		if err := pretendWrite(p, name, content); err != nil {
			panic(err) // a test cannot go on without its machine
		}
	}
	d.set(stanza{"dpkg", "1.21", "install ok installed"})
	for _, spec := range installed {
		name, version, _ := strings.Cut(spec, "=")
		if err := d.install(name, version); err != nil {
			panic(err)
		}
	}
	p.Handle("apt-get", func(argv []string) ([]byte, error) { return nil, d.aptGet("", argv) })
	p.Handle("env", func(argv []string) ([]byte, error) { return nil, d.aptGet(argv[2], argv[3:]) })
	p.Handle("apt-cache", d.aptCache)
	p.Handle("apt-mark", func(argv []string) ([]byte, error) { return nil, d.mark(argv[2], argv[1] == "hold") })
	p.Handle("dpkg", func(argv []string) ([]byte, error) { return nil, d.dpkg(argv) })
}

func pretendWrite(p *Pretend, name, content string) error {
	if err := os.MkdirAll(p.Path(path.Dir(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p.Path(name), []byte(content), 0o644)
}

type pretendAPT struct {
	p          *Pretend
	repository []PretendPackage
}

type stanza struct{ name, version, status string }

func (d *pretendAPT) read() map[string]stanza {
	data, _ := os.ReadFile(d.p.Path(dpkgStatus))
	all := map[string]stanza{}
	for _, f := range controlStanzas(data) {
		all[f["Package"]] = stanza{f["Package"], f["Version"], f["Status"]}
	}
	return all
}

// set writes one package's line of the database; without a status it goes.
func (d *pretendAPT) set(s stanza) {
	all := d.read()
	all[s.name] = s
	if s.status == "" {
		delete(all, s.name)
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&out, "Package: %s\nStatus: %s\nArchitecture: amd64\nVersion: %s\n\n", name, all[name].status, all[name].version)
	}
	_ = os.Rename(d.p.Path(dpkgStatus), d.p.Path(dpkgStatus+"-old"))
	_ = pretendWrite(d.p, dpkgStatus, out.String())
}

func (d *pretendAPT) find(name, version string) (PretendPackage, bool) {
	i := slices.IndexFunc(d.repository, func(o PretendPackage) bool { return o.Name == name && fits(version, o.Version) })
	if i < 0 {
		return PretendPackage{}, false
	}
	return d.repository[i], true
}

func (d *pretendAPT) install(name, version string) error {
	o, ok := d.find(name, version)
	if !ok {
		return fmt.Errorf("apt: Version '%s' for '%s' was not found", version, name)
	}
	all := d.read()
	for _, dep := range o.Depends {
		if _, there := all[dep]; !there {
			if err := d.install(dep, ""); err != nil {
				return err
			}
		}
	}
	if is, there := all[name]; there && strings.HasSuffix(is.status, " installed") && fits(version, is.version) {
		return nil
	}
	for _, files := range []map[string]string{o.Files, o.Leaves} {
		for file, content := range files {
			if err := pretendWrite(d.p, file, content); err != nil {
				return err
			}
		}
	}
	for name, mode := range o.Modes {
		if err := os.Chmod(d.p.Path(name), mode); err != nil {
			return err
		}
	}
	if groups, _ := os.ReadFile(d.p.Path("/etc/group")); o.Group != "" && !strings.Contains(string(groups), "\n"+o.Group+":") {
		if err := pretendWrite(d.p, "/etc/group-", string(groups)); err != nil {
			return err
		}
		if err := pretendWrite(d.p, "/etc/group", string(groups)+o.Group+":x:107:\n"); err != nil {
			return err
		}
	}
	d.set(stanza{name, o.Version, "install ok installed"})
	return nil
}

func (d *pretendAPT) aptGet(dir string, argv []string) error {
	last := argv[len(argv)-1]
	name, version, _ := strings.Cut(last, "=")
	switch {
	case last == "update":
		return nil
	case slices.Contains(argv, "download"):
		o, ok := d.find(name, version)
		if !ok || o.Withdrawn {
			return fmt.Errorf("apt: Can't find a source to download version '%s' of '%s'", version, name)
		}
		data, err := json.Marshal([]string{name, version})
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(d.p.Path(dir), name+"_"+version+".deb"), data, 0o644)
	}
	return d.install(name, version)
}

func (d *pretendAPT) aptCache(argv []string) ([]byte, error) {
	name, version, _ := strings.Cut(argv[len(argv)-1], "=")
	o, ok := d.find(name, version)
	if !ok {
		return nil, fmt.Errorf("apt: No packages found")
	}
	out := fmt.Sprintf("Package: %s\nVersion: %s\n", o.Name, o.Version)
	if !o.Withdrawn {
		out += "Filename: ./" + o.Name + ".deb\n"
	}
	return []byte(out), nil
}

func (d *pretendAPT) mark(name string, held bool) error {
	is := d.read()[name]
	_, rest, _ := strings.Cut(is.status, " ")
	if is.status = "install " + rest; held {
		is.status = "hold " + rest
	}
	d.set(is)
	return nil
}

func (d *pretendAPT) dpkg(argv []string) error {
	all := d.read()
	verb := slices.IndexFunc(argv, func(a string) bool {
		return slices.Contains([]string{"--install", "--remove", "--purge", "--configure"}, a)
	})
	names := argv[verb+1:]
	switch argv[verb] {
	case "--configure":
		for _, s := range all {
			want, _, _ := strings.Cut(s.status, " ")
			d.set(stanza{s.name, s.version, want + " ok installed"})
		}
		return nil
	case "--install":
		for _, file := range names {
			var what []string
			data, err := os.ReadFile(d.p.Path(file))
			if err == nil {
				err = json.Unmarshal(data, &what)
			}
			if err == nil {
				err = d.install(what[0], what[1])
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	for name, s := range all {
		o, _ := d.find(name, s.version)
		for _, dep := range o.Depends {
			if slices.Contains(names, dep) && !slices.Contains(names, name) {
				return fmt.Errorf("dpkg: error processing package %s: %s depends on %s", dep, name, dep)
			}
		}
	}
	for _, name := range names {
		o, _ := d.find(name, all[name].version)
		for file := range o.Files {
			_ = os.Remove(d.p.Path(file))
			for dir := path.Dir(file); dir != "/" && !slices.Contains(bare, dir); dir = path.Dir(dir) {
				_ = os.Remove(d.p.Path(dir)) // if it is empty
			}
		}
		status := "deinstall ok config-files"
		if argv[verb] == "--purge" {
			status = ""
			for _, dir := range o.Nukes {
				left, _ := filepath.Glob(d.p.Path(dir) + "/*")
				for _, name := range left {
					_ = os.RemoveAll(name)
				}
			}
		}
		d.set(stanza{name, all[name].version, status})
	}
	return nil
}
