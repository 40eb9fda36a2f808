package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/inventory"
)

type prefix = netip.Prefix

// parsePrefix reads a range, or an address as the range of one.
func parsePrefix(text string) (prefix, bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), true
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	return prefix{}, false
}

func itoa(n int) string { return strconv.Itoa(n) }

// networkChecks are about addresses and routes.
var networkChecks = []check{
	{"address", Error, every, func(l *look) {
		link := linkOf(l.f, l.host.Address)
		l.see("%s is on %s", l.host.Address, link.Name)
		switch {
		case link.Name == "":
			l.add("no interface has the address "+l.host.Address.String(), "the address at which its peers reach it",
				"correct the host's address in the inventory (spec.hosts[].ssh.address is for where sshd answers)")
		case !link.Up:
			l.add("the interface "+link.Name+" with the address "+l.host.Address.String()+" is down", "an interface that is up", "run ip link set up "+link.Name)
		}
	}},
	{"default-route", Warning, node, func(l *look) {
		if len(l.f.Interfaces) == 0 {
			l.skip("the host does not say which interfaces it has")
			return
		}
		if l.see("by %s", list(l.f.Defaults)); len(l.f.Defaults) == 0 {
			l.add("no default route", "one: without it the host itself does not find Services' addresses", "add a route, if only to the interface "+linkOf(l.f, l.host.Address).Name)
		}
	}},
	{"reverse-path", Warning, node, func(l *look) {
		link := linkOf(l.f, l.host.Address).Name
		strict := max(l.setting("net.ipv4.conf.all.rp_filter"), l.setting("net.ipv4.conf."+link+".rp_filter")) == 1
		l.see("packets are not refused for the way they come")
		if strict && len(l.f.Defaults) > 1 {
			l.add("several default routes ("+list(l.f.Defaults)+") and strict reverse path filtering on "+link, "one default route, or loose filtering: answers that would leave by the other interface are dropped",
				"set net.ipv4.conf."+link+".rp_filter = 2 (and net.ipv4.conf.all.rp_filter, where that is 1), or take a default route away")
		}
	}},
	{"ranges", Error, every, func(l *look) {
		n := l.Cluster.Spec.Network
		l.see("%s and %s are nobody else's", n.PodCIDR, n.ServiceCIDR)
		for _, r := range []struct {
			path string
			p    prefix
		}{{"spec.network.podCIDR", n.PodCIDR}, {"spec.network.serviceCIDR", n.ServiceCIDR}} {
			if what := l.overlaps(r.p); what != "" {
				l.add(r.path+" "+r.p.String()+" overlaps "+what, "a range that the host does not use already", "choose another range in the inventory, such as "+l.free(r.p))
			}
		}
	}},
}

func (l *look) setting(name string) int {
	n, _ := strconv.Atoi(l.f.Sysctls[name])
	return n
}

// overlaps says what on the host a range of the cluster's would hide: our own aside, once we are here.
func (l *look) overlaps(r prefix) string {
	for _, i := range l.f.Interfaces {
		if l.ours() && grown(i.Name) {
			continue
		}
		for _, a := range i.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil && p.Overlaps(r) {
				return "the network " + p.Masked().String() + " of " + i.Name
			}
		}
	}
	for _, route := range l.f.Routes {
		if p, ok := parsePrefix(route.Network); ok && p.Overlaps(r) && !(l.ours() && (grown(route.Interface) || l.toPods(p, route.Gateway))) {
			return "the route to " + p.String() + " by " + route.Interface
		}
	}
	for _, s := range l.f.Nameservers {
		if a, err := netip.ParseAddr(s); err == nil && r.Contains(a) {
			return "the name server " + s
		}
	}
	return ""
}

// toPods says whether a route leads to the pods of another node, as flannel's host-gw makes them.
func (l *look) toPods(to prefix, gateway string) bool {
	pods := l.Cluster.Spec.Network.PodCIDR
	return pods.Contains(to.Addr()) && to.Bits() >= pods.Bits() &&
		slices.ContainsFunc(l.Cluster.Nodes(), func(h inventory.Host) bool { return h.Address.String() == gateway })
}

