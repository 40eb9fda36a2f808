package fingerprint

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// write makes a file below root.
func write(t *testing.T, root, name, content string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, root string) []string {
	t.Helper()
	lines, err := Take(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// tree is a little host.
func tree(t *testing.T) string {
	root := t.TempDir()
	for name, content := range map[string]string{
		"/etc/hosts": "127.0.0.1 localhost\n", "/etc/systemd/system/a.service": "[Unit]\n", "/usr/bin/x": "x", "/var/lib/dpkg/status": "",
		"/run/lock/a": "", "/var/log/messages": "one\n", "/var/cache/apt/pkgcache.bin": "1",
	} {
		write(t, root, name, content, 0o644)
	}
	if err := os.Symlink("/lib/a.service", root+"/etc/systemd/system/b.service"); err != nil {
		t.Fatal(err)
	}
	return root
}

// Everything that an installer may leave behind shows, and nothing that a host does by itself.
func TestWhatShows(t *testing.T) {
	for name, row := range map[string]struct {
		change func(root string) error
		shows  string // what each line of the difference speaks of; empty: nothing
	}{
		"nothing":                  {func(string) error { return nil }, ""},
		"a new file":               {func(r string) error { return os.WriteFile(r+"/usr/bin/y", nil, 0o755) }, "/usr/bin/y"},
		"a file that went":         {func(r string) error { return os.Remove(r + "/usr/bin/x") }, "/usr/bin/x"},
		"other content, as long":   {func(r string) error { return os.WriteFile(r+"/usr/bin/x", []byte("y"), 0) }, "/usr/bin/x"},
		"another mode":             {func(r string) error { return os.Chmod(r+"/usr/bin/x", 0o600) }, "/usr/bin/x"},
		"a set-user-ID bit":        {func(r string) error { return os.Chmod(r+"/usr/bin/x", 0o644|os.ModeSetuid) }, "/usr/bin/x"},
		"another owner":            {func(r string) error { return chown(r + "/usr/bin/x") }, "/usr/bin/x"},
		"an empty directory":       {func(r string) error { return os.Mkdir(r+"/opt", 0o755) }, "/opt"},
		"a directory's mode":       {func(r string) error { return os.Chmod(r+"/usr/bin", 0o700) }, "/usr/bin"},
		"another target":           {func(r string) error { return relink(r + "/etc/systemd/system/b.service") }, "/etc/systemd/system/b.service"},
		"the time of a file":       {func(r string) error { return os.Chtimes(r+"/usr/bin/x", time.Now(), time.Unix(1, 0)) }, ""},
		"the time of one in /etc":  {func(r string) error { return os.Chtimes(r+"/etc/hosts", time.Now(), time.Unix(1, 0)) }, "/etc/hosts"},
		"a log that grew":          {func(r string) error { return os.WriteFile(r+"/var/log/messages", []byte("one\ntwo\n"), 0) }, ""},
		"a log nobody had before":  {func(r string) error { return os.Mkdir(r+"/var/log/pods", 0o755) }, "/var/log/pods"},
		"a cache":                  {func(r string) error { return os.WriteFile(r+"/var/cache/apt/more", nil, 0o644) }, ""},
		"state of what runs":       {func(r string) error { return os.WriteFile(r+"/run/lock/a", []byte("1"), 0) }, ""},
		"a lock nobody had before": {func(r string) error { return os.WriteFile(r+"/run/xtables.lock", nil, 0o600) }, "/run/xtables.lock"},
		"a name with a line end":   {func(r string) error { return os.WriteFile(r+"/opt\nfile", nil, 0o600) }, `/opt\nfile`},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t)
			before := take(t, root)
			if err := row.change(root); err != nil {
				t.Fatal(err)
			}
			diff := Diff(before, take(t, root))
			if row.shows == "" && len(diff) > 0 || row.shows != "" && len(diff) == 0 {
				t.Fatalf("the difference is %q", diff)
			}
			for _, l := range diff {
				if f := strings.Fields(l); f[2] != row.shows {
					t.Errorf("%q is not about %s", l, row.shows)
				}
			}
		})
	}
}

// chown gives a file to somebody else, which only root may; for others it is a change of mode, which shows the same way.
func chown(path string) error {
	if os.Geteuid() != 0 {
		return os.Chmod(path, 0o611)
	}
	return os.Chown(path, 1, 1)
}

func relink(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Symlink("/dev/null", path)
}

func TestDiffIsSortedByThing(t *testing.T) {
	before := []string{"file /a 1", "file /b 1", "file /c 1", "link eth0 x", "link eth0 x"}
	after := []string{"file /a 2", "file /b 1", "file /d 1", "link eth0 x"}
	want := []string{"- file /a 1", "+ file /a 2", "- file /c 1", "+ file /d 1", "- link eth0 x"}
	if got := Diff(before, after); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := Diff(before, before); len(got) > 0 {
		t.Errorf("of the same: %q", got)
	}
}

func TestSkippedPathsAreNotTold(t *testing.T) {
	lines, err := Take(t.Context(), Options{Root: tree(t), Skip: []string{"/etc"}, Only: []string{"file"}})
	if err != nil || slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "/etc") }) || len(lines) == 0 {
		t.Errorf("got %q, %v", lines, err)
	}
}

