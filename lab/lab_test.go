package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewright/kubewright/inventory"
)

func at(name, addr string) inventory.Host {
	return inventory.Host{Name: name, Address: netip.MustParseAddr(addr), Roles: []inventory.Role{inventory.Worker}}
}

func TestSubnetOf(t *testing.T) {
	for _, tt := range []struct {
		name          string
		hosts         []inventory.Host
		prefix, gw    string
		errorContains string
	}{
		{name: "the course's hosts", hosts: Default().Spec.Hosts, prefix: "192.168.1.0/24", gw: "192.168.1.1"},
		{name: "one host alone", hosts: []inventory.Host{at("a", "10.0.0.7")}, prefix: "10.0.0.0/24", gw: "10.0.0.1"},
		{name: "a host has the first address", hosts: []inventory.Host{at("a", "10.0.0.1"), at("b", "10.0.0.2")}, prefix: "10.0.0.0/24", gw: "10.0.0.3"},
		{name: "hosts in neighbouring networks", hosts: []inventory.Host{at("a", "10.20.0.1"), at("b", "10.20.5.1")}, prefix: "10.20.0.0/21", gw: "10.20.0.2"},
		{name: "IPv6", hosts: []inventory.Host{at("a", "fd00::21"), at("b", "fd00::31")}, prefix: "fd00::/64", gw: "fd00::1"},
		{name: "hosts of different sites", hosts: []inventory.Host{at("a", "10.0.0.1"), at("b", "192.168.0.1")}, errorContains: "host b: address 192.168.0.1: the lab's hosts must share one network"},
		{name: "two families", hosts: []inventory.Host{at("a", "10.0.0.1"), at("b", "fd00::1")}, errorContains: "host b: address fd00::1"},
		{name: "one address twice", hosts: []inventory.Host{at("a", "10.0.0.1"), at("b", "10.0.0.1")}, errorContains: "another host's too"},
		{name: "an address is missing", hosts: []inventory.Host{{Name: "a"}}, errorContains: "host a"},
		{name: "no hosts", errorContains: "no hosts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := subnetOf(tt.hosts)
			if tt.errorContains != "" {
				if err == nil || !strings.Contains(err.Error(), tt.errorContains) {
					t.Fatalf("error %v, want one with %q", err, tt.errorContains)
				}
				return
			}
			if err != nil || got.prefix.String() != tt.prefix || got.gateway.String() != tt.gw {
				t.Errorf("%v, %v; want %s and gateway %s", got, err, tt.prefix, tt.gw)
			}
		})
	}
}

func TestPortOf(t *testing.T) {
	seen := map[string]string{}
	for _, tt := range []struct {
		host string
		own  bool // the port has the host's own name
	}{
		{"master", true}, {"node-0001", true}, {"exactly-15-long", true},
		{"exactly-16-longg", false}, {"cp-2.site.example", false}, {"lo", false}, {"kwlab0", false},
	} {
		got := portOf(tt.host)
		if (got == tt.host) != tt.own || len(got) > 15 || seen[got] != "" {
			t.Errorf("portOf(%q) = %q (own name: %v)", tt.host, got, tt.own)
		}
		seen[got] = tt.host
	}
}

func TestMACIsLocalUnicastAndStable(t *testing.T) {
	if got, want := macOf("master"), macOf("master"); got != want || !strings.HasPrefix(got, "02:") || len(got) != 17 {
		t.Errorf("macOf = %q, %q", got, want)
	}
	if macOf("master") == macOf("registry") {
		t.Error("two hosts have one address")
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name, host, errorContains string
	}{
		{"a plain name", "node-1", ""},
		{"a name with dots", "node-1.example.org", ""},
		{"a path", "../etc", "lower-case host name"},
		{"upper case", "Node", "lower-case host name"},
		{"an option", "-rf", "lower-case host name"},
		{"too long for the kernel", strings.Repeat("n", 57), "at most 56"},
		{"there twice", "other", "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := inventory.Cluster{Spec: inventory.Spec{Hosts: []inventory.Host{at("other", "10.0.0.1"), at(tt.host, "10.0.0.2")}}}
			err := check(&c)
			if (err == nil) != (tt.errorContains == "") || err != nil && !strings.Contains(err.Error(), tt.errorContains) {
				t.Errorf("check = %v, want %q", err, tt.errorContains)
			}
		})
	}
}