// free is a private range of the same size that no host uses.
func (l *look) free(like prefix) string {
	n := l.Cluster.Spec.Network
	bits := max(like.Bits(), 12)
	for _, from := range []string{"10.128.0.0", "10.200.0.0", "10.64.0.0", "172.24.0.0", "10.16.0.0", "192.168.128.0"} {
		p := netip.PrefixFrom(netip.MustParseAddr(from), bits).Masked()
		if p.Overlaps(n.PodCIDR) || p.Overlaps(n.ServiceCIDR) || slices.ContainsFunc(l.Cluster.Nodes(), func(h inventory.Host) bool { return p.Contains(h.Address) }) {
			continue
		}
		taken := false
		for _, f := range l.Facts {
			other := *l
			other.f = f
			taken = taken || other.overlaps(p) != ""
		}
		if !taken {
			return p.String()
		}
	}
	return "one of 10.0.0.0/8 that no route leads to"
}

// What the kubelet passes on to pods: three name servers as every libc, and 32 search domains, of which the cluster's own take three.
const (
	maxNameservers = 3
	maxSearch      = 32 - 3
)

// resolverChecks are about names.
var resolverChecks = []check{
	{"resolver-loop", Error, node, func(l *look) {
		var loops []string
		for _, s := range l.f.Nameservers {
			if a, err := netip.ParseAddr(s); err == nil && a.IsLoopback() {
				loops = append(loops, s)
			}
		}
		dns := l.Cluster.ServiceIP(10).String()
		switch {
		case len(l.f.Nameservers) == 0:
			l.see("no name servers: the cluster's DNS will answer for the cluster only")
		default:
			l.see("%s", list(l.f.Nameservers))
		}
		if slices.Contains(l.f.Nameservers, dns) {
			l.add("/etc/resolv.conf asks "+dns+", which is the cluster's own DNS", "name servers that are there without the cluster", "write the network's name servers into /etc/resolv.conf")
		}
		// Where all of them are resolved's stub, the kubelet is given the list behind it.
		if len(loops) > 0 && !(len(loops) == len(l.f.Nameservers) && l.f.Units["systemd-resolved.service"].Active) {
			l.add("/etc/resolv.conf asks "+list(loops)+", the host itself: a pod that is given it asks itself, and CoreDNS stops", "name servers that pods can reach",
				"write the network's name servers into /etc/resolv.conf, or use systemd-resolved alone")
		}
	}},
	{"resolver-limits", Warning, node, func(l *look) {
		l.see("%d name servers, %d search domains", len(l.f.Nameservers), len(l.f.Search))
		if n := len(l.f.Nameservers); n > maxNameservers {
			l.add(fmt.Sprintf("%d name servers", n), fmt.Sprintf("%d: pods are given no more", maxNameservers), "take the others out of /etc/resolv.conf")
		}
		if n := len(l.f.Search); n > maxSearch {
			l.add(fmt.Sprintf("%d search domains", n), fmt.Sprintf("%d: pods are given no more beside the cluster's own", maxSearch), "take the others out of /etc/resolv.conf")
		}
	}},
	{"own-name", Error, every, func(l *look) {
		addresses, from := l.f.Names, "/etc/hosts"
		if got, ok := l.resolved(l.f.Hostname); ok && len(addresses) == 0 {
			addresses, from = got.Addresses, "DNS"
		}
		l.see("%s leads to %s", l.f.Hostname, list(addresses))
		for _, a := range addresses {
			for _, h := range l.Cluster.Spec.Hosts {
				if h.Name != l.host.Name && h.Address.String() == a {
					l.add(from+" says that its own name "+l.f.Hostname+" is at "+a+", which is "+h.Name, "its own address, "+l.host.Address.String(), "correct "+from)
				}
			}
		}
	}},
	{"endpoint", Error, nil, func(l *look) {
		name, _, _ := strings.Cut(l.Cluster.Endpoint(), ":")
		if _, err := netip.ParseAddr(name); err == nil {
			l.see("the API's endpoint is an address")
			return
		}
		first, of := "", ""
		for _, h := range l.Cluster.Spec.Hosts {
			at := *l
			at.survey, at.ask = l.Surveys[h.Name], l.Asked[h.Name]
			got, ok := at.resolved(name)
			if !ok {
				l.skip("it was not looked up on every host")
				continue
			}
			if got.Error != "" || len(got.Addresses) == 0 {
				l.add("spec.apiServer.endpoint "+name+" cannot be resolved: "+got.Error, "an address for it on every host", "add it to the network's DNS or to /etc/hosts")
				l.at(h.Name)
				continue
			}
			switch addresses := list(got.Addresses); {
			case first == "":
				first, of = addresses, h.Name
			case addresses != first:
				l.add("spec.apiServer.endpoint "+name+" leads to "+addresses+", and on "+of+" to "+first, "the same address on every host", "correct the network's DNS or /etc/hosts")
				l.at(h.Name, of)
			}
		}
		l.see("%s leads to %s on every host", name, first)
	}},
}
