package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// port is a port that one of the cluster's programs listens on.
type port struct {
	agent.Opening
	program string // as the kernel shortens its name
	kernel  bool   // the kernel itself listens there, for no process
	local   bool   // on the host's loopback only: no peer needs it
	on      func(inventory.Host) bool
	from    func(inventory.Host) bool // the peers that need it
}

func nobody(inventory.Host) bool { return false }

// ports are all ports of the cluster, by the roles of the hosts that have them.
func ports(c *inventory.Cluster) []port {
	tcp := func(n int, program string, local bool, on, from func(inventory.Host) bool) port {
		return port{Opening: agent.Opening{Port: n, Protocol: "tcp"}, program: program, local: local, on: on, from: from}
	}
	web := func(h inventory.Host) bool {
		in := c.Spec.Addons.Ingress
		return in.Enabled && in.Expose == inventory.ExposeHostPort && h.Has(inventory.Worker)
	}
	exports := func(h inventory.Host) bool { server, ok := c.NFSHost(); return ok && server.Name == h.Name }
	_, overlay := c.Overlay()
	carried := func(h inventory.Host) bool { return overlay != 0 && h.Node() }
	var metrics []port
	for _, p := range inventory.MetricsPorts {
		metrics = append(metrics, tcp(p.Port, p.Program, false, func(h inventory.Host) bool {
			m := c.Spec.Addons.Monitoring
			return m.Enabled && h.Node() && p.On(m, h)
		}, node))
	}
	return append(metrics, []port{
		tcp(80, "", false, web, nobody), tcp(443, "", false, web, nobody),
		tcp(6443, "kube-apiserver", false, controls, node),
		tcp(2379, "etcd", false, controls, controls), tcp(2380, "etcd", false, controls, controls), tcp(2381, "etcd", true, controls, nobody),
		tcp(10257, "kube-controller", true, controls, nobody), tcp(10259, "kube-scheduler", true, controls, nobody),
		tcp(10250, "kubelet", false, node, node), tcp(10248, "kubelet", true, node, nobody),
		tcp(10249, "kube-proxy", true, node, nobody), tcp(10256, "kube-proxy", false, node, nobody),
		{Opening: agent.Opening{Port: overlay, Protocol: "udp"}, kernel: true, on: carried, from: node},
		tcp(c.Spec.Registry.Port, "registry", false, registryHost, node),
		tcp(nfsPort, nfsServer, false, exports, node),
	}...)
}

// The NodePorts that Services get, and the one that stands for them when hosts try to reach each other: they are kube-proxy's, and nobody listens.
const (
	firstNodePort, lastNodePort = 30000, 32767
	sampleNodePort              = 32767
)

// portChecks are about ports that others have taken.
var portChecks = []check{
	{"port", Error, every, func(l *look) {
		var need []string
		for _, p := range ports(l.Cluster) {
			if !p.on(l.host) {
				continue
			}
			need = append(need, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
			for _, held := range l.f.Listening {
				if held.Port == p.Port && held.Protocol == p.Protocol && l.collides(held, p) && !l.own(held, p) {
					l.add(fmt.Sprintf("port %d/%s is in use by %s", p.Port, p.Protocol, holder(held)), "it free, for "+purpose(p), "end what listens there, or have it use another port")
					break
				}
			}
		}
		l.see("%s are free or our own", list(need))
	}},
	{"node-ports", Warning, node, func(l *look) {
		l.see("nobody listens between %d and %d", firstNodePort, lastNodePort)
		var all []string
		for _, held := range l.f.Listening {
			if held.Port >= firstNodePort && held.Port <= lastNodePort && !strings.HasPrefix(held.Address, "127.") && held.Address != "::1" {
				all = append(all, fmt.Sprintf("%d/%s by %s", held.Port, held.Protocol, holder(held)))
			}
		}
		if slices.Sort(all); len(all) > 0 {
			l.add("ports of Services are in use: "+list(few(slices.Compact(all))), fmt.Sprintf("%d-%d free: a Service that is given one of them takes its packets", firstNodePort, lastNodePort),
				"have it use another port")
		}
	}},
}

// collides says whether somebody who listens at an address is in the way: on all, on the host's own, or on the loopback where ours listens there.
func (l *look) collides(held agent.Listener, p port) bool {
	switch {
	case held.Address == "0.0.0.0" || held.Address == "::":
		return true
	case p.local:
		return strings.HasPrefix(held.Address, "127.") || held.Address == "::1"
	case p.program == "registry":
		return held.Address == l.host.Address.String()
	}
	return true // the others listen on all addresses
}

// own says whether it is our own component that listens. A host with a journal of ours has them; what runs there by another name is somebody else's.
func (l *look) own(held agent.Listener, p port) bool {
	if p.program == nfsServer {
		return held.PID == 0 // the kernel's: also that of somebody's server, which gets our exports beside theirs
	}
	if !l.ours() {
		return false
	}
	if p.kernel && held.PID == 0 {
		return slices.ContainsFunc(l.f.Interfaces, func(i agent.Interface) bool { return strings.HasPrefix(i.Name, "flannel") })
	}
	return held.Process == p.program
}

func holder(held agent.Listener) string {
	switch {
	case held.PID == 0:
		return "the kernel, or a process that cannot be seen"
	case held.Process == "":
		return fmt.Sprintf("pid %d", held.PID)
	}
	return fmt.Sprintf("pid %d (%s)", held.PID, held.Process)
}

func purpose(p port) string {
	switch p.program {
	case "":
		if p.kernel {
			return "the pod network"
		}
		return "the addon ingress"
	case "kube-controller":
		return "kube-controller-manager"
	case "registry":
		return "the registry"
	case nfsServer:
		return "the NFS server"
	}
	return p.program
}
