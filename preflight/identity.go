package preflight

import (
	"net/netip"
	"strings"

	"github.com/kubewright/kubewright/agent"
)

// identityChecks find hosts that are copies of one another, and names that stand for the same one. All hosts are looked at, whatever their
// roles: a copy of the registry host is as confusing as a copy of a node.
var identityChecks = []check{
	{"same-host", Error, nil, func(l *look) {
		// The boot's number alone is the machine's where hosts are containers; the machine-id alone is copied with the disk.
		l.twice(func(f agent.Facts) []string {
			if f.BootID == "" || f.MachineID == "" {
				return nil
			}
			return []string{f.BootID + " " + f.MachineID}
		}, func(first, second, _ string) {
			l.add("they are one and the same host", "a host of its own for every name", "correct ssh.address or address of one of them in the inventory")
		})
	}},
	{"machine-id", Error, nil, func(l *look) {
		l.twice(func(f agent.Facts) []string { return []string{f.MachineID} }, func(first, second, id string) {
			if same(l.Facts[first], l.Facts[second]) {
				return
			}
			l.add("the same machine-id: "+id, "one of its own for every host", "remove /etc/machine-id on "+second+" and run systemd-machine-id-setup there")
		})
	}},
	{"product-uuid", Error, nil, func(l *look) {
		l.twice(func(f agent.Facts) []string {
			if f.Container != "" || unset(f.ProductUUID) { // containers have that of the machine they are on
				return nil
			}
			return []string{f.ProductUUID}
		}, func(first, second, id string) {
			if same(l.Facts[first], l.Facts[second]) {
				return
			}
			l.add("the same product_uuid: "+id, "one of its own for every machine", "have the hypervisor give "+second+" another; it cannot be changed from within")
		})
	}},
	{"mac-address", Error, nil, func(l *look) {
		l.twice(func(f agent.Facts) (all []string) {
			for _, i := range f.Interfaces {
				if i.MAC != "" && i.Up && len(i.Addresses) > 0 && !grown(i.Name) && i.Name != "docker0" {
					all = append(all, i.MAC)
				}
			}
			return all
		}, func(first, second, mac string) {
			if same(l.Facts[first], l.Facts[second]) {
				return
			}
			l.add("the same MAC address: "+mac, "one of its own for every interface", "have the hypervisor give the interface of "+second+" another")
		})
	}},
	{"host-name", Warning, nil, func(l *look) {
		l.twice(func(f agent.Facts) []string { return []string{f.Hostname} }, func(first, second, name string) {
			if same(l.Facts[first], l.Facts[second]) {
				return
			}
			l.add("they both call themselves "+name, "a name of its own for every host, which logs and people tell them by (the nodes' names are the inventory's)",
				"run hostnamectl set-hostname on one of them")
		})
	}},
	{"address-taken", Error, nil, func(l *look) {
		for _, h := range l.Cluster.Spec.Hosts {
			for _, other := range l.Cluster.Spec.Hosts {
				if h.Name == other.Name || same(l.Facts[h.Name], l.Facts[other.Name]) {
					continue
				}
				if link := linkOf(l.Facts[other.Name], h.Address); link.Name != "" {
					l.add("the address "+h.Address.String()+" of "+h.Name+" is on "+link.Name+" of "+other.Name, "every address on one host only",
						"take it off "+other.Name+", or correct the inventory")
					l.at(other.Name, h.Name)
				}
			}
		}
	}},
}

// same says that two names stand for one host, which has a check of its own.
func same(a, b agent.Facts) bool {
	return a.BootID != "" && a.BootID == b.BootID && a.MachineID != "" && a.MachineID == b.MachineID
}

// unset are product_uuids that a firmware has when nobody gave it one.
func unset(id string) bool {
	return strings.Trim(id, "0-") == "" || strings.Trim(id, "f-") == "" || id == "03000200-0400-0500-0006-000700080009"
}

// twice tells of every two hosts that share what should be one's own.
func (l *look) twice(own func(agent.Facts) []string, tell func(first, second, what string)) {
	seen := map[string]string{}
	for _, h := range l.Cluster.Spec.Hosts {
		for _, what := range own(l.Facts[h.Name]) {
			if what == "" {
				continue
			}
			first, twice := seen[what]
			switch {
			case !twice:
				seen[what] = h.Name
			case first != h.Name:
				before := len(l.found)
				if tell(first, h.Name, what); len(l.found) > before {
					l.at(h.Name, first)
				}
			}
		}
	}
}

// linkOf is the interface that has an address; its name is empty where none has.
func linkOf(f agent.Facts, a netip.Addr) agent.Interface {
	for _, i := range f.Interfaces {
		for _, text := range i.Addresses {
			if host, _, _ := strings.Cut(text, "/"); host == a.String() {
				return i
			}
		}
	}
	return agent.Interface{}
}

// grown are interfaces that a cluster makes.
func grown(name string) bool {
	return name == "cni0" || name == "kube-ipvs0" || strings.HasPrefix(name, "flannel.") || name == "flannel-wg" || strings.HasPrefix(name, "veth") || strings.HasPrefix(name, "cali")
}
