package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatchHierarchies(t *testing.T) {
	for _, tt := range []struct {
		name, mountinfo, self string
		want                  []string // where a cgroup called kwlab-a goes
	}{
		{
			name: "v1, the caller in a memory cgroup of its own, v2 without controllers",
			mountinfo: `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`,
			self: "9:name=systemd:/\n4:memory:/jobs/59bd\n3:cpuset:/\n0::/\n",
			want: []string{"/sys/fs/cgroup/systemd/kwlab-a", "/sys/fs/cgroup/memory/jobs/59bd/kwlab-a", "/sys/fs/cgroup/cpuset/kwlab-a", "/sys/fs/cgroup/unified/kwlab-a"},
		},
		{
			name:      "v1 with two controllers in one hierarchy",
			mountinfo: "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n",
			self:      "2:cpu,cpuacct:/user.slice\n3:cpuset:/\n",
			want:      []string{"/sys/fs/cgroup/cpu,cpuacct/user.slice/kwlab-a", "/sys/fs/cgroup/cpuset/kwlab-a"},
		},
		{
			name:      "v2 alone: at the top, as a cgroup with processes hands out no controllers",
			mountinfo: "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
			self:      "0::/user.slice/user-0.slice/session-1.scope\n",
			want:      []string{"/sys/fs/cgroup/kwlab-a"},
		},
		{
			name:      "in a container without a cgroup namespace the mount's root is the container's own cgroup",
			mountinfo: "35 31 0:32 /docker/c1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			self:      "4:memory:/docker/c1/sub\n",
			want:      []string{"/sys/fs/cgroup/memory/sub/kwlab-a"},
		},
		{
			name:      "a hierarchy that is not mounted is left alone",
			mountinfo: "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			self:      "5:net_cls:/\n4:memory:/\n",
			want:      []string{"/sys/fs/cgroup/memory/kwlab-a"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, h := range matchHierarchies(parseMounts(tt.mountinfo), tt.self) {
				got = append(got, h.dir("kwlab-a"))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMakeCgroupFillsAnEmptyCpuset(t *testing.T) {
	top := t.TempDir()
	for f, v := range map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"} {
		if err := os.WriteFile(filepath.Join(top, f), []byte(v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hs := []hierarchy{{mount: top, own: top, name: "cpuset"}}
	for range 2 { // a continued Up finds it there
		if err := makeCgroup(hs, "kwlab-a"); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(top, "kwlab-a", "cpuset.cpus")); string(b) != "0-1\n" {
		t.Errorf("cpuset.cpus %q", b)
	}
}

func TestProcessesAreCountedOnceAndBelow(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for f, v := range map[string]string{
		filepath.Join(a, "cgroup.procs"):                   "12\n7\n",
		filepath.Join(a, "x.slice/y.service/cgroup.procs"): "31\n",
		filepath.Join(b, "cgroup.procs"):                   "7\n0\n", // 0: a process of another process namespace
	} {
		if err := writeFile(f, []byte(v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]int{7, 12, 31}, processes([]string{a, b, "/no/such/cgroup"})); d != "" {
		t.Error(d)
	}
}

func TestMountIsOurs(t *testing.T) {
	const text = `27 1 254:0 / / rw - ext4 /dev/vda rw
90 27 0:50 / /var/lib/kubewright-lab/hosts/a\040b/root rw - overlay kwlab-a rw,lowerdir=/x
91 27 0:51 / /mnt/elsewhere rw shared:3 - overlay kwlab-b rw
92 27 0:52 / /var/lib/kubewright-laboratory rw - tmpfs tmpfs rw
93 27 0:53 / /mnt/other rw - overlay kwlabel rw
`
	var got []string
	for _, m := range parseMounts(text) {
		if m.ours() {
			got = append(got, m.point)
		}
	}
	if d := cmp.Diff([]string{"/var/lib/kubewright-lab/hosts/a b/root", "/mnt/elsewhere"}, got); d != "" {
		t.Error(d)
	}
}

func TestSpeaksOf(t *testing.T) {
	for _, tt := range []struct {
		name, list string
		want       bool
	}{
		{"one line", "deb http://mirror.test/debian bookworm main\n", true},
		{"deb822", "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n", true},
		{"security only", "Suites: bookworm-security\n", true},
		{"the old form of security", "deb http://mirror.test/ bookworm/updates main\n", true},
		{"a comment", "# bookworm\nSuites: trixie\n", false},
		{"another vendor's", "deb http://vendor.test/apt stable main\n", false},
		{"a longer word", "Suites: bookworms\n", false},
	} {
		if got := speaksOf([]byte(tt.list), "bookworm"); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestCodename(t *testing.T) {
	if got := codename([]byte("ID=debian\nVERSION_CODENAME=bookworm\n")); got != "bookworm" {
		t.Error(got)
	}
	if got := codename([]byte("ID=arch\n")); got != "" {
		t.Error(got)
	}
}

func TestAcquireOptionsKeepsWhatDownloadsNeed(t *testing.T) {
	got := acquireOptions([]byte(`APT::Update::Post-Invoke:: "rm -f /var/cache/apt/*.bin || true";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::IndexTargets::deb::Packages::Optional "0";
Acquire::http::Proxy "http://proxy.test:3128";
Acquire::https::CaInfo "/etc/ssl/x.pem";
Acquire::Languages:: "none";
Acquire::cdrom::mount "/media/cdrom/";
Dir::Cache "var/cache/apt";
`))
	want := `Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::http::Proxy "http://proxy.test:3128";
Acquire::https::CaInfo "/etc/ssl/x.pem";
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBootstrapArgs(t *testing.T) {
	got := bootstrapArgs(aptSource{suite: "bookworm", files: []string{"/etc/apt/sources.list.d/a.sources"}}, "/c/machine.conf", "/c/tree")
	if d := cmp.Diff([]string{"bookworm", "/c/tree", "/etc/apt/sources.list.d/a.sources"}, got[len(got)-3:]); d != "" {
		t.Error(d)
	}
	if !slices.Contains(got, "--aptopt=/c/machine.conf") || !slices.ContainsFunc(got, func(s string) bool {
		return strings.HasPrefix(s, "--include=") && strings.Contains(s, "openssh-server")
	}) {
		t.Errorf("%v", got)
	}
}

func TestRootfsKeyFollowsItsContent(t *testing.T) {
	before := rootfsKey("bookworm")
	if rootfsKey("bookworm") != before || rootfsKey("trixie") == before {
		t.Error("the key does not follow the suite")
	}
	defer func(was []string) { packages = was }(packages)
	packages = append(slices.Clone(packages), "chrony")
	if rootfsKey("bookworm") == before {
		t.Error("the key does not follow the packages")
	}
}

func TestCopySysctlsLeavesNetOut(t *testing.T) {
	to := t.TempDir()
	if err := os.MkdirAll(filepath.Join(to, "kernel/stale"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copySysctls(to); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(to, "net")) || exists(filepath.Join(to, "kernel/stale")) {
		t.Error("net or the last boot's values are in the copy")
	}
	was, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
	if err != nil {
		t.Skip("no such sysctl here")
	}
	if got, _ := os.ReadFile(filepath.Join(to, "vm/overcommit_memory")); string(got) != string(was) {
		t.Errorf("copied %q, is %q", got, was)
	}
}
