package preflight

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// kubeadm's minimum for a control-plane host (kubeadm: ControlPlaneNumCPU, ControlPlaneMem).
const (
	minCPUs   = 2
	minMemory = 1700 << 20
)

var checks = []check{
	{"systemd", every, func(_ *inventory.Cluster, _ inventory.Host, f agent.Facts) (Finding, bool) {
		return Finding{Fatal: true, Found: "process 1 is " + f.Init, Need: "systemd", Remedy: "use a host that systemd runs"}, f.Init != "systemd"
	}},
	{"root", every, func(_ *inventory.Cluster, _ inventory.Host, f agent.Facts) (Finding, bool) {
		return Finding{Fatal: true, Found: fmt.Sprintf("the agent runs as user %d", f.UID), Need: "root", Remedy: "log in as root or give the login sudo"}, f.UID != 0
	}},
	{"remains", node, func(_ *inventory.Cluster, _ inventory.Host, f agent.Facts) (Finding, bool) {
		return Finding{Fatal: true, Found: "there are remains of another installation: " + strings.Join(f.Remains, ", "), Need: "none", Remedy: "remove them with the tool that made them"}, len(f.Remains) > 0 && f.Changes == 0 // what is here while we have a journal is ours
	}},
	{"journal", every, func(_ *inventory.Cluster, _ inventory.Host, f agent.Facts) (Finding, bool) {
		return Finding{
			Fatal: true, Found: "the journal of earlier changes cannot be read: " + f.Journal, Need: "a journal that says what was here before",
			Remedy: "mend " + agent.StateDir + "/journal.jsonl, or remove " + agent.StateDir + " and give up putting the host back",
		}, f.Journal != ""
	}},
	{"runtime", node, func(_ *inventory.Cluster, _ inventory.Host, f agent.Facts) (Finding, bool) {
		for _, name := range []string{"docker.service", "containerd.service"} {
			if f.Units[name].Active && f.Changes == 0 {
				return Finding{Fatal: true, Found: name + " runs already", Need: "no other container runtime", Remedy: "take it off the host, or use another host"}, true
			}
		}
		return Finding{}, false
	}},
	{"cpus", controls, func(_ *inventory.Cluster, _ inventory.Host, f agent.Facts) (Finding, bool) {
		return Finding{Fatal: true, Found: fmt.Sprintf("%d CPUs", f.CPUs), Need: fmt.Sprintf("at least %d", minCPUs), Remedy: "give the host more"}, f.CPUs < minCPUs
	}},
	{"memory", controls, func(_ *inventory.Cluster, _ inventory.Host, f agent.Facts) (Finding, bool) {
		return Finding{Fatal: true, Found: fmt.Sprintf("%d MiB of memory", f.Memory>>20), Need: fmt.Sprintf("at least %d MiB", minMemory>>20), Remedy: "give the host more"}, f.Memory < minMemory
	}},
	{"cgroup", node, func(c *inventory.Cluster, _ inventory.Host, f agent.Facts) (Finding, bool) {
		tolerated := c.Spec.Kubelet.FailCgroupV1 != nil && !*c.Spec.Kubelet.FailCgroupV1
		return Finding{
			Fatal: true, Found: "cgroup v1, on which the kubelet does not start", Need: "cgroup v2",
			Remedy: "boot the host with systemd.unified_cgroup_hierarchy=1, or set spec.kubelet.failCgroupV1: false while it lasts",
		}, f.Cgroup == 1 && !tolerated
	}},
	{"address", every, func(_ *inventory.Cluster, h inventory.Host, f agent.Facts) (Finding, bool) {
		for _, i := range f.Interfaces {
			for _, a := range i.Addresses {
				if strings.HasPrefix(a, h.Address.String()+"/") || a == h.Address.String() {
					return Finding{}, false
				}
			}
		}
		return Finding{
			Fatal: true, Found: "no interface has the address " + h.Address.String(), Need: "the address at which its peers reach it",
			Remedy: "correct the host's address in the inventory (spec.hosts[].ssh.address is for where sshd answers)",
		}, true
	}},
}

// maxSkew is how far two hosts' clocks may be apart: certificates begin five minutes before they are made, leases live forty seconds.
const maxSkew = 30 * time.Second

// clocks finds the host whose clock is furthest from that of the first host.
func clocks(c *inventory.Cluster, skews map[string]time.Duration) Findings {
	var out Findings
	first := c.Spec.Hosts[0].Name
	for _, h := range c.Spec.Hosts[1:] {
		apart := skews[h.Name] - skews[first]
		if apart.Abs() > maxSkew {
			out = append(out, Finding{
				Check: "clock", Host: h.Name, Fatal: true, Found: fmt.Sprintf("its clock is %s from that of %s", apart.Round(time.Second), first),
				Need: "at most " + maxSkew.String(), Remedy: "set the clocks, best by a time service on every host",
			})
		}
	}
	return out
}

// duplicates finds hosts that are copies of one another: the API and the network tell nodes apart by these.
func duplicates(c *inventory.Cluster, facts map[string]agent.Facts) Findings {
	var out Findings
	seen := map[string]string{}
	for _, h := range c.Nodes() {
		id := facts[h.Name].MachineID
		if id == "" {
			continue
		}
		if other, twice := seen[id]; twice {
			out = append(out, Finding{
				Check: "machine-id", Host: h.Name, Fatal: true, Found: "the same machine-id as " + other + ": " + id, Need: "one of its own",
				Remedy: "remove /etc/machine-id on one of them and run systemd-machine-id-setup",
			})
		}
		seen[id] = h.Name
	}
	return out
}
