package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// Decision is in which mode kube-proxy will run, and by what evidence: in ipvs mode it has no fallback of its own and exits where a module is missing, and
// in nftables mode it does on a kernel that lacks a part of it. So it is decided before anything starts.
type Decision struct {
	Asked string `json:"asked"`
	Mode  string `json:"mode"`
	Why   string `json:"why"`
	Lacks []Lack `json:"lacks,omitempty"` // what keeps nodes from what was asked for

	impossible []Lack // and from the fallback; or Lacks, where there is none
}

// Lack is what one node cannot do.
type Lack struct {
	Host string `json:"host"`
	What string `json:"what"`
}

// Fell says that it is not the mode that was asked for.
func (d Decision) Fell() bool { return d.Mode != d.Asked }

// proxyModules is what each mode stands on. For ipvs a node must show that it has it; the parts of nftables and iptables are in nearly every kernel, and a
// node that does not tell is given credit.
var proxyModules = map[string][]string{
	inventory.ModeIPVS: {"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "nf_conntrack", "ip_set", "ip_set_hash_ip", "ip_set_hash_ipport",
		"ip_set_hash_ipportip", "ip_set_hash_ipportnet", "ip_set_bitmap_port", "xt_set"},
	inventory.ModeNFTables: {"nf_tables", "nft_chain_nat", "nft_masq", "nft_numgen", "nft_fib_ipv4", "nft_ct", "nft_reject"},
}

// firstNFTables is the kernel from which on kube-proxy's nftables mode works.
var firstNFTables = version{5, 13}

// lacksOf is what keeps a node from a mode.
func lacksOf(mode string, f agent.Facts) (lacks []string) {
	switch mode {
	case inventory.ModeIPVS:
		for _, m := range proxyModules[mode] {
			if f.Modules[m] == "" {
				lacks = append(lacks, m)
			}
		}
	case inventory.ModeNFTables:
		if v, ok := kernelVersion(f.Kernel); ok && v.before(firstNFTables) {
			return []string{"kernel 5.13 or later (it runs " + f.Kernel + ")"}
		}
		if f.NAT != "" && f.NAT != "works" {
			return []string{"working nftables (" + f.NAT + ")"}
		}
		if f.NAT == "works" {
			return nil
		}
		for _, m := range proxyModules[mode] {
			if absent(f, m) {
				lacks = append(lacks, m)
			}
		}
	case inventory.ModeIPTables:
		if absent(f, "iptable_nat") && absent(f, "nft_compat") {
			lacks = append(lacks, "iptable_nat or nft_compat")
		}
	}
	return lacks
}

// ProxyMode decides by what the nodes say that they can do.
func ProxyMode(c *inventory.Cluster, facts map[string]agent.Facts) Decision {
	asked, fallback := c.Spec.KubeProxy.Mode, c.Spec.KubeProxy.Fallback
	d := Decision{Asked: asked, Mode: asked}
	lacking := func(mode string) (all []Lack) {
		for _, h := range c.Nodes() {
			f, known := facts[h.Name]
			if !known {
				if mode == inventory.ModeIPVS {
					all = append(all, Lack{h.Name, "answer yet"})
				}
				continue
			}
			for _, what := range lacksOf(mode, f) {
				all = append(all, Lack{h.Name, what})
			}
		}
		return all
	}
	d.Lacks = lacking(asked)
	switch {
	case len(d.Lacks) == 0:
		d.Why = evidence(c, facts, asked)
		return d
	case fallback == "":
		d.Why, d.impossible = lackText(d.Lacks), d.Lacks
		return d
	}
	d.Why, d.Mode, d.impossible = lackText(d.Lacks), fallback, lacking(fallback)
	return d
}

