package phases

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

const (
	nfsUnit     = "nfs-server.service"
	nfsExports  = "/etc/exports.d/kubewright.exports"
	nfsMounts   = "/etc/nfsmount.conf.d/kubewright.conf" // nfsmount.conf(5)
	nfsSettings = "[nfsd]\nvers2 = n\nvers3 = n\n"
	// exportOptions keep root of a pod from being root on the server, and an answer from being given before it is on the disk.
	exportOptions = "rw,sync,root_squash,no_subtree_check"
)

// nfsPackages have the programs that a server runs and that mount(8) calls, by package manager.
var nfsPackages = map[string]struct{ server, client string }{
	"apt": {"nfs-kernel-server", "nfs-common"},
	"dnf": {"nfs-utils", "nfs-utils"},
}

var nfs = engine.Phase[Input]{
	Name:  "nfs",
	Short: "share directories by NFS",
	Long: "Makes the registry host an NFS server, version 4 alone, that exports the inventory's directories to the cluster's nodes and to nobody else, and gives " +
		"nodes what they mount them with. A server that is there already is left as it is, and gets our exports beside its own.",
	On:    func(in Input) bool { return exporting(in) || in.Cluster.NFS() && in.Host.Node() },
	Steps: nfsSteps,
}

// mountable is a phase without steps: it waits.
var mountable = engine.Phase[Input]{
	Name:  "nfs-ready",
	Short: "wait for the NFS server and its clients",
	Long:  "The addon storage has every node try the exports, so it begins when the server serves and all nodes can mount.",
	On:    func(in Input) bool { return in.Addon.Name == inventory.AddonStorage && in.Cluster.NFS() },
	After: []string{"nfs"},
	Steps: func(Input) ([]engine.Step, error) { return nil, nil },
}

// exporting says whether the host is to be the NFS server.
func exporting(in Input) bool {
	server, ok := in.Cluster.NFSHost()
	return ok && server.Name == in.Host.Name
}

func nfsSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	packages, known := nfsPackages[in.facts().PackageManager]
	if !known {
		return nil, fmt.Errorf("%s has neither apt nor dnf, from which NFS's programs would come", in.Host.Name)
	}
	l.add("what the kernel loads and mounts for NFS goes away with reset", nfsClaim(in))
	if server, ok := in.Cluster.NFSHost(); ok && in.Host.Node() {
		l.add("a mount that fails is not tried by version 3, which would start daemons for it", text(nfsMounts, fmt.Appendf(nil, "[ Server %q ]\nNfsvers=4\n", server.Address)))
	}
	if !exporting(in) {
		l.fromRepository("mounts what the NFS server exports", packages.client)
		return l.done()
	}
	unit := ops.Unit{Name: nfsUnit, Enabled: true, Active: true}
	if in.facts().NFS != agent.TheirNFS { // somebody's may have clients that want more
		versionFour(&l)
		unit.Reads = []string{agent.NFSConf}
	}
	for _, e := range in.Cluster.Spec.Addons.Storage.NFS.Exports {
		l.add("pods of any user write to it, and root of a pod is nobody here", ops.Dir{Path: e.Path, Mode: 0o777, Owned: true})
	}
	exports := exportsOf(in.Cluster)
	l.add("the server reads it whenever it starts", text(nfsExports, exportsFile(exports)))
	l.fromRepository("serves the exports", packages.server)
	l.add("serves the exports", unit)
	l.add("the server has read what is to be exported, and to whom", ops.Exports{Exports: exports, Held: true})
	return l.done()
}

// fromRepository installs a package, unless the inventory has its own wish about it.
func (l *list) fromRepository(why, name string) {
	if !slices.ContainsFunc(l.in.Cluster.Spec.Packages, func(p inventory.Package) bool { return p.Name == name }) {
		l.add(why, ops.Package{Name: name})
	}
}

// versionFour leaves port 2049 as the only one that is listened on: what older versions need besides (a port mapper, two daemons for locks) is kept from starting,
// unless it runs for somebody already. It comes before the package, whose installation starts all of it.
func versionFour(l *list) {
	l.add("version 4 needs one port, and no daemons for locks", text(agent.NFSConf, []byte(nfsSettings)))
	for _, name := range []string{"rpcbind.socket", "rpcbind.service", "rpc-statd.service", "rpc-statd-notify.service"} {
		if !l.in.facts().Units[name].Active {
			l.add("version 4 does not use it, and it would listen to everybody", ops.Symlink{Path: "/etc/systemd/system/" + name, Target: "/dev/null"})
		}
	}
}

// exportsOf is what the server is to export: every directory to every node.
func exportsOf(c *inventory.Cluster) []ops.Export {
	var out []ops.Export
	for _, e := range c.Spec.Addons.Storage.NFS.Exports {
		for _, h := range c.Nodes() {
			out = append(out, ops.Export{Path: e.Path, Client: h.Address.String(), Options: exportOptions})
		}
	}
	return out
}

// exportsFile says the same in the words of exports(5).
func exportsFile(all []ops.Export) []byte {
	var out strings.Builder
	out.WriteString("# Written by kubewright: the addon storage of the cluster's inventory says what is here.\n")
	for i, e := range all {
		switch {
		case i == 0:
			out.WriteString(e.Path)
		case all[i-1].Path != e.Path:
			out.WriteString("\n" + e.Path)
		}
		fmt.Fprintf(&out, " %s(%s)", e.Client, e.Options)
	}
	out.WriteString("\n")
	return []byte(out.String())
}

// nfsClaim names what NFS makes on a host without being told. It is stated first, and so given up when the packages have gone.
func nfsClaim(in Input) ops.Claim {
	c := ops.Claim{
		Name:   "nfs",
		Mounts: []string{"/proc/fs/nfsd", "/run/rpc_pipefs", "/var/lib/nfs/rpc_pipefs"},
		Files: []string{
			"/run/rpc_pipefs", "/run/blkmapd.pid", "/run/rpcbind.lock", "/run/rpcbind.sock", "/run/rpc.statd.pid", "/run/sm-notify.pid",
			"/var/lib/nfs/etab", "/var/lib/nfs/.etab.lock", "/var/lib/nfs/export-lock", "/var/lib/nfs/rmtab", "/var/lib/nfs/.rmtab.lock",
			"/var/lib/nfs/nfsdcld", "/var/lib/nfs/nfsdcld/main.sqlite", "/var/lib/nfs/v4recovery",
		},
		Held: true,
	}
	if in.facts().Container == "" { // a container's are the machine's
		c.Modules = nfsModules
	}
	if exporting(in) {
		c.Units = []string{nfsUnit}
	}
	return c
}

// nfsModules are those that the kernel loads by itself when somebody mounts an export or serves one.
var nfsModules = []string{
	"auth_rpcgss", "blocklayoutdriver", "cachefiles", "dns_resolver", "fscache", "grace", "lockd", "netfs", "nfs", "nfs_acl", "nfs_layout_*", "nfsd", "nfsv[234]",
	"oid_registry", "rpcsec_gss_krb5", "sunrpc",
}
