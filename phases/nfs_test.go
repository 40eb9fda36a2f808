package phases_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
)

const nfsUnit = "nfs-server.service"

// sharing is a cluster whose registry host is an NFS server as well.
func sharing(t *testing.T, text []byte) *inventory.Cluster {
	c := parse(t, text)
	c.Spec.Addons.Storage.Enabled = true
	c.Spec.Addons.Storage.NFS = inventory.NFS{Enabled: true, Exports: []inventory.Export{{Path: "/srv/nfs", Size: "10Gi"}, {Path: "/srv/web", Size: "2Gi"}}}
	return c
}

// nfsFacts are hosts with apt. On the box a server runs that somebody has there, and a port mapper.
func nfsFacts() map[string]agent.Facts {
	out := machineFacts()
	for name, f := range out {
		f.PackageManager = "apt"
		out[name] = f
	}
	box := out["box"]
	box.NFS = agent.TheirNFS
	hour := ops.UnitState{Exists: true, Enabled: true, Active: true, Since: time.Now().Add(-time.Hour)}
	box.Units[nfsUnit], box.Units["rpcbind.socket"] = hour, hour
	out["box"] = box
	return out
}

// theirNFS is what is installed where somebody has a server.
func (w *world) theirNFS(name string) []string {
	if w.facts[name].NFS == agent.TheirNFS {
		return []string{"nfs-kernel-server=2.6"}
	}
	return nil
}

const theirExports = "/home\t10.1.0.0/16(wdelay,rw,no_root_squash)\n"

// nfs makes a host one that can be an NFS server: what its daemons make is there once it has been started.
func (w *world) nfs(name string, m *ops.Pretend) error {
	server, ok := w.cluster.NFSHost()
	if !ok || server.Name != name {
		return nil
	}
	var exports func(bool)
	m.ServeNFS(nfsUnit, func(started bool) {
		if exports != nil {
			exports(started)
		}
	})
	if w.facts[name].NFS == agent.TheirNFS {
		return errors.Join(put(m, "/var/lib/nfs/etab", theirExports), put(m, "/etc/exports", "/home 10.1.0.0/16(rw,no_root_squash)\n"),
			put(m, "/run/rpcbind.sock", ""))
	}
	exports = func(started bool) {
		if !started {
			return
		}
		w.needs(name, "the NFS server", m, agent.NFSConf, "/etc/exports.d/kubewright.exports", "/srv/nfs", "/srv/web")
		for _, file := range []string{"/run/blkmapd.pid", "/var/lib/nfs/rmtab", "/var/lib/nfs/nfsdcld/main.sqlite"} {
			if err := put(m, file, "x"); err != nil {
				w.problem("%s: %v", name, err)
			}
		}
	}
	return nil
}

// TestGoldenNFS is what is done and written for NFS: on the server, on a node, and on a host that is both and has somebody's server.
func TestGoldenNFS(t *testing.T) {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 4, 2, ' ', 0)
	all := map[string]string{}
	for _, works := range [][]engine.Work{expand(t, sharing(t, inventory.Example()), nfsFacts()), expand(t, sharing(t, inventory.Render(single(t))), nfsFacts())} {
		for _, w := range works {
			if w.Phase != "nfs" || w.Target == "node-0002" {
				continue
			}
			for _, s := range w.Steps {
				fmt.Fprintf(table, "%s\t%s\t%s\n", w.Target, s.Op.Key(), s.Why)
			}
			for path, content := range files(t, w) {
				all[w.Target+path] = content
			}
		}
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	all["plan.txt"] = out.String()
	golden(t, "testdata/nfs", all)
}

// TestSomebodysServerKeepsItsExports: ours come beside theirs, and go again.
func TestSomebodysServerKeepsItsExports(t *testing.T) {
	f := newFleet(t, sharing(t, inventory.Render(single(t))), nfsFacts())
	if err := f.up(); err != nil {
		t.Fatal(err)
	}
	etab := func() string {
		text, _ := os.ReadFile(f.machines["box"].Path("/var/lib/nfs/etab"))
		return string(text)
	}
	if got := etab(); !strings.HasPrefix(got, theirExports) || strings.Count(got, "\n/srv/") != 2 || !strings.Contains(got, ",root_squash,") {
		t.Errorf("exported is\n%s", got)
	}
	f.reset("after a run")
	if got := etab(); got != theirExports {
		t.Errorf("after a reset exported is\n%s", got)
	}
}

// TestTheStorageWaitsForNFS: and nobody else does.
func TestTheStorageWaitsForNFS(t *testing.T) {
	c := sharing(t, inventory.Example())
	c.Spec.Addons.MetricsServer.Enabled = true
	waits := map[string]bool{}
	for _, w := range expand(t, c, nfsFacts()) {
		if strings.HasPrefix(w.Target, "addon/") {
			waits[w.Target] = waits[w.Target] || slices.Contains(w.After, "nfs")
		}
	}
	if len(waits) != 2 || !waits["addon/storage"] || waits["addon/metrics-server"] {
		t.Errorf("for NFS wait %v", waits)
	}
}

// TestNothingOfNFSWhereSomebodyElseServes: the registry host is no server, nodes mount all the same; a package that the inventory names is left to it.
func TestNothingOfNFSWhereSomebodyElseServes(t *testing.T) {
	c := sharing(t, inventory.Example())
	c.Spec.Addons.Storage.NFS.Server = "nas.example.net"
	c.Spec.Packages = []inventory.Package{{Name: "nfs-common"}}
	hosts := map[string]int{}
	for _, w := range expand(t, c, nfsFacts()) {
		if w.Phase != "nfs" {
			continue
		}
		hosts[w.Target] = len(w.Steps)
	}
	if len(hosts) != 3 || hosts["registry"] != 0 || hosts["node-0001"] != 1 {
		t.Errorf("steps are done on %v", hosts)
	}
}

// TestNFSWithoutAPackageManager says which host it is.
func TestNFSWithoutAPackageManager(t *testing.T) {
	facts := nfsFacts()
	node := facts["node-0001"]
	node.PackageManager = ""
	facts["node-0001"] = node
	_, err := engine.Expand(phases.Up(), phases.Inputs(sharing(t, inventory.Example()), facts, lock(), nil))
	if err == nil || !strings.Contains(err.Error(), "node-0001 has neither apt nor dnf") {
		t.Errorf("got %v", err)
	}
}

// TestExportsAreOpenedForNodes: for each by its address, on the server only.
func TestExportsAreOpenedForNodes(t *testing.T) {
	for host, want := range map[string]int{"registry": 3, "master": 0} {
		facts := walls("firewalld")
		facts.PackageManager = "apt"
		all := nfsFacts()
		all[host] = facts
		n := 0
		for _, w := range expand(t, sharing(t, inventory.Example()), all) {
			for _, s := range w.Steps {
				if f, ok := s.Op.(ops.Firewalld); ok && w.Target == host {
					for _, from := range []string{"192.168.1.21", "192.168.1.31", "192.168.1.32"} {
						if slices.Contains(f.Rules, ops.RichRule(from, "2049", "tcp")) {
							n++
						}
					}
				}
			}
		}
		if n != want {
			t.Errorf("%s: 2049/tcp is opened for %d nodes, want %d", host, n, want)
		}
	}
}
