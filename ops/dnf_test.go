package ops

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

func dnfSpecimens() []specimen {
	return []specimen{
		{name: "a package of dnf's and what it needs", wish: Package{Name: "tool"}, with: offerRPM()},
		{name: "a package of dnf's pinned and held", wish: Package{Name: "tool", Version: "1:1.0*", Held: true}, with: offerRPM()},
		{name: "a package of dnf's in another version, whose configuration somebody changed", wish: Package{Name: "tool", Version: "1:2.0-1", Held: true},
			with: func(t *testing.T, w *world) {
				d := newPretendDNF(t, w, "tool-libs-1-1.x86_64")
				must(t, d.transaction([]sampleRPM{d.repo[1]}))
				w.write(t, "/etc/tool.conf", "mine", 0o640)
			}},
		{name: "a package of dnf's of which an earlier version is wanted, and which is held", wish: Package{Name: "tool", Version: "1:1.0-1"},
			with: func(t *testing.T, w *world) {
				d := newPretendDNF(t, w, "tool-libs-1-1.x86_64")
				must(t, d.transaction([]sampleRPM{d.repo[0]}))
				w.write(t, "/etc/dnf/plugins/versionlock.list", "# mine\n\ntool-1:2.0-1.*", 0o600)
			}},
		{name: "a package of dnf's that shall go", wish: Package{Name: "tool-libs", Absent: true}, with: offerRPM("tool-libs-1-1.x86_64")},
		{name: "a package of dnf's that needs a newer kernel", wish: Package{Name: "module"}, with: offerRPM("kernel-core-6.1-1.x86_64")},
		{name: "a kernel of dnf's", wish: Package{Name: "kernel-core", Version: "6.2-1"}, with: offerRPM("kernel-core-6.1-1.x86_64")},
	}
}

