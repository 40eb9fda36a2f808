package preflight

import (
	"net/netip"
	"slices"

	"github.com/kubewright/kubewright/inventory"
)

const (
	nfsPort   = 2049
	nfsServer = "nfsd"
)

// nfsChecks are about volumes that pods on all nodes share.
var nfsChecks = []check{
	{"nfs", Error, every, func(l *look) {
		server, serves := l.Cluster.NFSHost()
		serves = serves && server.Name == l.host.Name
		var need []string
		if l.Cluster.NFS() && l.host.Node() {
			need = append(need, "nfs", "nfsv4")
		}
		if serves {
			need = append(need, nfsServer)
		}
		if len(need) == 0 {
			l.see("nothing of NFS is wanted here")
			return
		}
		l.modules(need, func(lack []string) string {
			if len(lack) == 1 && lack[0] == nfsServer { // it could mount what somebody else serves
				return "use a host whose kernel has them (a container has the kernel of its machine), or name a server of your own in spec.addons.storage.nfs.server"
			}
			return "use a host whose kernel has them (a container has the kernel of its machine), or leave spec.addons.storage.nfs off"
		})
		if l.f.PackageManager == "" {
			l.add("it has neither apt nor dnf", "one of them, for the package with NFS's programs", "install such a system, or leave spec.addons.storage.nfs off")
		}
	}},
	{"nfs-server", Error, node, func(l *look) {
		name, ok := foreignServer(l.Cluster)
		if !ok {
			l.see("its address is known")
			return
		}
		got, ok := l.resolved(name)
		if !ok {
			l.skip("it was not looked up")
			return
		}
		l.see("%s leads to %s", name, list(got.Addresses))
		if got.Error != "" || len(got.Addresses) == 0 {
			l.add("the NFS server "+name+" cannot be resolved: "+got.Error, "an address for it on every node, which mounts its exports", "add it to the network's DNS or to /etc/hosts, or write its address")
		}
	}},
}

// foreignServer is the name of an NFS server that nodes have to look up: not an address, and no host of the inventory, which all hosts know.
func foreignServer(c *inventory.Cluster) (string, bool) {
	name := c.NFSServer()
	if !c.NFS() || name == "" {
		return "", false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "", false
	}
	return name, !slices.ContainsFunc(c.Spec.Hosts, func(h inventory.Host) bool { return h.Name == name })
}
