package inventory

import (
	"fmt"
	"net/netip"
)

const (
	podPath      = "spec.network.podCIDR"
	servicePath  = "spec.network.serviceCIDR"
	endpointPath = "spec.apiServer.endpoint"
)

// never are the ranges that no cluster network may touch.
var never = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "the loopback range"},
	{netip.MustParsePrefix("169.254.0.0/16"), "the link-local range"},
	{netip.MustParsePrefix("224.0.0.0/3"), "the multicast and reserved ranges"},
	{netip.MustParsePrefix("0.0.0.0/8"), "the range of unspecified addresses"},
}

// rangeName is how a message names a range: by its value, and as the default where nobody wrote it.
func (k check) rangeName(path string, p netip.Prefix) string {
	if k.missing(path) {
		return "the default, " + p.String() + ","
	}
	return show(p.String())
}

// ranges is the rules about how the cluster's ranges and its hosts' addresses lie to each other.
func (k check) ranges() {
	n := k.c.Spec.Network
	both := !k.bad(podPath) && !k.bad(servicePath)
	if both && n.PodCIDR.Overlaps(n.ServiceCIDR) {
		k.report(servicePath, Problem{Code: codeOverlap, Found: k.rangeName(servicePath, n.ServiceCIDR),
			Wrong: "overlaps the pods' range " + n.PodCIDR.String() + k.onLine(podPath), Remedy: "choose ranges that share no address"})
	}
	for _, x := range []struct {
		path, what string
		prefix     netip.Prefix
	}{{podPath, "pods", n.PodCIDR}, {servicePath, "Services", n.ServiceCIDR}} {
		if k.bad(x.path) {
			continue
		}
		for _, no := range never {
			if no.prefix.Overlaps(x.prefix) {
				k.report(x.path, Problem{Code: codeRange, Found: k.rangeName(x.path, x.prefix), Wrong: "overlaps " + no.what + " " + no.prefix.String(), Remedy: "choose a private range, such as one in 10.0.0.0/8"})
				break
			}
		}
		for i, h := range k.c.Spec.Hosts {
			if !k.wrote(field(hostPath(i), "address")) {
				continue
			}
			if x.prefix.Contains(h.Address) {
				k.report(x.path, Problem{Code: codeOverlap, Found: k.rangeName(x.path, x.prefix),
					Wrong: "holds the address " + h.Address.String() + " of " + k.hostLine(i), Remedy: "choose a range for " + x.what + " that no host is in"})
				break
			}
		}
		if a, err := netip.ParseAddr(k.endpointHost()); err == nil && k.wrote(endpointPath) && x.prefix.Contains(a) {
			k.report(endpointPath, Problem{Code: codeOverlap, Found: show(k.c.Spec.APIServer.Endpoint), Wrong: "is in the range " + x.prefix.String() + " of " + x.what, Remedy: "name an address that hosts can reach without the cluster"})
		}
	}
}

func (k check) onLine(path string) string {
	if !k.wrote(path) {
		return ", the default"
	}
	return fmt.Sprintf(" on line %d", k.place(path).line)
}

// blockBits is the length of the blocks that the controller manager hands out, one to a node.
const blockBits = 24

// podRange checks that every node gets its block. The controller manager's allocator keeps a map of at most 2^16 of them.
func (k check) podRange() {
	if k.bad(podPath) {
		return
	}
	p := k.c.Spec.Network.PodCIDR
	name := k.rangeName(podPath, p)
	if p.Bits() > blockBits {
		k.report(podPath, Problem{Code: codePodSize, Found: name, Wrong: fmt.Sprintf("is smaller than the /%d that one node takes", blockBits), Remedy: k.podSuggestion(p)})
		return
	}
	if blockBits-p.Bits() > 16 {
		k.report(podPath, Problem{Code: codePodSize, Found: name, Wrong: fmt.Sprintf("is larger than 65536 blocks of /%d", blockBits), Remedy: fmt.Sprintf("write /%d or longer", blockBits-16)})
		return
	}
	if nodes, room := len(k.c.Nodes()), 1<<(blockBits-p.Bits()); nodes > room {
		k.report(podPath, Problem{Code: codePodSize, Found: name, Wrong: fmt.Sprintf("has room for %d of the %d nodes, each of which takes a /%d", room, nodes, blockBits), Remedy: k.podSuggestion(p)})
	}
}

// podSuggestion is the range around p that is large enough.
func (k check) podSuggestion(p netip.Prefix) string {
	bits := blockBits
	for room := 1; room < len(k.c.Nodes()); room *= 2 {
		bits--
	}
	bits = min(bits, p.Bits())
	return "write " + netip.PrefixFrom(p.Addr(), bits).Masked().String() + " or larger"
}

// serviceRange keeps kubeadm's limits: at least ten addresses, for the tenth is the DNS service's; at most 2^20.
func (k check) serviceRange() {
	if k.bad(servicePath) {
		return
	}
	p := k.c.Spec.Network.ServiceCIDR
	hostBits := 32 - p.Bits()
	switch {
	case hostBits < 4:
		k.report(servicePath, Problem{Code: codeServiceSize, Found: show(p.String()), Wrong: fmt.Sprintf("has %d addresses; at least 10 are needed", 1<<hostBits), Remedy: "write /28 or shorter"})
	case hostBits > 20:
		k.report(servicePath, Problem{Code: codeServiceSize, Found: show(p.String()), Wrong: "has more than 2^20 addresses", Remedy: "write " + netip.PrefixFrom(p.Addr(), 12).String()})
	}
}

// podsPerNode checks that a node's block has an address for each of its pods.
func (k check) podsPerNode() {
	const path = "spec.kubelet.maxPods"
	if !k.wrote(path) {
		return
	}
	// 256 without the network's, the broadcast and the bridge's address.
	if most := 253; k.c.Spec.Kubelet.MaxPods > most {
		k.report(path, Problem{Code: codeMaxPods, Found: itoa(k.c.Spec.Kubelet.MaxPods), Wrong: fmt.Sprintf("is more than the %d addresses in a node's /24", most), Remedy: fmt.Sprintf("write %d or less; 110 is usual", most)})
	}
}
