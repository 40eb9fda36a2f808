package phases

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// opening is a port that others must reach on a host, and who they are.
type opening struct {
	Why, Port, Protocol string       // Port is a number or a range: "30000-32767"
	From                []netip.Addr // nil: from anywhere
}

// openings are what the host's peers and the cluster's users must reach on it, by its roles. etcd is not among them: it has one member, and only its own host speaks to it.
func openings(in Input) []opening {
	var out []opening
	if in.Host.Has(inventory.ControlPlane) {
		out = append(out, opening{"the API", "6443", "tcp", nil})
	}
	if _, overlay := in.Cluster.Overlay(); overlay != 0 && in.Host.Node() {
		out = append(out, opening{"nodes carry the packets of pods to each other", fmt.Sprint(overlay), "udp", addresses(in.Cluster.Nodes())})
	}
	if in.Host.Node() {
		out = append(out,
			opening{"the control plane reaches the kubelet", "10250", "tcp", addresses(kubeletClients(in.Cluster))},
			opening{"Services of the type NodePort", "30000-32767", "tcp", nil},
			opening{"Services of the type NodePort", "30000-32767", "udp", nil})
	}
	for _, p := range metricsPorts(in) {
		out = append(out, opening{"the addon monitoring", p, "tcp", addresses(in.Cluster.Nodes())})
	}
	if web := in.Cluster.Spec.Addons.Ingress; web.Enabled && web.Expose == inventory.ExposeHostPort && in.Host.Has(inventory.Worker) {
		out = append(out, opening{"the addon ingress", "80", "tcp", nil}, opening{"the addon ingress", "443", "tcp", nil})
	}
	if in.Host.Has(inventory.Registry) {
		out = append(out, opening{"hosts fetch programs and images", fmt.Sprint(in.Cluster.Spec.Registry.Port), "tcp", addresses(in.Cluster.Spec.Hosts)})
	}
	if server, ok := in.Cluster.NFSHost(); ok && server.Name == in.Host.Name {
		out = append(out, opening{"nodes mount the exports", "2049", "tcp", addresses(in.Cluster.Nodes())})
	}
	for i, o := range out {
		// What a host says to itself does not come from outside.
		out[i].From = slices.DeleteFunc(o.From, func(a netip.Addr) bool { return a == in.Host.Address })
	}
	return slices.DeleteFunc(out, func(o opening) bool { return o.From != nil && len(o.From) == 0 })
}

// kubeletClients are the hosts from which somebody asks kubelets. What a pod asks of another node comes from the pod's node.
func kubeletClients(c *inventory.Cluster) []inventory.Host {
	if c.Spec.Addons.MetricsServer.Enabled || c.Spec.Addons.Monitoring.Enabled {
		return c.Nodes()
	}
	return c.With(inventory.ControlPlane)
}

// metricsPorts are those where the addon monitoring listens on a host.
func metricsPorts(in Input) []string {
	m := in.Cluster.Spec.Addons.Monitoring
	if !m.Enabled || !in.Host.Node() {
		return nil
	}
	var out []string
	for _, p := range inventory.MetricsPorts {
		if p.On(m, in.Host) {
			out = append(out, fmt.Sprint(p.Port))
		}
	}
	return out
}

func addresses(hosts []inventory.Host) []netip.Addr {
	out := []netip.Addr{}
	for _, h := range hosts {
		out = append(out, h.Address)
	}
	return out
}

// firewall makes the host's firewalls let the cluster through, each in its own language: in every one that runs, since what one lets pass another may still stop.
func firewall(l *list) {
	facts := l.in.facts()
	switch l.in.Cluster.Spec.Firewall {
	case inventory.FirewallManaged:
		if facts.Units["firewalld.service"].Active {
			throughFirewalld(l)
		}
		if facts.Firewall.UFW {
			throughUFW(l)
		}
		throughNFTables(l)
	case inventory.FirewallOff:
		for _, name := range []string{"firewalld.service", "nftables.service"} {
			if facts.Units[name].Exists {
				l.add("the inventory wants no firewall", ops.Unit{Name: name})
			}
		}
		if facts.Units["ufw.service"].Exists {
			l.add("the inventory wants no firewall", ops.UFWSwitch{})
		}
	}
}

// unwrapped are the nodes whose packets to this host's pods come in with a node's own address, as with the backend host-gw, which puts nothing around them.
func unwrapped(in Input) []netip.Addr {
	if in.Cluster.Spec.Addons.Flannel.Backend != inventory.BackendHostGW || !in.Host.Node() {
		return nil
	}
	return slices.DeleteFunc(addresses(in.Cluster.Nodes()), func(a netip.Addr) bool { return a == in.Host.Address })
}

