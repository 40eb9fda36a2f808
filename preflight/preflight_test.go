package preflight

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

func course(t *testing.T) *inventory.Cluster {
	t.Helper()
	c, err := inventory.Parse("cluster.yaml", inventory.Example())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// good is what the hosts of the example inventory say when nothing stands in the way. The registry is smaller than a node may be, and on cgroup v1.
func good(c *inventory.Cluster) map[string]agent.Facts {
	out := map[string]agent.Facts{}
	for i, h := range c.Spec.Hosts {
		f := agent.Facts{
			Init: "systemd", CPUs: minCPUs, Memory: minMemory, Cgroup: 2, MachineID: fmt.Sprintf("%032x", i+1),
			Interfaces: []agent.Interface{{Name: "lo", Addresses: []string{"127.0.0.1/8"}}, {Name: "eth0", Addresses: []string{"fe80::1/64", h.Address.String() + "/24"}}},
		}
		if h.Name == "registry" {
			f.CPUs, f.Memory, f.Cgroup = 1, 512<<20, 1
		}
		out[h.Name] = f
	}
	return out
}

func TestNothingIsFoundOnGoodHosts(t *testing.T) {
	c := course(t)
	found := Run(c, good(c), nil)
	if len(found) > 0 || found.Fatal() != nil {
		t.Errorf("found %v", found)
	}
}

// TestChecks spoils facts of one host a row. What is found is one finding about that host, fatal, in words that say what is and what to do.
func TestChecks(t *testing.T) {
	for _, row := range []struct {
		check, name, host string
		spoil             func(*agent.Facts)
		found             string // empty: nothing stands in the way
	}{
		{"systemd", "another init", "node-0001", func(f *agent.Facts) { f.Init = "busybox" }, "process 1 is busybox"},
		{"systemd", "another init on a host that is no node", "registry", func(f *agent.Facts) { f.Init = "openrc-init" }, "process 1 is openrc-init"},
		{"root", "a login that is not root", "node-0002", func(f *agent.Facts) { f.UID = 1000 }, "the agent runs as user 1000"},
		{"remains", "of another installation", "node-0001", func(f *agent.Facts) { f.Remains = []string{"/etc/rancher/k3s", "/var/lib/rancher"} }, "/etc/rancher/k3s, /var/lib/rancher"},
		{"remains", "of our own, which the journal knows", "node-0001", func(f *agent.Facts) { f.Remains, f.Changes = []string{"/run/flannel"}, 3 }, ""},
		{"remains", "on a host that is no node", "registry", func(f *agent.Facts) { f.Remains = []string{"/var/lib/minikube"} }, ""},
		{"journal", "that nobody can read", "registry", func(f *agent.Facts) { f.Journal = "line 3 is cut off" }, "cannot be read: line 3 is cut off"},
		{"runtime", "of somebody else", "node-0001", func(f *agent.Facts) { f.Units = running("docker.service") }, "docker.service runs already"},
		{"runtime", "of our own, which the journal knows", "node-0001", func(f *agent.Facts) { f.Units, f.Changes = running("containerd.service"), 3 }, ""},
		{"runtime", "that is installed and does not run", "node-0001", func(f *agent.Facts) { f.Units = map[string]ops.UnitState{"docker.service": {Exists: true}} }, ""},
		{"runtime", "on a host that is no node", "registry", func(f *agent.Facts) { f.Units = running("containerd.service") }, ""},
		{"cpus", "a control plane with one", "master", func(f *agent.Facts) { f.CPUs = 1 }, "1 CPUs"},
		{"cpus", "a worker with one", "node-0001", func(f *agent.Facts) { f.CPUs = 1 }, ""},
		{"memory", "a control plane with a byte too little", "master", func(f *agent.Facts) { f.Memory-- }, "1699 MiB of memory"},
		{"memory", "a worker with little", "node-0001", func(f *agent.Facts) { f.Memory = 512 << 20 }, ""},
		{"cgroup", "v1 on a node", "node-0002", func(f *agent.Facts) { f.Cgroup = 1 }, "cgroup v1"},
		{"cgroup", "that nobody knows", "node-0002", func(f *agent.Facts) { f.Cgroup = 0 }, ""},
		{"address", "that no interface has", "node-0001", func(f *agent.Facts) { f.Interfaces = f.Interfaces[:1] }, "no interface has the address 192.168.1.31"},
		{"address", "of which an interface has only the beginning", "node-0001", func(f *agent.Facts) {
			f.Interfaces = []agent.Interface{{Name: "eth0", Addresses: []string{"192.168.1.3/24", "192.168.1.310/24", "10.192.168.1.31"}}}
		}, "no interface has the address 192.168.1.31"},
		{"address", "without a length", "node-0001", func(f *agent.Facts) { f.Interfaces[1].Addresses = []string{"192.168.1.31"} }, ""},
		{"machine-id", "of a copied host", "node-0002", func(f *agent.Facts) { f.MachineID = fmt.Sprintf("%032x", 2) }, "the same machine-id as node-0001"},
		{"machine-id", "of a host that is no node", "registry", func(f *agent.Facts) { f.MachineID = fmt.Sprintf("%032x", 2) }, ""},
		{"machine-id", "that is not set", "node-0002", func(f *agent.Facts) { f.MachineID = "" }, ""},
	} {
		t.Run(row.check+": "+row.name, func(t *testing.T) {
			c := course(t)
			facts := good(c)
			f := facts[row.host]
			row.spoil(&f)
			facts[row.host] = f
			all := Run(c, facts, nil)
			if row.found == "" {
				if len(all) > 0 {
					t.Errorf("found %v", all)
				}
				return
			}
			if len(all) != 1 {
				t.Fatalf("found %v", all)
			}
			got := all[0]
			if got.Check != row.check || got.Host != row.host || !got.Fatal || !strings.Contains(got.Found, row.found) {
				t.Errorf("found %+v, want %s on %s: %s", got, row.check, row.host, row.found)
			}
			if got.Need == "" || got.Remedy == "" {
				t.Errorf("it does not say what is needed or what to do: %+v", got)
			}
			if err := all.Fatal(); err == nil || err.Error() != got.String() {
				t.Errorf("fatal is %v", err)
			}
		})
	}
}

func TestCgroupV1IsToleratedWhereTheInventorySaysSo(t *testing.T) {
	c := course(t)
	facts := good(c)
	f := facts["node-0001"]
	f.Cgroup = 1
	facts["node-0001"] = f
	for _, row := range []struct {
		failCgroupV1 *bool
		found        int
	}{{nil, 1}, {new(true), 1}, {new(false), 0}} {
		c.Spec.Kubelet.FailCgroupV1 = row.failCgroupV1
		if all := Run(c, facts, nil); len(all) != row.found {
			t.Errorf("found %v", all)
		}
	}
}

// TestEverythingIsFoundAtOnce: every host that is wrong is named in one go, check by check, in the inventory's order.
func TestEverythingIsFoundAtOnce(t *testing.T) {
	c := course(t)
	all := Run(c, map[string]agent.Facts{}, nil) // hosts of which nothing is known
	var got []string
	for _, f := range all {
		got = append(got, f.Check+" "+f.Host)
	}
	want := []string{
		"systemd master", "systemd node-0001", "systemd node-0002", "systemd registry",
		"cpus master", "memory master",
		"address master", "address node-0001", "address node-0002", "address registry",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if lines := strings.Split(all.Fatal().Error(), "\n"); len(lines) != len(want) {
		t.Errorf("told are %d of %d", len(lines), len(want))
	}
}

func running(unit string) map[string]ops.UnitState {
	return map[string]ops.UnitState{unit: {Exists: true, Active: true}}
}

// TestClocks: what counts is how far hosts are from each other, not from the workstation.
func TestClocks(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		name  string
		skews map[string]time.Duration
		found []string
	}{
		{"all as ours", map[string]time.Duration{}, nil},
		{"all an hour from ours", map[string]time.Duration{"master": 3600 * s, "node-0001": 3601 * s, "node-0002": 3599 * s, "registry": 3600 * s}, nil},
		{"one at the limit", map[string]time.Duration{"node-0001": 30 * s}, nil},
		{"one past it", map[string]time.Duration{"node-0001": 31 * s}, []string{"node-0001: its clock is 31s from that of master"}},
		{"one behind", map[string]time.Duration{"registry": -600 * s}, []string{"registry: its clock is -10m0s from that of master"}},
		{"the first one", map[string]time.Duration{"master": 60 * s}, []string{
			"node-0001: its clock is -1m0s from that of master", "node-0002: its clock is -1m0s from that of master", "registry: its clock is -1m0s from that of master",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := course(t)
			var got []string
			all := Run(c, good(c), row.skews)
			for _, f := range all {
				if f.Check != "clock" || f.Need == "" || f.Remedy == "" {
					t.Errorf("found %+v", f)
				}
				got = append(got, f.Host+": "+f.Found)
			}
			if !slices.Equal(got, row.found) || (all.Fatal() != nil) != (len(row.found) > 0) {
				t.Errorf("found %q, want %q; fatal is %v", got, row.found, all.Fatal())
			}
		})
	}
}

func TestWhatIsNotFatalStopsNothing(t *testing.T) {
	all := Findings{{Check: "x", Host: "master", Found: "something", Need: "nothing", Remedy: "know it"}}
	if err := all.Fatal(); err != nil {
		t.Error(err)
	}
	if got, want := all[0].String(), "preflight: master: x: something; needed: nothing; know it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
