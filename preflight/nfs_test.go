package preflight

import (
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// shared has the cluster share volumes, of a host of its own or of somebody's server.
func shared(server string) func(*world) {
	return func(w *world) {
		w.Cluster.Spec.Addons.Storage = inventory.Storage{Enabled: true, NFS: inventory.NFS{Enabled: true, Server: server, Exports: []inventory.Export{{Path: "/srv/nfs"}}}}
		for _, h := range w.Cluster.Spec.Hosts {
			w.facts(h.Name, func(f *agent.Facts) { f.PackageManager = "apt" })
		}
		w.ask(Full)
	}
}

func nfsRows() []row {
	const nas = "nas.example.net"
	return []row{
		{"nfs", "on hosts that can", shared(""), "", ""},
		{"nfs", "a server whose kernel has none", both(shared(""), on("registry", lacks("nfsd"))), "registry: the kernel 6.1.0-18-amd64 has no nfsd, built in or as a module", Error},
		{"nfs", "a node whose kernel has none", both(shared(""), on("node-0001", lacks("nfs", "nfsv4"))), "node-0001: the kernel 6.1.0-18-amd64 has no nfs, nfsv4", Error},
		{"nfs", "a kernel that was built without, and keeps no list", both(shared(""), on("node-0001", func(f *agent.Facts) {
			lacks("nfs", "nfsv4")(f)
			f.Listed, f.Options["NFS_FS"], f.Options["NFS_V4"] = false, "n", "n"
		})), "node-0001: the kernel 6.1.0-18-amd64 has no nfs, nfsv4", Error},
		{"nfs", "somebody's server, and a registry host that could not be one", both(shared("192.168.1.200"), on("registry", lacks("nfs", "nfsv4", "nfsd"))), "", ""},
		{"nfs", "modules that may not be loaded any more", both(shared(""), on("registry", func(f *agent.Facts) { f.Sysctls["kernel.modules_disabled"] = "1" })),
			"registry: kernel.modules_disabled is 1, and nfsd is not loaded", Error},
		{"nfs", "a host without a package manager", both(shared(""), on("node-0002", func(f *agent.Facts) { f.PackageManager = "" })), "node-0002: it has neither apt nor dnf", Error},
		{"nfs", "none wanted", on("node-0001", lacks("nfs", "nfsv4", "nfsd")), "", ""},

		{"nfs-server", "a name that all nodes know", shared(nas), "", ""},
		{"nfs-server", "a name that a node does not know", both(shared(nas), func(w *world) {
			for i, name := range w.Asked["node-0002"].Names {
				if name == nas {
					w.Surveys["node-0002"].Names[i] = agent.Resolved{Error: "no such host"}
				}
			}
		}), "node-0002: the NFS server nas.example.net cannot be resolved: no such host", Error},
		{"nfs-server", "a host of the inventory, which all hosts get to know", shared("registry"), "", ""},

		{"port", "a server of the kernel's, ours or theirs", both(shared(""), on("registry", listening(agent.Listener{Protocol: "tcp", Address: "0.0.0.0", Port: 2049}))), "", ""},
		{"port", "another program in the place of the NFS server", both(shared(""), on("registry", listening(agent.Listener{Protocol: "tcp", Address: "::", Port: 2049, PID: 7, Process: "ganesha.nfsd"}))),
			"registry: port 2049/tcp is in use by pid 7 (ganesha.nfsd)", Error},
		{"reach", "exports that a node does not reach", both(shared(""), func(w *world) {
			w.crossed("node-0001", "registry", 2049, "tcp", state(agent.CrossTimeout))
		}), "node-0001, registry: blocked: node-0001 -> registry 2049/tcp", Error},
	}
}

func TestNobodyIsAskedAboutAnNFSServerThatIsNotWanted(t *testing.T) {
	w := clean(t)
	for name, a := range w.Asked {
		for _, o := range a.Listen {
			if o.Port == nfsPort {
				t.Errorf("%s is to listen on %d", name, o.Port)
			}
		}
	}
}
