package phases_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
)

// The specimens that everything here is computed from: inventories, what hosts say of themselves, and a lock. None of them
// changes when a version does.

// course is the example inventory: a master, two workers, a registry.
func course(t *testing.T) *inventory.Cluster { return parse(t, inventory.Example()) }

// single is a cluster of one host that has every role, behind a name of its own.
func single(t *testing.T) *inventory.Cluster {
	return parse(t, []byte(`
apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: one}
spec:
  hosts:
  - {name: box, address: 10.1.0.1, roles: [control-plane, worker, registry]}
  network: {podCIDR: 10.42.0.0/16, serviceCIDR: 10.43.0.0/16, dnsDomain: one.test}
  apiServer: {endpoint: "api.one.test:6443", certSANs: [box.one.test, 10.1.0.9]}
  registry: {port: 5443}
  kubeProxy: {mode: ipvs}
  firewall: "off"
  packages: [{name: chrony, version: 4.3*, hold: true}, {name: nfs-common}]
  timeService: enable
`))
}

func parse(t *testing.T, text []byte) *inventory.Cluster {
	t.Helper()
	c, err := inventory.Parse("cluster.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// machineFacts are what the hosts of the specimens say. The course's hosts differ from each other as hosts do: each has another
// firewall, the second worker has br_netfilter built in, the registry is no node and has no modules of interest.
func machineFacts() map[string]agent.Facts {
	modules := func(netfilter string) map[string]string {
		return map[string]string{
			"overlay": "loaded", "br_netfilter": netfilter, "nf_conntrack": "available", "vxlan": "available",
			"ip_vs": "available", "ip_vs_rr": "available", "ip_vs_wrr": "available", "ip_vs_sh": "available",
			"ip_set": "available", "ip_set_hash_ip": "available", "ip_set_hash_ipport": "available", "ip_set_hash_ipportip": "available",
			"ip_set_hash_ipportnet": "available", "ip_set_bitmap_port": "available", "xt_set": "available",
		}
	}
	firewalld := map[string]ops.UnitState{"firewalld.service": {Exists: true, Enabled: true, Active: true}}
	ufw := map[string]ops.UnitState{"ufw.service": {Exists: true, Enabled: true}}
	both := map[string]ops.UnitState{"firewalld.service": firewalld["firewalld.service"], "ufw.service": ufw["ufw.service"]}
	zones := agent.Firewall{NFT: true, Zones: map[string]ops.FirewallZone{"public": {Default: true, Interfaces: []string{"eth0"}}}}
	chains := agent.Firewall{NFT: true, Load: "/etc/nftables.conf", Flushes: true, Chains: []ops.Chain{
		{Table: "inet filter", Name: "forward", Hook: "forward", Stops: true}, {Table: "inet filter", Name: "input", Hook: "input", Stops: true, Ends: true},
	}}
	names := []string{"192.168.1.254"}
	return map[string]agent.Facts{
		"master":    {Etcd: agent.Account{UID: 2379, GID: 2379}, Modules: modules("available"), Units: firewalld, Firewall: zones, Nameservers: names, Swaps: []string{"/dev/vda2"}},
		"node-0001": {Modules: modules("available"), Units: ufw, Firewall: agent.Firewall{UFW: true}, Nameservers: names, Swaps: []string{"/dev/vda2", "/dev/zram0"}, Zram: true},
		"node-0002": {Modules: modules("builtin"), Firewall: chains, Nameservers: names},
		"registry":  {Nameservers: names, Swaps: []string{"/dev/vda2"}},
		"box":       {Etcd: agent.Account{UID: 112, GID: 118}, PackageManager: "apt", Modules: modules("available"), Units: both, Firewall: agent.Firewall{UFW: true}, Swaps: []string{"/swap.img"}},
	}
}

// containerFacts are the same hosts as system containers: no modules of their own, no swap of their own.
func containerFacts() map[string]agent.Facts {
	out := map[string]agent.Facts{}
	for name, f := range machineFacts() {
		out[name] = agent.Facts{Container: "systemd-nspawn", Swaps: []string{"/dev/vda2"}, Etcd: f.Etcd}
	}
	return out
}

// specimen is one cluster with what its hosts say.
type specimen struct {
	name    string
	cluster *inventory.Cluster
	facts   map[string]agent.Facts
	cuts    int // at how many changes TestUpAndReset fails
}

func worlds(t *testing.T) []specimen {
	return []specimen{
		{"the course's cluster", course(t), machineFacts(), 2},
		{"one host with every role, ipvs, and no firewall wanted", single(t), machineFacts(), 2},
		{"a node of each kind", mixed(t), dockerFacts(), 3},
		{"an NFS server of ours", sharing(t, inventory.Example()), nfsFacts(), 3},
		{"an NFS server that is somebody's", sharing(t, inventory.Render(single(t))), nfsFacts(), 2},
		{"hosts that are system containers", course(t), containerFacts(), 0},
	}
}

// program is what the pretend bundle holds for a host program.
func program(name string) []byte { return []byte("the program " + name + "\n") }

// lock has every component that a bundle of this version is built from, with digests of the pretend programs.
func lock() bundle.Lock {
	var l bundle.Lock
	for _, c := range bundle.Want().Components {
		out := bundle.Component{Name: c.Name, Kind: c.Kind, Version: "v9.9.9", Platform: bundle.Platform, Repository: c.Name, Digest: sum([]byte("image " + c.Name))}
		if c.Kind == bundle.KindFile {
			out.Repository, out.Digest, out.Manifest = "bin/"+c.Name, sum(program(c.Name)), sum([]byte("manifest "+c.Name))
		}
		l.Components = append(l.Components, out)
		if c.Kind == bundle.KindImage {
			out.Kind, out.Repository, out.Digest = bundle.KindGzip, "gzip/"+c.Name, sum([]byte("gzip image "+c.Name))
			l.Components = append(l.Components, out)
		}
	}
	return l
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// readable writes the digests of the specimen lock as what they are the digests of.
func readable(text string) string {
	for _, c := range lock().Components {
		text = strings.ReplaceAll(text, c.Digest, "sha256:("+c.Kind+" "+c.Name+")")
		if c.Manifest != "" {
			text = strings.ReplaceAll(text, c.Manifest, "sha256:(manifest of "+c.Name+")")
		}
	}
	return text
}

// hosts are the inputs without the cluster's own, which no machine can be.
func hosts(in []engine.At[phases.Input]) []engine.At[phases.Input] {
	var out []engine.At[phases.Input]
	for _, at := range in {
		if !phases.OfCluster(at.Name) {
			out = append(out, at)
		}
	}
	return out
}

func expand(t *testing.T, c *inventory.Cluster, facts map[string]agent.Facts) []engine.Work {
	t.Helper()
	works, err := engine.Expand(phases.Up(), phases.Inputs(c, facts, lock(), nil))
	if err != nil {
		t.Fatal(err)
	}
	return works
}
