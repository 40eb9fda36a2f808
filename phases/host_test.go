package phases_test

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
)

// find is the step of a host with that key, or nil, and its number among the host's.
func find(t *testing.T, c *inventory.Cluster, facts map[string]agent.Facts, host string, key ops.Key) (ops.Op, int) {
	t.Helper()
	var only []engine.At[phases.Input]
	for _, at := range phases.Inputs(c, facts, lock(), nil) {
		if at.Name == host {
			only = append(only, at)
		}
	}
	works, err := engine.Expand(phases.Up(), only)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, w := range works {
		for _, s := range w.Steps {
			if s.Op.Key() == key {
				return s.Op, n
			}
			n++
		}
	}
	return nil, -1
}

// TestSwapStaysOff: whatever fstab calls it, also when a run is cut short just after swap went off; and it comes back by fstab and the target.
func TestSwapStaysOff(t *testing.T) {
	facts := machineFacts()
	last := -1
	for _, key := range []ops.Key{"unit:dev-zram0.swap", "link:/etc/systemd/zram-generator.conf", "swap:", "unit:swap.target", "link:/etc/systemd/system/swap.target", "fstab:swap"} {
		_, n := find(t, course(t), facts, "node-0001", key)
		if n <= last {
			t.Errorf("%s is step %d, after step %d", key, n, last)
		}
		last = n
	}
	if op, _ := find(t, course(t), facts, "master", "link:/etc/systemd/zram-generator.conf"); op != nil {
		t.Error("there is no generator to turn off")
	}
	facts["master"] = agent.Facts{Units: map[string]ops.UnitState{"zramswap.service": {Exists: true}}}
	if op, _ := find(t, course(t), facts, "master", "unit:zramswap.service"); !ops.Equal(ops.Unit{Name: "zramswap.service"}, op) {
		t.Errorf("a service that makes swap: %+v", op)
	}
	if op, _ := find(t, course(t), facts, "registry", "swap:"); op != nil {
		t.Error("a registry may swap")
	}
	if op, _ := find(t, course(t), containerFacts(), "node-0001", "swap:"); op != nil {
		t.Error("a container's swap is the machine's below")
	}
}

// TestContainersLeaveTheKernelAlone: what is the machine's below is neither loaded nor sized, and the kubelet and kube-proxy are told.
func TestContainersLeaveTheKernelAlone(t *testing.T) {
	c, facts := course(t), containerFacts()
	config, _ := find(t, c, facts, "node-0001", "file:/var/lib/kubelet/config.yaml")
	if text := string(config.(ops.File).Content); !strings.Contains(text, "failSwapOn: false\n") || !strings.Contains(text, `resolvConf: ""`) {
		t.Errorf("the kubelet would not start where the machine below swaps, or look for name servers that are not there:\n%s", text)
	}
	config, _ = find(t, c, machineFacts(), "node-0001", "file:/var/lib/kubelet/config.yaml")
	if text := string(config.(ops.File).Content); strings.Contains(text, "failSwapOn") || strings.Contains(text, "resolvConf") {
		t.Errorf("a machine's kubelet tolerates swap or has no name servers:\n%s", text)
	}
	works := expand(t, c, facts)
	if text := objects(t, works); !strings.Contains(text, "maxPerCore: 0\n") || !strings.Contains(text, "min: 0\n") {
		t.Error("kube-proxy would size the connection tracking of the machine below")
	}
	for _, w := range works {
		for _, s := range w.Steps {
			if _, module := s.Op.(ops.Module); module {
				t.Errorf("%s: %s", w.Ref(), s.Op.Key())
			}
		}
	}
}

// TestKeysStayWhereTheyAreMade: no step of any host holds a private key, and no host has the key of an authority but the one that holds it.
func TestKeysStayWhereTheyAreMade(t *testing.T) {
	for _, w := range expand(t, course(t), machineFacts()) {
		for _, s := range w.Steps {
			if f, ok := s.Op.(ops.File); ok && strings.Contains(string(f.Content), "PRIVATE KEY") {
				t.Errorf("%s: %s holds a key", w.Ref(), f.Path)
			}
			if ca, ok := s.Op.(ops.Authority); ok && (w.Target == "registry") != (ca.Name == "registry") {
				t.Errorf("%s: %s is made there", w.Ref(), ca.Name)
			}
		}
	}
}

// TestNameServersOfPods: a kubelet hands on a list that pods can use, whatever stands in the host's own.
func TestNameServersOfPods(t *testing.T) {
	resolved := map[string]ops.UnitState{"systemd-resolved.service": {Exists: true, Active: true}}
	for _, row := range []struct {
		name    string
		servers []string
		units   map[string]ops.UnitState
		want    string // of the kubelet's configuration; empty: its default, /etc/resolv.conf
	}{
		{"a list of true servers", []string{"192.168.1.254"}, nil, ""},
		{"a list of true servers, though systemd-resolved runs", []string{"192.168.1.254"}, resolved, ""},
		{"the stub of systemd-resolved, which pods do not reach", []string{"127.0.0.53"}, resolved, "resolvConf: /run/systemd/resolve/resolv.conf\n"},
		{"none at all", nil, resolved, "resolvConf: \"\"\n"},
	} {
		op, _ := find(t, course(t), map[string]agent.Facts{"node-0001": {Nameservers: row.servers, Units: row.units}}, "node-0001", "file:/var/lib/kubelet/config.yaml")
		text := string(op.(ops.File).Content)
		if got := strings.Contains(text, "resolvConf"); got != (row.want != "") || !strings.Contains(text, row.want) {
			t.Errorf("%s: want %q in\n%s", row.name, row.want, text)
		}
	}
}

// TestOnARunningControlPlaneOneFollowsTheOther: the API server is changed once etcd is back. The first time they come up together.
func TestOnARunningControlPlaneOneFollowsTheOther(t *testing.T) {
	for _, running := range []bool{false, true} {
		facts := machineFacts()
		if running {
			f := facts["master"]
			f.Listening = []agent.Listener{{Port: 2379}}
			facts["master"] = f
		}
		_, etcd := find(t, course(t), facts, "master", "probe:etcd")
		_, api := find(t, course(t), facts, "master", "file:/etc/kubernetes/manifests/kube-apiserver.yaml")
		if etcd < 0 || api < 0 || (etcd < api) != running {
			t.Errorf("running is %t: etcd is awaited at step %d, the API server is written at step %d", running, etcd, api)
		}
	}
}
