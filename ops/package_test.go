package ops

import (
	"os"
	"strings"
	"testing"
)

func packageSpecimens() []specimen {
	return []specimen{
		{name: "a package and what it needs", wish: Package{Name: "docker.io"}, with: offer()},
		{name: "a package pinned and held", wish: Package{Name: "docker.io", Version: "20.10.*", Held: true}, with: offer(),
			grow: func(t *testing.T, w *world) { w.write(t, "/var/lib/containerd/io.containerd/meta.db", "grown", 0o600) }},
		{name: "a package in another version", wish: Package{Name: "tini", Version: "0.19-2", Held: true}, with: offer("tini=0.19-1")},
		{name: "a package of which an earlier version is wanted", wish: Package{Name: "tini", Version: "0.19-1"}, with: offer("tini=0.19-2")},
		{name: "a package that was there, to be held", wish: Package{Name: "tini", Held: true}, with: offer("tini=0.19-1")},
		{name: "a package that shall go", wish: Package{Name: "tini", Absent: true}, with: offer("tini=0.19-1")},
		{name: "a package that was removed, but for its configuration", wish: Package{Name: "tini"},
			with: func(t *testing.T, w *world) {
				offer("tini=0.19-2")(t, w)
				if _, err := w.Run(t.Context(), "dpkg", "--remove", "tini"); err != nil {
					t.Fatal(err)
				}
				w.write(t, "/etc/tini.conf", "theirs", 0o644)
			}},
		{name: "a package whose directories were there, empty", wish: Package{Name: "docker.io"},
			with: func(t *testing.T, w *world) {
				offer()(t, w)
				if err := os.MkdirAll(w.Path("/var/lib/containerd"), 0o711); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "a package whose directory was there, and which empties it itself", wish: Package{Name: "tidy"},
			with: func(t *testing.T, w *world) {
				offer()(t, w)
				if err := os.MkdirAll(w.Path("/var/lib/tidy"), 0o755); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "a package beside whose configuration somebody has files", wish: Package{Name: "nuke"},
			with: func(t *testing.T, w *world) {
				offer()(t, w)
				w.write(t, "/etc/nuke/theirs", "theirs", 0o640)
			}},
	}
}

// offer gives the machine apt and a repository, from which packages were installed.
func offer(installed ...string) func(*testing.T, *world) {
	return func(_ *testing.T, w *world) {
		w.Offer([]PretendPackage{
			{Name: "docker.io", Version: "20.10.24-1", Depends: []string{"containerd", "tini"}, Group: "docker",
				Files:  map[string]string{"/usr/bin/docker": "docker", "/etc/default/docker": "options"},
				Leaves: map[string]string{"/etc/docker/key.json": "random", "/run/docker/plugins/x": "", "/etc/rc2.d/S01docker": "x"}},
			{Name: "containerd", Version: "1.6", Files: map[string]string{"/usr/bin/containerd": "containerd"},
				Leaves: map[string]string{"/var/lib/containerd/x/meta.db": "data"}, Modes: map[string]os.FileMode{"/var/lib/containerd": 0o700}},
			{Name: "tidy", Version: "1", Leaves: map[string]string{"/var/lib/tidy/x": ""}, Modes: map[string]os.FileMode{"/var/lib/tidy": 0o710}, Nukes: []string{"/var/lib/tidy"}},
			{Name: "tini", Version: "0.19-2", Files: map[string]string{"/usr/bin/tini": "2"}, Leaves: map[string]string{"/etc/tini.conf": "2"}},
			{Name: "tini", Version: "0.19-1", Files: map[string]string{"/usr/bin/tini": "1"}, Leaves: map[string]string{"/etc/tini.conf": "1"}},
			{Name: "nuke", Version: "1", Files: map[string]string{"/etc/nuke/conf": "ours"}, Nukes: []string{"/etc/nuke"}},
		}, installed...)
	}
}

// TestTakingBackLeavesWhatOthersDid: what was done to the machine since the package came is not undone with it.
func TestTakingBackLeavesWhatOthersDid(t *testing.T) {
	w := newWorld(t)
	offer()(t, w)
	wish := Package{Name: "docker.io"}
	first := observe(t, w, wish)
	if err := wish.Set(t.Context(), w, first); err != nil {
		t.Fatal(err)
	}
	groups, err := os.ReadFile(w.Path("/etc/group"))
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "/etc/group", string(groups)+"staff:x:1000:me\n", 0o644)
	w.write(t, "/etc/docker/daemon.json", "{}", 0o600)
	w.write(t, "/etc/rc2.d/S01docker", "changed", 0o644)
	if _, err := w.Run(t.Context(), "apt-get", "install", "nuke=1"); err != nil {
		t.Fatal(err)
	}
	if err := undo(t, w, first, wish); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/etc/group": "root:x:0:\nstaff:x:1000:me\n", "/etc/docker/daemon.json": "{}", "/etc/rc2.d/S01docker": "changed", "/etc/nuke/conf": "ours",
		"/etc/docker/key.json": "", "/usr/bin/docker": "", "/usr/bin/containerd": "",
	} {
		if got, _ := os.ReadFile(w.Path(path)); string(got) != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
}

// TestSecondRunKeepsTheFirstMemory: another version in a later run, with others' work in between.
func TestSecondRunKeepsTheFirstMemory(t *testing.T) {
	w := newWorld(t)
	offer("tini=0.19-1")(t, w)
	before := w.snapshot(t)
	first := observe(t, w, Package{Name: "tini", Version: "0.19-2"})
	for _, wish := range []Package{{Name: "tini", Version: "0.19-2"}, {Name: "tini", Version: "0.19-1", Held: true}, {Name: "tini", Version: "0.19-2", Held: true}} {
		if err := set(t, w, wish); err != nil {
			t.Fatal(err)
		}
		if seen := observe(t, w, wish); !Equal(wish, seen) {
			t.Fatalf("%+v was set, but it is %+v", wish, seen)
		}
	}
	if err := undo(t, w, first, Package{Name: "tini"}); err != nil {
		t.Fatal(err)
	}
	if after := w.snapshot(t); after != before {
		t.Errorf("it is not as it was\n%s", differing(before, after))
	}
}

// TestWhatWasInstalledSinceStays: a package of somebody else's that came between two runs of ours is not ours to remove.
func TestWhatWasInstalledSinceStays(t *testing.T) {
	w := newWorld(t)
	offer()(t, w)
	first := observe(t, w, Package{Name: "tini"})
	if err := set(t, w, Package{Name: "tini", Version: "0.19-2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Run(t.Context(), "apt-get", "install", "nuke=1"); err != nil {
		t.Fatal(err)
	}
	if err := set(t, w, Package{Name: "tini", Version: "0.19-1"}); err != nil {
		t.Fatal(err)
	}
	if err := undo(t, w, first, Package{Name: "tini"}); err != nil {
		t.Fatal(err)
	}
	all, err := apt{}.table(t.Context(), w)
	if err != nil || !all["nuke"].installed() || all["tini"].installed() {
		t.Errorf("the packages are %v, %v", all, err)
	}
}

// TestWhatOthersNeedIsNotRemoved: dpkg refuses, and so does the undo, which may be repeated.
func TestWhatOthersNeedIsNotRemoved(t *testing.T) {
	w := newWorld(t)
	offer()(t, w)
	wish := Package{Name: "tini", Version: "0.19-2"}
	first := observe(t, w, wish)
	if err := set(t, w, wish); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Run(t.Context(), "apt-get", "install", "docker.io=20.10.24-1"); err != nil {
		t.Fatal(err)
	}
	if err := undo(t, w, first, wish); err == nil || !strings.Contains(err.Error(), "docker.io depends on tini") {
		t.Errorf("undoing says %v", err)
	}
}

// TestLostVersion: what no repository has any more is said before it is replaced, and does not keep an undo from its end.
func TestLostVersion(t *testing.T) {
	w := newWorld(t)
	w.Offer([]PretendPackage{
		{Name: "tini", Version: "0.19-2", Files: map[string]string{"/usr/bin/tini": "2"}},
		{Name: "tini", Version: "0.18", Files: map[string]string{"/usr/bin/tini": "0"}, Withdrawn: true},
	}, "tini=0.18")
	wish := Package{Name: "tini", Version: "0.19-2"}
	first := observe(t, w, wish)
	if !first.(Package).OneWay() {
		t.Fatalf("nobody is told that it cannot be undone: %+v", first)
	}
	if err := wish.Set(t.Context(), w, Package{Name: "tini", Version: "0.18"}); err == nil || !strings.Contains(err.Error(), "tini 0.18 is not to be had any more") {
		t.Errorf("who was told otherwise hears %v", err)
	}
	if err := wish.Set(t.Context(), w, first); err != nil {
		t.Fatal(err)
	}
	if err := undo(t, w, first, wish); err != nil {
		t.Fatal(err)
	}
	if seen := observe(t, w, wish); !Equal(first, seen) {
		t.Errorf("the undo has no end: %+v", seen)
	}
}

func TestPackagesThatNobodyHas(t *testing.T) {
	for _, p := range []Package{{Name: ""}, {Name: "-y"}, {Name: "a b"}, {Name: "../x"}, {Name: "a", Version: "--purge"}, {Name: "a", Version: "1 2"}, {Name: "a", Absent: true, Held: true}} {
		w := newWorld(t)
		offer()(t, w)
		_, seen := p.Observe(t.Context(), w)
		if err := p.Set(t.Context(), w, nil); err == nil || seen == nil || len(w.Ran()) > 0 {
			t.Errorf("%+v: %v, %v, and ran %v", p, seen, err, w.Ran())
		}
	}
	if _, err := (Package{Name: "tini"}).Observe(t.Context(), newWorld(t)); err == nil || err.Error() != "this host has neither apt nor dnf" {
		t.Errorf("without a package manager: %v", err)
	}
}
