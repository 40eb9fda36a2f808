package source

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kubewright/kubewright/bundle"
)

func newTestBuilder(t *testing.T) *builder {
	t.Helper()
	return &builder{cache: t.TempDir(), want: bundle.Want(), goVersion: "go1.26.0", log: func(string) {}}
}

func TestEveryWantedComponentHasARecipe(t *testing.T) {
	b := newTestBuilder(t)
	for _, c := range b.want.Components {
		if c.Kind == bundle.KindFile {
			if _, stream := streamOf(c.Name); buildOf(c.Name) == "" && !stream {
				t.Errorf("no recipe builds the program %s", c.Name)
			}
			continue
		}
		if !slices.ContainsFunc(images, func(m image) bool { return m.Name == c.Name }) {
			t.Errorf("no recipe makes the image %s", c.Name)
		}
	}
}

func TestEveryImageRecipeIsWantedAndCanBeMade(t *testing.T) {
	b := newTestBuilder(t)
	built := map[string]bool{pause.Name + "/" + pause.Name: true}
	for _, r := range goBuilds {
		for p := range r.Packages {
			built[r.Name+"/"+p] = true
		}
	}
	for _, m := range images {
		if !slices.ContainsFunc(b.want.Components, func(c bundle.WantedComponent) bool { return c.Kind == bundle.KindImage && c.Name == m.Name }) {
			t.Errorf("nobody wants the image %s", m.Name)
		}
		for p, program := range m.Files {
			if !built[program] {
				t.Errorf("%s: %s: nothing builds %s", m.Name, p, program)
			}
		}
		if !starts(m) {
			t.Errorf("%s: what it starts, %s, is not in it", m.Name, slices.Concat(m.Config.Entrypoint, m.Config.Cmd))
		}
		for _, l := range m.Shared {
			r, ok := sharedLayers[l]
			if !ok {
				t.Errorf("%s: there is no layer %s", m.Name, l)
			}
			for p, program := range r.Programs {
				if !built[program] {
					t.Errorf("%s: %s: nothing builds %s", l, p, program)
				}
			}
		}
	}
}

// starts reports whether the program that an image starts is in it.
func starts(m image) bool {
	program := slices.Concat(m.Config.Entrypoint, m.Config.Cmd)[0]
	if _, own := m.Files[strings.TrimPrefix(program, "/")]; own {
		return true
	}
	for _, name := range m.Shared {
		l := sharedLayers[name]
		for _, p := range []string{strings.TrimPrefix(program, "/"), "usr/bin/" + program} {
			if _, link := l.Links[p]; link || slices.Contains(l.Files, p) {
				return true
			}
		}
	}
	return false
}

func TestEveryBuildNamesSourcesOfTheLock(t *testing.T) {
	b := newTestBuilder(t)
	for _, r := range goBuilds {
		for _, s := range r.Sources {
			if _, ok := b.want.Sources[s]; !ok {
				t.Errorf("%s: the lock has no source %s", r.Name, s)
			}
		}
		if len(r.Sources) == 0 && len(ownFiles(r)) == 0 {
			t.Errorf("%s: nothing to build from", r.Name)
		}
		if (len(r.Stubs) > 0 || r.Own != "") && len(ownFiles(r)) == 0 {
			t.Errorf("%s: its embedded files are missing", r.Name)
		}
		for p, pkg := range r.Packages {
			if strings.Contains(pkg, "@") || strings.Contains(p, "/") {
				t.Errorf("%s: %s from %s", r.Name, p, pkg)
			}
		}
	}
}

// What a change makes necessary, and what it leaves alone.
func TestOnlyWhatChangedIsBuiltAgain(t *testing.T) {
	b := newTestBuilder(t)
	before := map[string]string{}
	for _, r := range goBuilds {
		before[r.Name] = b.programs(r)
	}
	newer := newTestBuilder(t)
	newer.want.Sources = map[string]bundle.Source{}
	for name, s := range b.want.Sources {
		if name == "runc" {
			s.Version = "v9.9.9"
		}
		newer.want.Sources[name] = s
	}
	for _, r := range goBuilds {
		if changed := newer.programs(r) != before[r.Name]; changed != (r.Name == "runc") {
			t.Errorf("runc has another version; %s is built again: %v", r.Name, changed)
		}
	}
	b.goVersion = "go1.27.0"
	for _, r := range goBuilds {
		if b.programs(r) == before[r.Name] {
			t.Errorf("another Go, and %s is not built again", r.Name)
		}
	}
}

// What is embedded is as much a source as a module is.
func TestAnotherProgramOfOursIsAnotherBundle(t *testing.T) {
	b := newTestBuilder(t)
	before, changed := b.bundleDir(), fstest.MapFS{}
	for _, r := range goBuilds {
		for _, name := range ownFiles(r) {
			text, err := fs.ReadFile(own, name)
			if err != nil {
				t.Fatal(err)
			}
			changed[name] = &fstest.MapFile{Data: text}
		}
	}
	for _, name := range embeddedIn(page.Shell) {
		text, err := fs.ReadFile(own, name)
		if err != nil {
			t.Fatal(err)
		}
		changed[name] = &fstest.MapFile{Data: text}
	}
	defer func() { own = embedded }()
	own = changed
	if b.bundleDir() != before {
		t.Error("the same programs are another bundle")
	}
	for name, f := range changed {
		text := f.Data
		f.Data = append(slices.Clone(text), "\n// changed\n"...)
		if b.bundleDir() == before {
			t.Errorf("%s is another one, and the bundle the same", name)
		}
		f.Data = text
	}
}

func TestBuiltNames(t *testing.T) {
	for pkg, want := range map[string]string{
		"k8s.io/kubernetes/cmd/kubelet":   "kubelet",
		"go.etcd.io/etcd/server/v3":       "server",
		"github.com/coredns/coredns":      "coredns",
		"kubewright.internal/iptables-ch": "iptables-ch",
	} {
		if got := builtName(pkg); got != want {
			t.Errorf("%s: %s, want %s", pkg, got, want)
		}
	}
}

func TestLinkerFlags(t *testing.T) {
	b := newTestBuilder(t)
	r := goBuild{Name: "x", Sources: []string{"kubernetes"}, Stamp: []string{"{module}/v.gitVersion={version}", "v.minor={minor}"}, Cgo: true}
	b.want.Sources = map[string]bundle.Source{"kubernetes": {Module: "k8s.io/kubernetes", Version: "v1.36.4"}}
	want := "-s -w -X k8s.io/kubernetes/v.gitVersion=v1.36.4 -X v.minor=36 -linkmode external -extldflags '-static -Wl,--build-id=none'"
	if got := ldflags(r, b.expander(r)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAnImageFromADebianPackageHasItsVersion(t *testing.T) {
	c := bundle.Component{Name: "busybox", Packages: []string{"busybox-static=1:1.35.0-4+deb12u1~b1", "libc6=2.36"}}
	if err := fromPackage(&c, "busybox-static"); err != nil {
		t.Fatal(err)
	}
	if c.Version != "1.35.0-4-deb12u1-b1" || c.Source != "debian:busybox-static=1:1.35.0-4+deb12u1~b1" {
		t.Errorf("got version %s of %s", c.Version, c.Source)
	}
	if err := fromPackage(&c, "busybox"); err == nil || !strings.Contains(err.Error(), "nothing in it is from the package busybox") {
		t.Errorf("got %v", err)
	}
}