func TestEveryExclusionHasItsReason(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range append(slices.Clone(places), volatileSysctls...) {
		if p.reason == "" || p.how == whole || seen[p.path] {
			t.Errorf("%+v", p)
		}
		seen[p.path] = true
	}
}

func TestHowMuchIsToldOfAPlace(t *testing.T) {
	for path, want := range map[string]how{
		"/": whole, "/etc/hosts": whole, "/proc": never, "/proc/1": never, "/dev/null": never, "/dev/shm/x": names, "/var/log/syslog": names,
		"/var/log/journal/x": never, "/home/a/.cache/x": never, "/home/a/.cached": whole, "/tmp/x": names, "/tmp/systemd-private-1/tmp": never,
		"/run/nri": names, "/run/user/0": never, "/var/lib/kubelet": whole,
	} {
		if got := told(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// The outputs of tools are told without what passes: handles, counters, and how long something still is.
func TestToolsAreReadWithoutWhatPasses(t *testing.T) {
	const nft = `{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "ip", "name": "mine", "handle": %d}},
		{"chain": {"family": "ip", "table": "mine", "name": "in", "handle": %d, "type": "filter"}},
		{"rule": {"family": "ip", "table": "mine", "chain": "in", "handle": %d, "expr": [{"counter": {"packets": %d, "bytes": 9}}, {"drop": null}]}}]}`
	number := func(n string) []byte { return []byte(strings.ReplaceAll(nft, "%d", n)) }
	a, err := nftFacts(number("1"))
	b, err2 := nftFacts(number("2"))
	if err != nil || err2 != nil || len(a) != 3 || !slices.Equal(a, b) {
		t.Errorf("nft: %v and %v (%v, %v)", a, b, err, err2)
	}
	if want := `nft rule:ip/mine/in/0001 {"chain":"in","expr":[{"counter":{}},{"drop":null}],"family":"ip","table":"mine"}`; a[2].String() != want {
		t.Errorf("nft: got %s", a[2])
	}

	saved := saveFacts("iptables-nft", "# now\n*nat\n:PREROUTING ACCEPT [5:6]\n:MINE - [0:0]\n-A PREROUTING -j MINE\nCOMMIT\n")
	var lines []string
	for _, f := range saved {
		lines = append(lines, f.String())
	}
	if want := []string{"iptables iptables-nft/nat", "iptables iptables-nft/nat/PREROUTING policy ACCEPT", "iptables iptables-nft/nat/MINE policy -",
		"iptables iptables-nft/nat/PREROUTING/0001 -A PREROUTING -j MINE"}; !slices.Equal(lines, want) {
		t.Errorf("iptables-save: got %q", lines)
	}

	set := numbered("ipset", "create mine hash:ip timeout 60\nadd mine 10.0.0.1 timeout 59\n")
	if len(set) != 2 || set[0].Value != "create mine hash:ip timeout 60" || set[1].Value != "add mine 10.0.0.1" {
		t.Errorf("ipset: got %v", set)
	}

	pkg := dpkgFacts("Package: a\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1:2\nDescription: x\n Version: 3\n\nPackage: b\n")
	if len(pkg) != 2 || pkg[0].String() != "package a 1:2 amd64 hold ok installed" {
		t.Errorf("dpkg: got %v", pkg)
	}
}

func TestTheKernelsTextIsRead(t *testing.T) {
	if comm, kernel := parseStat("7 (a) b) S 1 7 7 0 -1 4194560 1"); comm != "a) b" || kernel {
		t.Errorf("a process: %q %t", comm, kernel)
	}
	if comm, kernel := parseStat("2 (kthreadd) S 0 0 0 0 -1 2129984 0"); comm != "kthreadd" || !kernel {
		t.Errorf("one of the kernel's own: %q %t", comm, kernel)
	}
	if got := socketFact("tcp", strings.Fields("0: 0100007F:0016 00000000:0000 0A x")); len(got) != 1 || got[0].String() != "listen tcp 127.0.0.1 port 22" {
		t.Errorf("a listener: %v", got)
	}
	if got := socketFact("tcp", strings.Fields("0: 0100007F:0016 0100007F:9999 01 x")); got != nil {
		t.Errorf("a connection: %v", got)
	}
	if got := socketFact("udp6", strings.Fields("0: 00000000000000000000000001000000:2118 0:0 07 x")); len(got) != 1 || got[0].String() != "listen udp6 ::1 port 8472" {
		t.Errorf("a UDP socket: %v", got)
	}
	mount := mountFact(strings.Fields("36 35 98:0 /sub /mnt rw,noatime shared:17 master:2 - ext4 /dev/sda1 rw"))
	if len(mount) != 1 || mount[0].String() != "mount /mnt ext4 /dev/sda1/sub rw,noatime shared,master rw" {
		t.Errorf("a mount: %v", mount)
	}
	if got := mountFact(strings.Fields("36 35 98:0 / /run/user/0 rw - tmpfs tmpfs rw")); got != nil {
		t.Errorf("a login's mount: %v", got)
	}
}
