package lab

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewright/kubewright/inventory"
)

func noVM(string) bool { return false }

func TestMachinesOf(t *testing.T) {
	for _, tt := range []struct {
		name, wanted, want, errorContains string
	}{
		{"one", "node-0001", "node-0001", ""},
		{"all", "*", "master node-0001 node-0002 registry", ""},
		{"in the inventory's order, each once", "registry master registry", "master registry", ""},
		{"all and one", "* master", "master node-0001 node-0002 registry", ""},
		{"a name that is not there", "node-0003", "", `no host is called "node-0003"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := machinesOf(*Default(), strings.Fields(tt.wanted))
			if tt.errorContains != "" {
				if err == nil || !strings.Contains(err.Error(), tt.errorContains) {
					t.Errorf("error %v, want one with %q", err, tt.errorContains)
				}
				return
			}
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("%q, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestUMLArgs(t *testing.T) {
	c := containerOf(at("cp-2.site.example", "10.0.0.2"), "/home/u/.lab")
	got := c.umlArgs()
	for _, want := range []string{
		"ubd0=/var/lib/kubewright-lab/hosts/cp-2.site.example/disk.img", "mem=2048M",
		"eth0=tuntap," + portOf("cp-2.site.example") + "," + macOf("cp-2.site.example"),
		"con0=null,fd:1", // the console is the log
		"uml_dir=/var/lib/kubewright-lab/hosts/cp-2.site.example/",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if got[0] != "/usr/bin/linux.uml" {
		t.Errorf("a reboot starts %s again, which must be a whole path", got[0])
	}
}

func TestVMFilesCarryTheAddress(t *testing.T) {
	for _, tt := range []struct{ addr, prefix, gw, want string }{
		{"10.20.5.1", "10.20.0.0/21", "10.20.0.2", "Address=10.20.5.1/21\nGateway=10.20.0.2\n"},
		{"fd00::21", "fd00::/64", "fd00::1", "Address=fd00::21/64\nGateway=fd00::1\n"},
	} {
		var all string
		for _, f := range vmFiles(netip.MustParseAddr(tt.addr), subnet{netip.MustParsePrefix(tt.prefix), netip.MustParseAddr(tt.gw)}) {
			all += f.Content
		}
		if !strings.Contains(all, tt.want) {
			t.Errorf("no %q in\n%s", tt.want, all)
		}
	}
}

// TestQuietUnitsAreMasked: what stays masked on a virtual machine must be masked in the first place.
func TestQuietUnitsAreMasked(t *testing.T) {
	for _, u := range quiet {
		if !slices.Contains(masked, u) {
			t.Errorf("%s is not masked", u)
		}
	}
	if !slices.Contains(masked, "systemd-modules-load.service") || slices.Contains(quiet, "systemd-modules-load.service") {
		t.Error("a virtual machine loads its modules at boot, a container does not")
	}
}

func TestAvailable(t *testing.T) {
	if got := available("MemTotal:  100 kB\nMemAvailable:   22 kB\n"); got != 22<<10 {
		t.Errorf("got %d", got)
	}
	if got := available("MemTotal: 100 kB\nMemAvailable:\n"); got != 0 {
		t.Errorf("got %d", got)
	}
}

func TestOutermost(t *testing.T) {
	parents := map[int]int{40: 1, 12: 40, 13: 40, 14: 13}
	if got := outermost([]int{12, 13, 14, 40}, func(pid int) int { return parents[pid] }); got != 40 {
		t.Errorf("got %d", got)
	}
	if got := outermost([]int{12}, func(int) int { return 0 }); got != 0 {
		t.Errorf("a process that has gone: got %d", got)
	}
}

// TestSettleFollowsTheKindOfHosts: what containers need is not asked of machines, and kube-proxy gets a mode that all nodes can do.
func TestSettleFollowsTheKindOfHosts(t *testing.T) {
	type proxy = inventory.KubeProxy
	for _, tt := range []struct {
		name, vms  string
		asked      proxy
		want       proxy
		containers bool // what a container needs is set
	}{
		{"containers only", "", proxy{}, proxy{}, true},
		{"containers only, as asked", "", proxy{Mode: "ipvs", Fallback: "nftables"}, proxy{Mode: "ipvs", Fallback: "nftables"}, true},
		{"machines only", "a b", proxy{}, proxy{Mode: "ipvs", Fallback: "iptables"}, false},
		{"machines only, the inventory's default filled in", "a b", proxy{Mode: "nftables"}, proxy{Mode: "ipvs", Fallback: "iptables"}, false},
		{"machines only, as asked", "a b", proxy{Mode: "iptables"}, proxy{Mode: "iptables"}, false},
		{"both", "b", proxy{}, proxy{Mode: "nftables", Fallback: "iptables"}, true},
		{"both, ipvs asked for", "b", proxy{Mode: "ipvs", Fallback: "nftables"}, proxy{Mode: "ipvs", Fallback: "iptables"}, true},
		{"a machine that is no node", "r", proxy{}, proxy{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b, r := at("a", "10.0.0.2"), at("b", "10.0.0.3"), at("r", "10.0.0.4")
			a.Roles, r.Roles = []inventory.Role{inventory.ControlPlane}, []inventory.Role{inventory.Registry}
			c := inventory.Cluster{Spec: inventory.Spec{Hosts: []inventory.Host{a, b, r}, KubeProxy: tt.asked}}
			got := settle(c, nil, func(h string) bool { return slices.Contains(strings.Fields(tt.vms), h) }).Spec
			if d := cmp.Diff(tt.want, got.KubeProxy); d != "" {
				t.Error(d)
			}
			if slices.Contains(got.Preflight.Ignore, "cpus") != (strings.Contains(tt.vms, "a")) {
				t.Errorf("a control plane with one processor: %v", got.Preflight.Ignore)
			}
			if got.Containerd.RestrictOOMScoreAdj != tt.containers || (got.Kubelet.FailCgroupV1 != nil) != tt.containers {
				t.Errorf("containers' settings: %+v %+v", got.Containerd, got.Kubelet)
			}
		})
	}
}