func TestPlugArgs(t *testing.T) {
	net := subnet{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParseAddr("192.168.1.1")}
	want := []string{
		// "dev" is needed: a host may be called master, which is a word of ip(8)'s own.
		"ip -n kwlab link set dev master master kwlab0 up",
		"ip -n kwlab-master link set dev lo up",
		"ip -n kwlab-master link set dev eth0 up",
		"ip -n kwlab-master address replace 192.168.1.21/24 dev eth0",
		"ip -n kwlab-master route replace default via 192.168.1.1",
	}
	var got []string
	for _, argv := range plugArgs(at("master", "192.168.1.21"), net) {
		got = append(got, strings.Join(argv, " "))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := addressArgs("ns", "eth0", netip.MustParseAddr("fd00::21"), 64); got[len(got)-1] != "nodad" {
		t.Errorf("an IPv6 address waits for duplicates that cannot be: %v", got)
	}
}

func TestNspawnArgs(t *testing.T) {
	c := containerOf(at("cp-2.example", "10.0.0.2"), "/home/u/.lab")
	got := strings.Join(c.nspawnArgs(true, true), "\n") + "\n"
	for _, want := range []string{
		"--directory=/var/lib/kubewright-lab/hosts/cp-2.example/root\n",
		"--machine=kwlab-cp-2-example\n",
		"--hostname=cp-2.example\n",
		"--network-namespace-path=/run/netns/kwlab-cp-2.example\n",
		"--drop-capability=CAP_SYS_TIME\n", // the clock is the machine's
		"--bind=/var/lib/kubewright-lab/hosts/cp-2.example/lib/containerd:/var/lib/containerd\n",
		"--bind=/var/lib/kubewright-lab/hosts/cp-2.example/sysctl:/run/kwlab/sysctl\n",
		"--bind-ro=/dev/kmsg\n--bind-ro=/var/lib/kubewright-lab/packages:/usr/lib/kwlab/packages\n/usr/lib/kwlab/init\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(strings.Join(c.nspawnArgs(false, false), " "), "kmsg") {
		t.Error("binds a device the machine lacks")
	}
	if c.log != "/home/u/.lab/log/cp-2.example.log" {
		t.Errorf("console in %s", c.log)
	}
}

func TestIsInit(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tsystemd\nNSpid:\t16607\t1\n":     true,
		"Name:\tsshd\nNSpid:\t16700\t66\n":       false,
		"Name:\tpause\nNSpid:\t16800\t400\t1\n":  false, // a pod's first process
		"Name:\tsystemd-nspawn\nNSpid:\t16600\n": false,
		"Name:\tkernel without namespaces\n":     false,
	} {
		if isInit(status) != want {
			t.Errorf("isInit(%q) = %v", status, !want)
		}
	}
}

func TestRemoveUserFilesLeavesForeignOnes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".lab")
	if err := ownDir(dir); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"cluster.yaml", "id_ed25519", "id_ed25519.pub", "known_hosts", "log/master.log", ".kwlab-123", "notes.txt"} {
		if err := writeFile(filepath.Join(dir, n), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeUserFiles(dir); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if d := cmp.Diff([]string{filepath.Join(dir, marker), filepath.Join(dir, "notes.txt")}, left); d != "" {
		t.Error(d)
	}
	if err := os.Remove(filepath.Join(dir, "notes.txt")); err != nil {
		t.Fatal(err)
	}
	if err := removeUserFiles(dir); err != nil || exists(dir) {
		t.Errorf("the empty directory is still there (%v)", err)
	}
}

func TestALabTakesOnlyAnEmptyFolder(t *testing.T) {
	dir := t.TempDir()
	if err := writeFile(filepath.Join(dir, "id_ed25519"), []byte("the user's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ownDir(dir); err == nil || !strings.Contains(err.Error(), "id_ed25519") {
		t.Errorf("a folder with the user's files was taken: %v", err)
	}
	if err := removeUserFiles(dir); err != nil || !exists(filepath.Join(dir, "id_ed25519")) {
		t.Errorf("a file that is not the lab's was removed (%v)", err)
	}
}

func TestDiscardIsRepeatable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hosts")
	for range 2 { // the second time with the remains of a killed first
		if err := writeFile(filepath.Join(dir, "a/root/etc/hosts"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(filepath.Join(dir+".gone", "a/half"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := discard(dir); err != nil || exists(dir) || exists(dir+".gone") {
			t.Fatalf("discard: %v", err)
		}
	}
	if err := discard(dir); err != nil {
		t.Errorf("nothing to discard: %v", err)
	}
}

func TestKeyIsMadeOnceAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "id_ed25519")
	first, err := keyAt(path, "lab")
	if err != nil {
		t.Fatal(err)
	}
	again, err := keyAt(path, "lab")
	if err != nil || again.fingerprint() != first.fingerprint() {
		t.Errorf("the key changed (%v)", err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if !strings.HasPrefix(first.authorized, "ssh-ed25519 ") || !strings.HasPrefix(first.fingerprint(), "SHA256:") {
		t.Errorf("%s, %s", first.authorized, first.fingerprint())
	}
}