// String is the decision as a sentence.
func (d Decision) String() string {
	switch {
	case d.Fell():
		return fmt.Sprintf("%s mode, the inventory's fallback: %s is asked for, and %s", d.Mode, d.Asked, d.Why)
	case len(d.Lacks) > 0:
		return fmt.Sprintf("%s mode is asked for, without a fallback, and %s", d.Asked, d.Why)
	}
	return fmt.Sprintf("%s mode, as asked for; %s", d.Mode, d.Why)
}

// lackText says what each host has not: node-0002 has no ip_vs, ip_set; ...
func lackText(lacks []Lack) string {
	var hosts []string
	by := map[string][]string{}
	for _, x := range lacks {
		if by[x.Host] == nil {
			hosts = append(hosts, x.Host)
		}
		by[x.Host] = append(by[x.Host], x.What)
	}
	var out []string
	for _, h := range hosts {
		out = append(out, h+" has no "+list(by[h]))
	}
	return strings.Join(out, "; ")
}

// evidence is what speaks for a mode on all nodes.
func evidence(c *inventory.Cluster, facts map[string]agent.Facts, mode string) string {
	var how []string
	for _, h := range c.Nodes() {
		f := facts[h.Name]
		word := "nothing speaks against it"
		switch mode {
		case inventory.ModeIPVS:
			word = "ip_vs with rr, wrr and sh, nf_conntrack and ip_set are " + status(f, proxyModules[mode])
		case inventory.ModeNFTables:
			switch {
			case f.NAT == "works":
				word = "its rules were tried in kernel " + f.Kernel
			case f.Modules["nft_chain_nat"] != "":
				word = "nf_tables and its parts are " + status(f, proxyModules[mode])
			}
		case inventory.ModeIPTables:
			if m := cmp.Or(f.Modules["nft_compat"], f.Modules["iptable_nat"]); m != "" {
				word = "iptables is " + m
			}
		}
		how = append(how, h.Name+": "+word)
	}
	return brief(how)
}

// brief says once what is the same of all hosts.
func brief(how []string) string {
	if len(how) == 0 {
		return ""
	}
	_, first, _ := strings.Cut(how[0], ": ")
	for _, h := range how {
		if _, text, _ := strings.Cut(h, ": "); text != first {
			return strings.Join(how, "; ")
		}
	}
	if len(how) == 1 {
		return how[0]
	}
	return "all nodes: " + first
}

// status is in which ways modules are there.
func status(f agent.Facts, modules []string) string {
	var ways []string
	for _, m := range modules {
		if w := f.Modules[m]; w != "" && !slices.Contains(ways, w) {
			ways = append(ways, w)
		}
	}
	slices.Sort(ways)
	return strings.Join(ways, " or ")
}

// proxyChecks are about kube-proxy.
var proxyChecks = []check{
	{"proxy-mode", Error, nil, func(l *look) {
		d := ProxyMode(l.Cluster, l.Facts)
		l.see("%s", d)
		need := "what kube-proxy's mode " + d.Asked + " stands on"
		if d.Fell() {
			need = "what kube-proxy's mode " + d.Asked + " or its fallback " + d.Mode + " stands on"
		}
		for _, h := range l.Cluster.Nodes() {
			var lacks []string
			for _, x := range d.impossible {
				if x.Host == h.Name {
					lacks = append(lacks, x.What)
				}
			}
			if len(lacks) == 0 {
				continue
			}
			do := "install the package with this kernel's modules there"
			if f := l.Facts[h.Name]; f.Options["MODULES"] == "n" || strings.HasPrefix(lacks[0], "kernel ") || !strings.Contains(lacks[0], "_") {
				do = "use another kernel there"
			}
			switch {
			case d.Fell():
			case d.Asked == inventory.ModeIPVS:
				do += ", or write spec.kubeProxy.fallback: nftables (or iptables) into the inventory"
			case d.Asked == inventory.ModeNFTables:
				do += ", or write spec.kubeProxy.fallback: iptables into the inventory"
			}
			l.add("it has no "+list(lacks), need, do)
			l.at(h.Name)
		}
	}},
}
