package phases

import (
	"fmt"
	"sort"
	"strings"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

var hostBasics = engine.Phase[Input]{
	Name:  "host",
	Short: "prepare the host",
	Long: "Lets the hosts know each other by name, turns swap off, loads the kernel modules and sets the sysctls that " +
		"pod networking needs, and opens what the host's roles need where a firewall runs: firewalld, ufw or nftables.",
	On:    onEvery,
	Steps: hostSteps,
}

func hostSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	l.add("what kubewright and the cluster keep here goes away with reset",
		ops.Dir{Path: "/etc/kubewright", Mode: 0o755, Owned: true})
	if !packages.On(in) { // which comes first, and did that
		l.claim()
	}
	l.add("hosts find each other by name without DNS",
		ops.Block{Path: "/etc/hosts", Name: "hosts", Lines: hostsLines(in.Cluster)})
	timeService(&l)
	if in.Cluster.Spec.SELinux == inventory.SELinuxPermissive {
		l.add("the inventory wants SELinux to warn only", ops.SELinux{Now: "permissive", Boot: "permissive"})
	}
	if in.Host.Node() {
		nodeBasics(&l)
	}
	firewall(&l)
	return l.done()
}

func nodeBasics(l *list) {
	in := l.in
	if in.facts().Container == "" {
		noSwap(l)
	}
	mods := modules(in)
	if in.facts().Container == "" { // a container's are the machine's
		// Before any of them is loaded, and so given up after all that uses them.
		l.add("what the kernel loads for pod networking by itself goes away with reset", ops.Claim{Name: "modules", Modules: loadable, Held: true})
	}
	if len(mods) > 0 {
		l.add("the modules are loaded again after a reboot",
			text("/etc/modules-load.d/kubewright.conf", []byte(strings.Join(mods, "\n")+"\n")))
		for _, m := range mods {
			l.add("pod networking and the runtime need it", ops.Module{Name: m, Loaded: true})
		}
	}
	settings := sysctls()
	var drop strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&drop, "%s = %s\n", s.Name, s.Value)
	}
	l.add("the settings hold after a reboot", text("/etc/sysctl.d/99-kubewright.conf", []byte(drop.String())))
	for _, s := range settings {
		l.add("packets of pods are forwarded and seen by the host's rules", s)
	}
}

// noSwap turns swap off, for now and for good. In a system container swap is the machine's below, and its kubelet is told to tolerate it.
func noSwap(l *list) {
	facts := l.in.facts()
	const lasting = "swap stays off after a reboot"
	// Swap in memory is made by a generator or a service of its own. What they have made now goes through them, so that they bring it back in the end.
	if facts.Zram {
		for _, area := range facts.Swaps {
			if name, ok := strings.CutPrefix(area, "/dev/zram"); ok {
				l.add("the kubelet does not start while swap is on", ops.Unit{Name: "dev-zram" + name + ".swap"})
			}
		}
		l.add(lasting, ops.Symlink{Path: "/etc/systemd/zram-generator.conf", Target: "/dev/null"})
	}
	for _, name := range []string{"zramswap.service", "zram-config.service"} {
		if facts.Units[name].Exists {
			l.add(lasting, ops.Unit{Name: name})
		}
	}
	// Swap comes back by the target, as at a start of the host, once its entries in fstab are back and it is not masked any more; areas that nobody
	// names are left for the end.
	l.add("the kubelet does not start while swap is on", ops.Swap{})
	l.add("nobody is told that there is swap", ops.Unit{Name: "swap.target"})
	l.add(lasting, ops.Symlink{Path: "/etc/systemd/system/swap.target", Target: "/dev/null"})
	l.add("swap stays off, also when somebody runs swapon -a", ops.Fstab{Type: "swap", Off: true})
}

// hostsLines are the lines of the hosts block: every host of the inventory, in its order.
func hostsLines(c *inventory.Cluster) []string {
	var out []string
	for _, h := range c.Spec.Hosts {
		out = append(out, fmt.Sprintf("%s %s", h.Address, h.Name))
	}
	return out
}

// modules are the kernel modules that a node needs and that its kernel has as modules; what is built in needs nothing.
func modules(in Input) []string {
	want := []string{"overlay", "br_netfilter", "nf_conntrack"}
	if overlay, _ := in.Cluster.Overlay(); overlay != "" {
		want = append(want, overlay)
	}
	if mode, _ := ProxyMode(in.Cluster, in.Facts); mode == "ipvs" {
		want = append(want, "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh")
	}
	var out []string
	for _, m := range want {
		if have := in.facts().Modules[m]; have == "available" || have == "loaded" {
			out = append(out, m)
		}
	}
	sort.Strings(out)
	return out
}

// loadable are the modules that the kernel loads by itself when a runtime, a CNI plugin, flannel or kube-proxy asks for an interface, a rule or a
// set. They are those of packet filtering and of virtual links, all of which come again by themselves when somebody asks.
var loadable = []string{
	"bpfilter", "br_netfilter", "bridge", "dummy", "ebtable*", "ip6_tables", "ip6_udp_tunnel", "ip6t_*", "ip6table_*", "ip_set*", "ip_tables", "ip_vs*",
	"ipt_*", "iptable_*", "libcrc32c", "llc", "nf_*", "nfnetlink*", "nft_*", "overlay", "stp", "udp_tunnel", "veth", "vxlan", "wireguard", "x_tables", "xt_*",
}

func sysctls() []ops.Sysctl {
	return []ops.Sysctl{
		{Name: "net.bridge.bridge-nf-call-ip6tables", Value: "1"},
		{Name: "net.bridge.bridge-nf-call-iptables", Value: "1"},
		{Name: "net.ipv4.ip_forward", Value: "1"},
	}
}
