package inventory

import (
	"net/netip"
	"slices"
)

// Nodes are the hosts that become Kubernetes nodes, in the file's order.
func (c *Cluster) Nodes() []Host { return c.hosts(Host.Node) }

// With are the hosts that have the role, in the file's order.
func (c *Cluster) With(role Role) []Host {
	return c.hosts(func(h Host) bool { return h.Has(role) })
}

// UsesDocker says whether any node runs its containers in Docker.
func (c *Cluster) UsesDocker() bool {
	return slices.ContainsFunc(c.Spec.Hosts, Host.Docker)
}

// Docker says whether the host is a node that runs its containers in Docker.
func (h Host) Docker() bool { return h.Node() && h.Runtime == RuntimeDocker }

func (c *Cluster) hosts(want func(Host) bool) []Host {
	var hs []Host
	for _, h := range c.Spec.Hosts {
		if want(h) {
			hs = append(hs, h)
		}
	}
	return hs
}

// Host is the host of that name.
func (c *Cluster) Host(name string) (Host, bool) {
	i := slices.IndexFunc(c.Spec.Hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return Host{}, false
	}
	return c.Spec.Hosts[i], true
}

// Overlay is the kernel's module and the UDP port of what carries packets of pods between nodes; both are empty where routes do.
func (c *Cluster) Overlay() (module string, port int) {
	switch c.Spec.Addons.Flannel.Backend {
	case BackendHostGW:
		return "", 0
	case BackendWireguard:
		return "wireguard", 51820
	}
	return "vxlan", 8472
}

// Door is a node's address at which people reach what is open on every node: a worker's, where there is one.
func (c *Cluster) Door() netip.Addr {
	nodes := c.Nodes()
	if i := slices.IndexFunc(nodes, func(h Host) bool { return h.Has(Worker) }); i >= 0 {
		return nodes[i].Address
	}
	return nodes[0].Address
}

// ServiceIP is the nth address of the service range: 1 is the service kubernetes, 10 is the cluster's DNS. It is the zero
// Addr when the range has no such address.
func (c *Cluster) ServiceIP(n int) netip.Addr {
	p := c.Spec.Network.ServiceCIDR.Masked()
	a := p.Addr()
	for ; n > 0 && p.Contains(a); n-- {
		a = a.Next()
	}
	if n < 0 || !p.Contains(a) {
		return netip.Addr{}
	}
	return a
}

// Registry is the private registry's host:port, which image references begin with. It is empty when no host has that role.
func (c *Cluster) Registry() string {
	hs := c.With(Registry)
	if len(hs) == 0 {
		return ""
	}
	return netip.AddrPortFrom(hs[0].Address, uint16(c.Spec.Registry.Port)).String()
}

// Endpoint is the API server's host:port, as clients and nodes dial it.
func (c *Cluster) Endpoint() string { return c.Spec.APIServer.Endpoint }
