package preflight

import (
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// overhead is what VXLAN over IPv4 takes of a packet: its own header, UDP's, IP's and the inner Ethernet frame's.
const overhead = 50

// minMTU is the least that an overlay is of use with: what IPv6 asks of every link, and what that leaves.
const minMTU = 1280 + overhead

// cell is one way from a host to a port of another, and how trying it went.
type cell struct {
	src, dst inventory.Host
	port     agent.Crossing
	agent.Crossed
	opened string // how listening went over there
}

// cells are all ways that were tried.
func cells(in Input) (out []cell) {
	at := map[string]inventory.Host{}
	for _, h := range in.Cluster.Spec.Hosts {
		at[h.Address.String()] = h
	}
	for _, src := range in.Cluster.Spec.Hosts {
		v, ask := in.Surveys[src.Name], in.Asked[src.Name]
		if v == nil || len(v.Crossed) != len(ask.Try) {
			continue
		}
		for i, try := range ask.Try {
			c := cell{src: src, dst: at[try.To], port: try, Crossed: v.Crossed[i]}
			if there, asked := in.Surveys[c.dst.Name], in.Asked[c.dst.Name]; there != nil {
				for j, o := range asked.Listen {
					if o.Port == try.Port && o.Protocol == try.Protocol && j < len(there.Opened) {
						c.opened = there.Opened[j]
					}
				}
			}
			out = append(out, c)
		}
	}
	return out
}

// opensLater says whether up itself will let a packet in: a firewall that it manages, or stops, is not told about the cluster's ports before.
func opensLater(in Input, h inventory.Host) bool {
	f := in.Facts[h.Name]
	return in.Cluster.Spec.Firewall != inventory.FirewallIgnore && !f.Opened && f.Firewall.Stops()
}

// reachChecks are about what hosts can send to each other.
var reachChecks = []check{
	{"survey", Error, every, func(l *look) {
		if l.see("it answered"); l.Mute[l.host.Name] != "" {
			l.add("what was asked of it got no answer that can be used: "+l.Mute[l.host.Name], "an answer from the agent that was sent there",
				"look at the host's load and log, and whether what answers is that host")
		} else if l.survey == nil {
			l.skip("it was asked nothing")
		}
	}},
	{"reach", Error, nil, func(l *look) {
		all := cells(l.Input)
		if len(all) == 0 {
			l.skip("hosts were not asked to try")
			return
		}
		good, later := 0, 0
		for _, c := range all {
			where := fmt.Sprintf("%s -> %s %d/%s", c.src.Name, c.dst.Name, c.port.Port, c.port.Protocol)
			switch {
			case c.State == agent.CrossOK, c.State == agent.CrossOther && c.opened == "taken":
				good++
				continue
			case c.opened != "open" && c.opened != "taken", c.opened == "taken" && c.port.Protocol == "udp":
				continue // nobody could listen there: other checks say why
			case c.opened == "taken" && !l.lives(c):
				continue // and this one says who has the port
			case opensLater(l.Input, c.dst):
				later++
				continue
			case c.State == agent.CrossOther:
				l.add(where+": somebody else answers at "+c.port.To, "the host itself", "see whether another machine has the address (arping -D), or a proxy is on the way")
			default:
				l.add("blocked: "+where+": "+why(c), "reachable: "+needFor(l.Input, c), remedy(l.Input, c))
			}
			l.at(c.src.Name, c.dst.Name)
		}
		l.see("%d of %d ways between hosts are open", good, len(all))
		if later > 0 {
			l.saw += fmt.Sprintf("; %d will be when up has told the firewalls", later)
		}
	}},
	{"path-mtu", Error, nil, func(l *look) {
		measured, least := 0, 0
		told := map[string]bool{}
		for _, c := range cells(l.Input) {
			if c.State != agent.CrossOK || c.MTU == 0 || told[c.src.Name+" "+c.dst.Name] {
				continue
			}
			told[c.src.Name+" "+c.dst.Name] = true
			measured++
			if least == 0 || c.Passed < least {
				least = c.Passed
			}
			if c.Passed >= c.MTU {
				continue
			}
			found := fmt.Sprintf("%s -> %s: packets of %d bytes, as the interface sends them, do not arrive; the largest that do have %d", c.src.Name, c.dst.Name, c.MTU, c.Passed)
			set := fmt.Sprintf("set the interface's MTU to %d on both hosts, or mend what is on the way (ICMP must not be dropped)", max(c.Passed, minMTU))
			if c.Passed < minMTU {
				l.add(found, fmt.Sprintf("%d at least: the pod network takes %d of it", minMTU, overhead), set)
			} else {
				l.add(found, fmt.Sprintf("packets of %d bytes, which pods' packets become", c.MTU), set)
			}
			l.at(c.src.Name, c.dst.Name)
		}
		if measured == 0 {
			l.skip("it was not measured")
			return
		}
		l.see("packets of %d bytes pass everywhere", least)
	}},
	{"registry", Error, node, func(l *look) {
		if l.survey == nil || l.ask.Registry == nil {
			l.skip("not yet: the registry is made by up")
			return
		}
		failed := map[string][]string{}
		var order []string
		for i, m := range l.ask.Registry.Manifests {
			if got := l.survey.Pulled[i]; got != "ok" {
				if failed[got] == nil {
					order = append(order, got)
				}
				failed[got] = append(failed[got], m.Repository)
			}
		}
		l.see("%d manifests can be pulled from %s", len(l.ask.Registry.Manifests), l.ask.Registry.Address)
		slices.Sort(order)
		for _, why := range order {
			l.add(l.ask.Registry.Address+": "+list(few(failed[why]))+": "+why, "every image by its digest", "look at kubewright-registry.service on the registry host; up pushes what is missing")
		}
	}},
	{"trial", Error, node, func(l *look) {
		if l.survey == nil || l.ask.Trial == "" {
			l.skip("it was not asked for (--trial), or there is no containerd yet")
			return
		}
		if l.see("the runtime runs a container"); l.survey.Trial != "ok" {
			l.add("a container was tried: "+l.survey.Trial, "containers that run", "look at containerd.service on the host: journalctl -u containerd")
		}
	}},
}

// lives says that the port at the other end is taken by our own component, which must then be reached.
func (l *look) lives(c cell) bool {
	there := look{Input: l.Input, host: c.dst, f: l.Facts[c.dst.Name]}
	for _, p := range ports(l.Cluster) {
		if p.Port != c.port.Port || p.Protocol != c.port.Protocol {
			continue
		}
		for _, held := range there.f.Listening {
			if held.Port == p.Port && held.Protocol == p.Protocol && there.own(held, p) {
				return true
			}
		}
	}
	return false
}

func why(c cell) string {
	switch c.State {
	case agent.CrossRefused:
		return "connection refused by a firewall, for the port was listened on"
	case agent.CrossUnreachable:
		return c.Detail + ", says a firewall or a router"
	case agent.CrossFailed:
		return c.Detail
	}
	return "no answer: packets are dropped on the way"
}

func needFor(in Input, c cell) string {
	if c.port.Port == sampleNodePort {
		return "nodes pass on the packets of Services (NodePorts)"
	}
	for _, p := range ports(in.Cluster) {
		if p.Port == c.port.Port && p.Protocol == c.port.Protocol {
			return purpose(p)
		}
	}
	return "a port of the cluster"
}

func remedy(in Input, c cell) string {
	what := fmt.Sprintf("%d/%s from %s", c.port.Port, c.port.Protocol, c.src.Address)
	if c.port.Port == sampleNodePort {
		what = fmt.Sprintf("%d-%d/%s from %s", firstNodePort, lastNodePort, c.port.Protocol, c.src.Address)
	}
	return "open " + what + " in the firewall of " + c.dst.Name + ", and in whatever is between them (security groups)"
}
