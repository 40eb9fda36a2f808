package inventory

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// roles is the rules about which hosts a cluster needs.
func (k check) roles() {
	const path = "spec.hosts"
	if k.bad(path) || k.bad("spec") {
		return
	}
	hosts := k.c.Spec.Hosts
	if len(hosts) == 0 {
		k.report(path, Problem{Code: codeNoHosts, Wrong: "has no hosts", Expected: "at least one host", Remedy: "list them, one - name: for each; kubewright init shows how"})
		return
	}
	with := map[Role][]int{}
	sure := true // that no role is hidden behind a problem
	for i, h := range hosts {
		p := field(hostPath(i), "roles")
		sure = sure && !k.bad(p)
		for j, role := range h.Roles {
			sure = sure && !k.bad(item(p, j))
			if n := len(with[role]); n == 0 || with[role][n-1] != i {
				with[role] = append(with[role], i)
			}
		}
	}
	if many := with[ControlPlane]; len(many) > 1 {
		k.report(k.rolePath(many[1], ControlPlane), Problem{Code: codeManyMasters, Expected: "one control-plane host",
			Wrong: fmt.Sprintf("makes a cluster of %d control planes (%s), which is not supported yet", len(many), k.lines(many)), Remedy: "give the role control-plane to one host"})
	}
	if many := with[Registry]; len(many) > 1 {
		k.report(k.rolePath(many[1], Registry), Problem{Code: codeRegistries, Expected: "one registry host",
			Wrong: fmt.Sprintf("makes %d registries (%s); one is supported", len(many), k.lines(many)), Remedy: "give the role registry to one host"})
	}
	if !sure {
		return
	}
	for _, need := range []struct {
		role      Role
		code, why string
	}{
		{ControlPlane, codeNoRole, "no host runs the control plane"},
		{Worker, codeNoRole, "no host runs pods"},
		{Registry, codeRegistries, "no host serves the registry that images come from"},
	} {
		if len(with[need.role]) == 0 {
			k.report(path, Problem{Code: need.code, Wrong: need.why, Expected: "a host with the role " + string(need.role), Remedy: "give a host the role " + string(need.role)})
		}
	}
}

func (k check) rolePath(host int, role Role) string {
	p := field(hostPath(host), "roles")
	for i, r := range k.c.Spec.Hosts[host].Roles {
		if r == role {
			return item(p, i)
		}
	}
	return p
}

// lines names hosts and where they stand. More than a handful helps nobody.
func (k check) lines(hosts []int) string {
	var s []string
	for n, i := range hosts {
		if n == 5 {
			s = append(s, fmt.Sprintf("%d more", len(hosts)-n))
			break
		}
		s = append(s, k.hostLine(i))
	}
	return list(s, "and")
}

// hostLine names a host by its name, where it has one, and its line.
func (k check) hostLine(i int) string {
	name := "a host"
	if k.wrote(field(hostPath(i), "name")) {
		name = bare(k.c.Spec.Hosts[i].Name)
	}
	return fmt.Sprintf("%s on line %d", name, k.place(hostPath(i)).line)
}

// unique is the rules about what no two hosts may share.
func (k check) unique() {
	names, addresses, logins := map[string]int{}, map[netip.Addr]int{}, map[string]int{}
	for i, h := range k.c.Spec.Hosts {
		path := hostPath(i)
		if p := field(path, "name"); k.wrote(p) {
			key := strings.ToLower(h.Name)
			if first, twice := names[key]; twice {
				k.report(p, Problem{Code: codeTwice, Found: show(h.Name), Wrong: fmt.Sprintf("is already the name of the host on line %d", k.place(hostPath(first)).line), Remedy: "give each host its own name"})
			} else {
				names[key] = i
			}
		}
		twin := false
		if p := field(path, "address"); k.wrote(p) {
			a := h.Address
			first, twice := addresses[a]
			if twin = twice; twice {
				k.report(p, Problem{Code: codeTwice, Found: show(a.String()), Wrong: "is already the address of " + k.hostLine(first), Remedy: "give each host its own address"})
			} else {
				addresses[a] = i
			}
		}
		if k.bad(path) || k.bad(field(path, "ssh")) || k.bad(field(path, "address")) || h.SSH.Address == "" || twin {
			continue
		}
		login := net.JoinHostPort(strings.ToLower(h.SSH.Address), itoa(h.SSH.Port))
		if first, twice := logins[login]; twice {
			k.report(field(path, "ssh"), Problem{Code: codeTwice, Found: show(login), Wrong: "is already where SSH reaches " + k.hostLine(first), Remedy: "give each host its own ssh.address or ssh.port"})
		} else {
			logins[login] = i
		}
	}
}

// nodePorts are the ports that a node's own parts listen on.
var nodePorts = map[int]string{
	2379: "etcd", 2380: "etcd", 2381: "etcd", 6443: "the API server", 10248: "the kubelet", 10249: "kube-proxy", 10250: "the kubelet",
	10256: "kube-proxy", 10257: "the controller manager", 10259: "the scheduler",
	9100: "the addon monitoring", 10349: "the addon monitoring", 10357: "the addon monitoring", 10359: "the addon monitoring", 12381: "the addon monitoring",
}

// registryPort keeps the registry off ports that its host needs for something else.
func (k check) registryPort() {
	const path = "spec.registry.port"
	if k.bad(path) {
		return
	}
	port := k.c.Spec.Registry.Port
	for i, h := range k.c.Spec.Hosts {
		if !h.Has(Registry) || k.bad(hostPath(i)) {
			continue
		}
		taker := ""
		switch {
		case port == 22 || port == h.SSH.Port && h.SSH.Address == h.Address.String():
			taker = "sshd"
		case h.Node() && nodePorts[port] != "":
			taker = nodePorts[port]
		case h.Node() && port >= 30000 && port <= 32767:
			taker = "Services of type NodePort (30000-32767)"
		default:
			continue
		}
		k.report(path, Problem{Code: codePort, Found: itoa(port), Wrong: "is taken on " + k.hostLine(i) + " by " + taker, Remedy: "choose another; 5000 is usual"})
	}
}
