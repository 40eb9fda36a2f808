package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// plant writes files below a machine's root.
func plant(t *testing.T, m ops.Machine, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := m.Path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFacts(t *testing.T) {
	m := ops.NewPretend(t.TempDir())
	_, kernel := uname()
	host, _ := uname()
	plant(t, m, map[string]string{
		"/etc/os-release":                             "NAME=x\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian 12'\n# ID=no\n",
		"/proc/meminfo":                               "MemTotal:        2048 kB\nMemAvailable:    1024 kB\nHugePages_Total:       0\n",
		"/proc/sys/kernel/random/boot_id":             "1b9d\n",
		"/proc/1/stat":                                "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 175\n",
		"/proc/1/comm":                                "systemd\n",
		"/proc/1/environ":                             "PATH=/bin\x00container=systemd-nspawn\x00",
		"/etc/machine-id":                             "abc\n",
		"/sys/class/dmi/id/product_uuid":              "ABC-DEF\n",
		"/sys/fs/cgroup/cgroup.controllers":           "cpu io memory pids\n",
		"/sys/fs/selinux/enforce":                     "1",
		"/etc/selinux/config":                         "SELINUX=enforcing\n",
		"/proc/modules":                               "overlay 204800 1 - Live 0x0\nfat 1 0 - Live 0x0\n",
		"/proc/net/ip_vs":                             "IP Virtual Server version 1.2.1\n",
		"/lib/modules/" + kernel + "/modules.builtin": "kernel/drivers/net/vxlan/vxlan.ko\n",
		"/lib/modules/" + kernel + "/modules.dep": "kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\n" +
			"kernel/net/netfilter/ipset/ip_set.ko.xz: kernel/net/netfilter/nfnetlink.ko.xz\n", // of which there are no files
		"/lib/modules/" + kernel + "/kernel/net/bridge/br_netfilter.ko.xz": "x",
		"/lib/modules/" + kernel + "/kernel/net/bridge/bridge.ko.xz":       "x",
		"/proc/swaps": "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2\n/swapfile file 1 0 -3\n",
		"/usr/lib/systemd/system-generators/zram-generator": "",
		"/proc/net/route":                     "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
		"/proc/net/tcp":                       "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1\n   1: 0100007F:1F91 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 778 1\n",
		"/proc/net/tcp6":                      "  sl\n   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 779 1\n",
		"/proc/33/comm":                       "sshd\n",
		"/etc/resolv.conf":                    "# c\nnameserver 127.0.0.53\nnameserver 1.2.3.4\nsearch a.example b.example\noptions edns0\n",
		"/etc/hosts":                          "127.0.0.1 localhost\n127.0.1.1 " + host + ".example " + host + " # us\n",
		"/etc/kubernetes/pki/ca.crt":          "PEM",
		"/etc/kubernetes/manifests/etcd.yaml": "x",
		"/etc/rancher/k3s/k3s.yaml":           "x",
		"/var/lib/kubewright/cluster":         "demo\n",
		"/var/lib/kubewright/journal.jsonl":   `{"version":1,"state":"intent","key":"dir:/etc/kubernetes"}` + "\n",
	})
	if err := os.MkdirAll(m.Path("/proc/33/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[777]", m.Path("/proc/33/fd/4")); err != nil {
		t.Fatal(err)
	}
	f := Gather(t.Context(), m, StateDir)
	for name, row := range map[string]struct{ got, want any }{
		"hostname":    {f.Hostname, host},
		"os":          {[]string{f.OS, f.OSVersion, f.OSName}, []string{"debian", "12", "Debian 12"}},
		"memory":      {[]uint64{f.Memory, f.Available}, []uint64{2 << 20, 1 << 20}},
		"boot id":     {f.BootID, "1b9d-4242"},
		"machine id":  {f.MachineID, "abc"},
		"uuid":        {f.ProductUUID, "abc-def"},
		"init":        {f.Init, "systemd"},
		"container":   {f.Container, "systemd-nspawn"},
		"cgroup":      {f.Cgroup, 2},
		"controllers": {f.Controllers, []string{"cpu", "io", "memory", "pids"}},
		"selinux":     {f.SELinux, "enforcing"},
		"modules": {f.Modules, map[string]string{"overlay": "loaded", "ip_vs": "builtin", "vxlan": "builtin",
			"br_netfilter": "available"}},
		"zram":          {f.Zram, true},
		"swaps":         {f.Swaps, []string{"/dev/sda2", "/swapfile"}},
		"routes":        {f.Routes, []Route{{Network: "192.168.1.0/24", Interface: "eth0"}}},
		"default route": {f.DefaultRoute, "eth0"},
		"listening": {f.Listening, []Listener{{Protocol: "tcp", Address: "127.0.0.1", Port: 8080, PID: 33, Process: "sshd"},
			{Protocol: "tcp", Address: "::", Port: 22}}},
		"nameservers": {f.Nameservers, []string{"127.0.0.53", "1.2.3.4"}},
		"search":      {f.Search, []string{"a.example", "b.example"}},
		"names":       {f.Names, []string{"127.0.1.1"}},
		"authorities": {f.Authorities, map[string]string{"kubernetes": "PEM"}},
		"cluster":     {f.Cluster, "demo"},
		"changes":     {f.Changes, 1},
		"remains":     {f.Remains, []string{"/etc/rancher/k3s"}},
	} {
		if !reflect.DeepEqual(row.got, row.want) {
			t.Errorf("%s: %v, want %v", name, row.got, row.want)
		}
	}
}

// A machine that has none of it gives no facts and no trouble.
func TestFactsOfAnEmptyMachine(t *testing.T) {
	f := Gather(t.Context(), ops.NewPretend(t.TempDir()), StateDir)
	if f.Hostname == "" || f.Arch == "" || f.CPUs == 0 || f.OS != "" || f.Memory != 0 || f.Journal != "" || f.Remains != nil {
		t.Errorf("gathered %+v", f)
	}
}

func TestFactsTellOfADamagedJournal(t *testing.T) {
	m := ops.NewPretend(t.TempDir())
	plant(t, m, map[string]string{"/var/lib/kubewright/journal.jsonl": "{\n"})
	if f := Gather(t.Context(), m, StateDir); !strings.Contains(f.Journal, "line 1 is damaged") {
		t.Errorf("the journal is said to be %q", f.Journal)
	}
}

// here is this very machine, to be looked at only.
type here struct{ ops.Machine }

func (here) Path(p string) string { return p }

// On a real machine facts come in milliseconds, and fit a hello.
func TestFactsOfThisMachine(t *testing.T) {
	m := here{ops.NewPretend(t.TempDir())}
	began := time.Now()
	f := Gather(t.Context(), m, filepath.Join(t.TempDir(), "state"))
	took := time.Since(began)
	raw, err := json.Marshal(f)
	if err != nil || len(raw) > maxHello/4 {
		t.Errorf("the facts take %d bytes: %v", len(raw), err)
	}
	if f.Kernel == "" || f.Memory == 0 || f.BootID == "" || len(f.Disks) == 0 || len(f.Interfaces) == 0 {
		t.Errorf("gathered %s", raw)
	}
	t.Logf("%s for %d bytes", took, len(raw))
	if took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}
