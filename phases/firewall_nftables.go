package phases

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/ops"
)

// nftFile is what we add to rules that somebody else keeps in a file.
const nftFile = "/etc/kubewright/firewall.nft"

// throughNFTables adds rules to the chains of nftables that stop packets and that no other program keeps. They are in the kernel at once, and in a file that the
// user's own includes at its end, so that they come back with the user's rules.
func throughNFTables(l *list) {
	in := l.in
	facts := in.facts().Firewall
	var rules []ops.NFTRules
	for _, c := range facts.Chains {
		if iptables(c) {
			continue
		}
		r := ops.NFTRules{Table: c.Table, Chain: c.Name, First: c.Ends}
		switch c.Hook {
		case "input":
			r.Rules = nftIncoming(in)
		case "forward":
			r.Rules = nftForwarded(in)
		case "output":
			r.Rules = []string{"ip daddr " + nftSet(outgoing(in)) + " accept"}
		}
		if len(r.Rules) > 0 {
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return
	}
	if facts.Load != "" {
		l.add("the host's own rules and these are loaded together", text(nftFile, nftScript(rules)))
		l.add("the host's own rules and these are loaded together",
			ops.Block{Path: facts.Load, Name: "firewall", Lines: []string{fmt.Sprintf("include %q", nftFile)}})
	}
	for _, r := range rules {
		l.add("the host's roles need these ports, and pods pass", r)
	}
}

// iptables says whether a chain is one that the new iptables made: its own command and what is built on it would not understand rules of another kind there.
func iptables(c ops.Chain) bool {
	return (c.Table == "ip filter" || c.Table == "ip6 filter") && slices.Contains([]string{"INPUT", "FORWARD", "OUTPUT"}, c.Name)
}

func nftIncoming(in Input) []string {
	var out []string
	if in.Host.Node() {
		out = append(out, "ip saddr "+nftSet([]string{in.Cluster.Spec.Network.PodCIDR.String(), in.Cluster.Spec.Network.ServiceCIDR.String()})+" accept")
	}
	for _, o := range openings(in) {
		from := ""
		if o.From != nil {
			from = "ip saddr " + nftSet(texts(o.From)) + " "
		}
		out = append(out, fmt.Sprintf("%s%s dport %s accept", from, o.Protocol, o.Port))
	}
	return out
}

// nftForwarded lets pods speak to anybody, and lets to them what answers them, what the host itself sends on to them (the ports of Services and of pods on it),
// and what comes from other nodes as such.
func nftForwarded(in Input) []string {
	if !in.Host.Node() {
		return nil
	}
	pods := in.Cluster.Spec.Network.PodCIDR.String()
	out := []string{
		"ip saddr " + pods + " accept",
		"ip daddr " + pods + " ct state established,related accept",
		"ip daddr " + pods + " ct status dnat accept",
	}
	if from := unwrapped(in); len(from) > 0 {
		out = append(out, "ip saddr "+nftSet(texts(from))+" ip daddr "+pods+" accept")
	}
	return out
}

func nftSet(all []string) string {
	if len(all) == 1 {
		return all[0]
	}
	return "{ " + strings.Join(all, ", ") + " }"
}

// nftScript is the file. It names every chain before it adds to it: should its owner have taken one away by then, an empty one is made that nobody calls, and
// the owner's rules are loaded all the same.
func nftScript(rules []ops.NFTRules) []byte {
	var out strings.Builder
	out.WriteString("# What a Kubernetes cluster needs of this host's firewall. kubewright wrote it and takes it away.\n")
	for _, r := range rules {
		fmt.Fprintf(&out, "\nadd table %s\nadd chain %s %s\n%s", r.Table, r.Table, r.Chain, r.Script())
	}
	return []byte(out.String())
}