// TestRPMDatabase: what is there, under which name, and what keeps it in its version.
func TestRPMDatabase(t *testing.T) {
	w := newWorld(t)
	d := newPretendDNF(t, w)
	rpm := func(name, arch, version string, provides ...string) sampleRPM {
		return sampleRPM{Name: name, Arch: arch, Version: version, Provides: provides}
	}
	d.installed = []sampleRPM{
		rpm("bash", "x86_64", "0:5.1.8-9.el9"), rpm("docker-ce", "x86_64", "3:20.10.24-3.el9"), rpm("glibc", "x86_64", "0:2.34-1"), rpm("glibc", "i686", "0:2.34-1"),
		rpm("gpg-pubkey", "(none)", "0:621e9f35-58adea78", "gpg(x)"), rpm("kernel-core", "x86_64", "0:6.1-1", "installonlypkg(kernel)"),
		rpm("kernel-core", "x86_64", "0:6.2-1", "installonlypkg(kernel)"), rpm("vim", "noarch", "0:9-1"), rpm("vim", "noarch", "0:9-2"),
		rpm("zlib", "x86_64_v2", "0:1-1"),
	}
	w.write(t, "/etc/dnf/plugins/versionlock.list", strings.Join([]string{
		"# Added lock on today", "bash-0:5.1.8-9.el9.*", "!docker-ce-3:20.10.24-3.el9.*", "glibc-2.34-1.x86_64", "zlib-0:1-1_2.*", "vim-0:9-*.*", "kernel-core-0:6.2-1.*", "",
	}, "\n"), 0o644)
	got, err := dnf{}.table(t.Context(), w)
	want := packageTable{
		"bash": {Version: "5.1.8-9.el9", Held: true}, "docker-ce": {Version: "3:20.10.24-3.el9"}, "glibc": {Version: "2.34-1", Held: true}, "glibc.i686": {Version: "2.34-1", Held: true},
		"gpg-pubkey-621e9f35-58adea78": {Version: "621e9f35-58adea78"}, "gpg-pubkey": {Version: "621e9f35-58adea78", Alias: true},
		"kernel-core-6.1-1": {Version: "6.1-1"}, "kernel-core-6.2-1": {Version: "6.2-1", Held: true}, "kernel-core": {Version: "6.2-1", Held: true, Alias: true},
		"vim": {Version: "9-2", State: "installed twice"}, "zlib": {Version: "1-1"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for wish, same := range map[Package]bool{
		{Name: "bash", Version: "5.1.8-9.el9", Held: true}: true, {Name: "docker-ce", Version: "3:20.10.*"}: true, {Name: "docker-ce", Held: true}: false, {Name: "vim"}: false,
	} {
		if seen := observe(t, w, wish); Equal(wish, seen) != same {
			t.Errorf("%+v is seen as %+v", wish, seen)
		}
	}
	err = set(t, w, Package{Name: "tool"})
	if err == nil || !strings.Contains(err.Error(), `vim is installed twice`) || !strings.Contains(err.Error(), "dnf remove --duplicates") {
		t.Errorf("an installation of somebody else's was cut off: %v", err)
	}
}

// TestVersionLocks: the list is somebody's, of whom no line goes and no comment.
func TestVersionLocks(t *testing.T) {
	const mine = "# mine\nbash-0:5.1.8-9.el9.*\n"
	for name, row := range map[string]struct{ before, after string }{
		"an empty list":           {"", "tool-1:2.0-1.*\n"},
		"a list":                  {mine, mine + "tool-1:2.0-1.*\n"},
		"a list without an end":   {"# mine", "# mine\ntool-1:2.0-1.*\n"},
		"a lock on what was":      {"tool-1:1.0-1.*\n" + mine, mine + "tool-1:2.0-1.*\n"},
		"a lock on all of a kind": {"tool-1:2.*\n", "tool-1:2.*\ntool-1:2.0-1.*\n"},
		"a package of that name":  {"tool-libs-0:1-1.*\n", "tool-libs-0:1-1.*\ntool-1:2.0-1.*\n"},
	} {
		w := newWorld(t)
		d := newPretendDNF(t, w, "tool-libs-1-1.x86_64")
		must(t, d.transaction([]sampleRPM{d.repo[1]}))
		w.write(t, "/etc/dnf/plugins/versionlock.list", row.before, 0o644)
		wish := Package{Name: "tool", Version: "1:2.0-1", Held: true}
		first := observe(t, w, wish)
		if err := set(t, w, wish); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(w.Path("/etc/dnf/plugins/versionlock.list")); string(got) != row.after {
			t.Errorf("%s is %q", name, got)
		}
		if err := undo(t, w, first, wish); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(w.Path("/etc/dnf/plugins/versionlock.list")); string(got) != row.before {
			t.Errorf("%s was %q, and is %q", name, row.before, got)
		}
	}
	for name, row := range map[string]struct{ file, content, want string }{
		"no plugin":              {versionPlugin, "", "install python3-dnf-plugin-versionlock"},
		"a plugin that is off":   {versionPlugin, "[main]\nenabled=0\n", "is turned off"},
		"a pattern that forbids": {"/etc/dnf/plugins/versionlock.list", "tool-1:2.*\n", "Unable to find a match: tool-1:1.0-1 (/etc/dnf/plugins/versionlock.list has tool-1:2.*)"},
	} {
		w := newWorld(t)
		offerRPM()(t, w)
		w.write(t, row.file, row.content, 0o644)
		if row.content == "" {
			must(t, os.Remove(w.Path(row.file)))
		}
		if err := set(t, w, Package{Name: "tool", Version: "1:1.0-1", Held: true}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCutOffRPM: whoever kills dnf at whatever moment, the same wish once more ends as if nobody had, and so does an undo.
func TestCutOffRPM(t *testing.T) {
	for _, at := range []string{"unpacking", "laying", "script"} {
		for _, installed := range []string{"", "tool-1.0-1.x86_64"} {
			for _, finish := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, before %q, finish %v", at, installed, finish), func(t *testing.T) {
					w := newWorld(t)
					d := newPretendDNF(t, w, "tool-libs-1-1.i686")
					if installed != "" {
						must(t, d.transaction([]sampleRPM{d.repo[3], d.repo[1]}))
						w.write(t, "/etc/tool.conf", "mine", 0o600)
					}
					w.write(t, "/usr/bin/theirs;6b0086c4", "not ours", 0o644)
					w.write(t, "/proc/stat", "", 0o444)
					before := w.snapshot(t)
					wish := Package{Name: "tool", Version: "1:2.0-1", Held: true}
					first := observe(t, w, wish)
					d.cutAt = at
					if err := wish.Set(t.Context(), w, first); !errors.Is(err, errCut) {
						t.Fatalf("it was not cut off: %v", err)
					}
					if finish {
						if seen := observe(t, w, wish); at != "script" && Equal(wish, seen) {
							t.Errorf("half an installation is taken for one: %+v", seen)
						}
						must(t, wish.Set(t.Context(), w, observe(t, w, wish)))
						if seen := observe(t, w, wish); !Equal(wish, seen) {
							t.Errorf("it is %+v", seen)
						}
						for file, want := range map[string]string{"/usr/bin/tool": "2.0", "/etc/tool.d/made": "2.0", "/usr/bin/tool;6b0086c4": "", "/var/tmp/rpm-tmp.Ab12": "", "/var/lib/dnf/rpmdb_lock.pid": ""} {
							if got, _ := os.ReadFile(w.Path(file)); string(got) != want {
								t.Errorf("%s holds %q, want %q", file, got, want)
							}
						}
					}
					must(t, undo(t, w, first, wish))
					if after := w.snapshot(t); after != before {
						t.Errorf("it is not as it was\n%s", differing(before, after))
					}
				})
			}
		}
	}
}

// TestCutOffBefore: what the change of one package left half done is no other package's fault.
func TestCutOffBefore(t *testing.T) {
	w := newWorld(t)
	d := newPretendDNF(t, w, "tool-libs-1-1.x86_64")
	must(t, d.transaction([]sampleRPM{d.repo[1]}))
	before := w.snapshot(t)
	tool, module := Package{Name: "tool", Version: "1:2.0-1"}, Package{Name: "module"}
	was, first := observe(t, w, tool), observe(t, w, module)
	d.cutAt = "script"
	if err := tool.Set(t.Context(), w, was); !errors.Is(err, errCut) {
		t.Fatalf("it was not cut off: %v", err)
	}
	must(t, set(t, w, module))
	if seen := observe(t, w, tool); !Equal(tool, seen) {
		t.Errorf("it is %+v", seen)
	}
	must(t, undo(t, w, first, module))
	must(t, undo(t, w, was, tool))
	if after := w.snapshot(t); after != before {
		t.Errorf("it is not as it was\n%s", differing(before, after))
	}
}

// TestWhatDNFSays: the cause, and a trace that nothing came of is no hindrance.
func TestWhatDNFSays(t *testing.T) {
	for _, row := range []struct {
		wish         Package
		broken, want string
	}{
		{Package{Name: "nosuch"}, "", "Unable to find a match: nosuch"},
		{Package{Name: "tool", Version: "9*"}, "", "Unable to find a match: tool-9*"},
		{Package{Name: "tool"}, "Failed to download metadata for repo 'gone': Cannot download repomd.xml", "Failed to download metadata for repo 'gone': Cannot download repomd.xml"},
	} {
		w := newWorld(t)
		d := newPretendDNF(t, w)
		before := w.snapshot(t)
		first := observe(t, w, row.wish)
		d.broken = row.broken
		if err := set(t, w, row.wish); err == nil || err.Error() != row.want {
			t.Errorf("%+v: %v", row.wish, err)
		}
		must(t, undo(t, w, first, row.wish))
		if after := w.snapshot(t); after != before {
			t.Errorf("it is not as it was\n%s", differing(before, after))
		}
	}
	for last, want := range map[string]string{
		"Error: \n Problem: conflicting requests\n  - nothing provides /bin/sh needed by sample-1.0-1.noarch":                                       "conflicting requests: nothing provides /bin/sh needed by sample-1.0-1.noarch",
		"Error: \n Problem 1: cannot install the best candidate for the job\n  - nothing provides b needed by a\n  - c\n(try to add '--nobest')":    "cannot install the best candidate for the job: nothing provides b needed by a",
		"No such command: download. Please use /usr/bin/dnf --help\nIt could be a DNF plugin command, try: \"dnf install 'dnf-command(download)'\"": "No such command: download. Please use /usr/bin/dnf --help",
		"rpm: However\nerror: Failed dependencies:\n\ta is needed by (installed) b-1\n\tc":                                                          "Failed dependencies: a is needed by (installed) b-1",
	} {
		if got := dnfError(says(last)); got.Error() != want || LastLines(got) != last {
			t.Errorf("%q\nis told as %q", last, got)
		}
	}
}

// TestWhatIsFetched: of a package that is there for two architectures the one that is installed, and none that is lost.
func TestWhatIsFetched(t *testing.T) {
	w := newWorld(t)
	d := newPretendDNF(t, w, "tool-libs-1-1.x86_64")
	must(t, d.transaction([]sampleRPM{d.repo[1]}))
	must(t, set(t, w, Package{Name: "tool", Version: "1:2.0-1"}))
	tr, err := readTrace(w, "tool")
	if err != nil || !strings.HasSuffix(tr.kept(w, "tool", "1:1.0-1"), "/tool-1.0-1.x86_64.rpm") {
		t.Errorf("what was replaced is kept as %q, %v", tr.kept(w, "tool", "1:1.0-1"), err)
	}
	w = newWorld(t)
	newPretendDNF(t, w, "old-0.9-1.noarch")
	if seen := observe(t, w, Package{Name: "old", Version: "1-1"}); !seen.(Package).OneWay() {
		t.Errorf("nobody is told that it cannot be undone: %+v", seen)
	}
	if left, _ := os.ReadDir(w.Path("/run")); len(left) > 0 {
		t.Errorf("a look has left %s", left[0].Name())
	}
}

// TestWhoseHostItIs: each manager is also a package of the other's world.
func TestWhoseHostItIs(t *testing.T) {
	for name, row := range map[string]struct {
		files map[string]string
		links map[string]string
		want  string
	}{
		"Debian":          {map[string]string{"/usr/bin/apt-get": "", dpkgStatus: "Package: dpkg\n"}, nil, "apt"},
		"Debian with dnf": {map[string]string{"/usr/bin/apt-get": "", "/usr/bin/dnf": "", dpkgStatus: "Package: dpkg\n"}, nil, "apt"},
		"Rocky":           {nil, map[string]string{"/usr/bin/dnf": "dnf-3"}, "dnf"},
		"Fedora with apt": {map[string]string{"/usr/bin/apt-get": "", dpkgStatus: ""}, map[string]string{"/usr/bin/dnf": "dnf-3"}, "dnf"},
		"a newer Fedora":  {nil, map[string]string{"/usr/bin/dnf": "dnf5"}, "this host has dnf 5, of which kubewright knows only the predecessor, dnf 4"},
		"Alpine":          {nil, nil, "this host has neither apt nor dnf"},
	} {
		w := newWorld(t)
		for file, content := range row.files {
			w.write(t, file, content, 0o755)
		}
		for link, target := range row.links {
			symlink(t, w, target, link)
		}
		got, err := managerOf(w)
		if err != nil && err.Error() != row.want || err == nil && got.name() != row.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestLockOfDNF: dnf's lock is a process' number in a file, which stays when the process is killed.
func TestLockOfDNF(t *testing.T) {
	w := newWorld(t)
	offerRPM()(t, w)
	w.write(t, "/var/lib/dnf/rpmdb_lock.pid", "71", 0o644)
	if who, err := lockHolder(w, dnf{}.locks()); err != nil || who != "" {
		t.Errorf("a dead process holds it: %q, %v", who, err)
	}
	w.write(t, "/proc/71/cmdline", "/usr/bin/python3\x00/usr/bin/dnf\x00upgrade\x00", 0o444)
	if who, err := lockHolder(w, dnf{}.locks()); err != nil || who != "process 71 (/usr/bin/python3 /usr/bin/dnf upgrade)" {
		t.Errorf("it is held by %q, %v", who, err)
	}
}