// throughFirewalld adds rules to the zone that each peer comes in by. Zones let through to others what comes from a source that they trust, and say nothing finer of
// it: so what pods send is trusted, and what other nodes send to pods where that comes from the nodes themselves.
func throughFirewalld(l *list) {
	in := l.in
	zones := map[string]*ops.Firewalld{}
	zone := func(name string) *ops.Firewalld {
		if zones[name] == nil {
			zones[name] = &ops.Firewalld{Zone: name}
		}
		return zones[name]
	}
	trusted := unwrapped(in)
	all := []string{zoneOf(in.facts(), in.Host.Address, netip.Addr{})}
	for _, h := range in.Cluster.Spec.Hosts {
		if !slices.Contains(trusted, h.Address) {
			all = append(all, zoneOf(in.facts(), in.Host.Address, h.Address))
		}
	}
	for _, o := range openings(in) {
		for _, a := range o.From {
			if slices.Contains(trusted, a) {
				continue
			}
			z := zone(zoneOf(in.facts(), in.Host.Address, a))
			z.Rules = append(z.Rules, ops.RichRule(a.String(), o.Port, o.Protocol))
		}
		if o.From == nil {
			for _, name := range distinct(all) {
				zone(name).Rules = append(zone(name).Rules, ops.RichRule("", o.Port, o.Protocol))
			}
		}
	}
	if in.Host.Node() {
		zone("trusted").Sources = append(texts(trusted), in.Cluster.Spec.Network.PodCIDR.String(), in.Cluster.Spec.Network.ServiceCIDR.String())
	}
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		why := "the host's roles need these ports"
		if len(zones[name].Sources) > 0 {
			why = "what comes from pods and Services is the cluster's own"
		}
		l.add(why, *zones[name])
	}
}

// zoneOf is the zone of firewalld that packets from a peer come into: the one that its address is bound to, else the one of the interface with the host's own
// address, else the default one. Nobody's address is in no range.
func zoneOf(f agent.Facts, own, peer netip.Addr) string {
	link := ""
	for _, i := range f.Interfaces {
		for _, a := range i.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil && p.Addr() == own {
				link = i.Name
			}
		}
	}
	byDefault, byLink, bySource, bits := "", "", "", -1
	for _, name := range slices.Sorted(maps.Keys(f.Firewall.Zones)) {
		z := f.Firewall.Zones[name]
		if z.Default {
			byDefault = name
		}
		if slices.Contains(z.Interfaces, link) {
			byLink = name
		}
		for _, s := range z.Sources {
			p, err := netip.ParsePrefix(s)
			if a, errA := netip.ParseAddr(s); errA == nil {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			if err == nil && peer.IsValid() && p.Contains(peer) && p.Bits() > bits {
				bySource, bits = name, p.Bits()
			}
		}
	}
	for _, name := range []string{bySource, byLink} {
		if name != "" {
			return name
		}
	}
	return byDefault
}

const anywhere = "0.0.0.0/0"

func throughUFW(l *list) {
	in := l.in
	var rules []string
	for _, o := range openings(in) {
		from := []string{anywhere}
		if o.From != nil {
			from = texts(o.From)
		}
		for _, a := range from {
			rules = append(rules, fmt.Sprintf("allow proto %s from %s to %s port %s", o.Protocol, a, anywhere, strings.ReplaceAll(o.Port, "-", ":")))
		}
	}
	pods, services := in.Cluster.Spec.Network.PodCIDR.String(), in.Cluster.Spec.Network.ServiceCIDR.String()
	if in.Host.Node() {
		rules = append(rules,
			"allow from "+pods+" to "+anywhere, "allow from "+services+" to "+anywhere,
			"route allow from "+pods+" to "+anywhere, "route allow from "+anywhere+" to "+pods)
	}
	if policy := in.facts().Firewall.Settings["DEFAULT_OUTPUT_POLICY"]; policy != "ACCEPT" && policy != "" {
		for _, to := range outgoing(in) {
			rules = append(rules, "allow out from "+anywhere+" to "+to)
		}
	}
	l.add("the host's roles need these ports, and pods pass", ops.UFW{Rules: rules})
}

// outgoing are those whom a host of the cluster must reach where its firewall filters what goes out, too.
func outgoing(in Input) []string {
	out := texts(addresses(in.Cluster.Spec.Hosts))
	if in.Host.Node() {
		out = append(out, in.Cluster.Spec.Network.PodCIDR.String(), in.Cluster.Spec.Network.ServiceCIDR.String())
	}
	return out
}

func texts(all []netip.Addr) []string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}
