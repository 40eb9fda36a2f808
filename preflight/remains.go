package preflight

import (
	"path"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// products are the distributions of Kubernetes that we know by what they leave: a part of a path or of a unit's name.
var products = []struct {
	name, remover string
	signs         []string
}{
	{"k3s", "run k3s-uninstall.sh or k3s-agent-uninstall.sh there", []string{"/etc/rancher/k3s", "/usr/local/bin/k3s", "/etc/systemd/system/k3s", "/var/lib/rancher/k3s"}},
	{"rke2", "run rke2-uninstall.sh there", []string{"/etc/rancher/rke2", "/usr/local/bin/rke2", "/opt/rke2", "/etc/systemd/system/rke2-", "/usr/local/lib/systemd/system/rke2-", "/var/lib/rancher/rke2"}},
	{"k0s", "run k0s stop and k0s reset there", []string{"/etc/k0s", "/var/lib/k0s", "/run/k0s", "/usr/local/bin/k0s", "/etc/systemd/system/k0s"}},
	{"microk8s", "run snap remove --purge microk8s there", []string{"/var/snap/microk8s", "/etc/systemd/system/snap.microk8s."}},
	{"minikube", "run minikube delete there", []string{"/var/lib/minikube"}},
	{"rke", "run rke remove where it was installed from", []string{"/var/lib/rke"}},
	{"kubeadm", "run kubeadm reset there and remove the package", []string{"/etc/kubernetes/", "/var/lib/kubelet/config.yaml", "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
		"/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"}},
}

// cniName is the pod network's configuration as we name it: the runtime takes the first by name.
const cniName = "10-flannel.conflist"

// remainsChecks find what others left, which would get between us and our own. What lies on a host that has a journal of ours is told apart by it.
var remainsChecks = []check{
	{"other-cluster", Error, node, func(l *look) {
		l.see("no other distribution of Kubernetes")
		for _, p := range products {
			var signs []string
			for _, r := range l.f.Remains {
				if slices.ContainsFunc(p.signs, func(s string) bool { return strings.HasPrefix(r, s) }) {
					signs = append(signs, r)
				}
			}
			for _, u := range units(l) {
				if strings.HasPrefix(u, p.name) || strings.HasPrefix(u, "snap."+p.name) {
					signs = append(signs, u)
				}
			}
			if len(signs) > 0 && (p.name != "kubeadm" || !l.ours()) {
				l.add("there is "+p.name+": "+list(few(signs)), "no other Kubernetes on the host", p.remover)
			}
		}
	}},
	{"remains", Error, node, func(l *look) {
		if l.ours() { // what is here while we have a journal is ours
			l.skip("a cluster of ours is here")
			return
		}
		l.see("nothing of another installation")
		var rest []string
		for _, r := range l.f.Remains {
			known := false
			for _, p := range products {
				known = known || slices.ContainsFunc(p.signs, func(s string) bool { return strings.HasPrefix(r, s) })
			}
			if !known {
				rest = append(rest, r)
			}
		}
		if len(rest) > 0 {
			l.add("there are remains of another installation: "+list(few(rest)), "none", "remove them with the tool that made them")
		}
	}},
	{"cni-config", Error, node, func(l *look) {
		l.see("no other pod network is configured")
		for _, name := range l.f.CNI {
			file := path.Join("/etc/cni/net.d", name)
			if name < cniName {
				l.add(file+" comes before our "+cniName+", so the runtime would take it", "our configuration first", "move the file away")
			} else {
				l.as(Warning, file+" configures another pod network", "ours alone", "move the file away")
			}
		}
	}},
	{"links", Error, node, func(l *look) {
		if l.ours() {
			l.skip("a cluster of ours is here")
			return
		}
		l.see("no interface of another pod network")
		for _, i := range l.f.Interfaces {
			if grown(i.Name) && !strings.HasPrefix(i.Name, "veth") {
				what := i.Name + " is there already"
				if len(i.Addresses) > 0 {
					what += ", with the address " + i.Addresses[0]
				}
				l.add(what, "an interface that we make: one with another range lets no pod start", "run ip link delete "+i.Name)
			}
		}
	}},
	{"rules", Warning, node, func(l *look) {
		if l.ours() {
			l.skip("a cluster of ours is here")
			return
		}
		l.see("no rules of another cluster in nftables")
		var all []string
		for _, c := range l.f.Chains {
			if name := c.Table + " " + c.Name; c.Clustered() && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		if len(all) > 0 {
			l.add("there are rules of another cluster: "+list(few(all)), "none, which may send packets elsewhere", "reboot the host, or remove them with the tool that made them")
		}
	}},
	{"forwarding", Warning, node, func(l *look) {
		l.see("nothing in nftables drops what passes through")
		for _, c := range l.f.Chains {
			if l.host.Docker() && c.Table == "ip filter" {
				continue // Docker's own, in which the pods' packets are accepted before its end
			}
			// What a firewall drops that up opens is none of this check's.
			if c.Hook == ops.Forwarding && c.Drop && (l.keeper() == inventory.FirewallIgnore || !l.f.Firewall.Stops()) {
				l.add("what passes through the host is dropped at the end of "+c.Table+" "+c.Name, "packets of pods are let through: no other rule can undo that",
					"accept the pods' range there, or set the chain's policy to accept")
			}
		}
	}},
	{"runtime", Error, node, runtime},
	{"journal", Error, every, func(l *look) {
		l.see("%d changes can be put back", l.f.Changes)
		if l.f.Journal != "" {
			l.add("the journal of earlier changes cannot be read: "+l.f.Journal, "a journal that says what was here before",
				"mend /var/lib/kubewright/journal.jsonl, or remove /var/lib/kubewright and give up putting the host back")
		}
	}},
}

// units are the names of the units of interest that exist, in order.
func units(l *look) (names []string) {
	for name := range l.f.Units {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// few are the first of many.
func few(all []string) []string {
	if len(all) > 5 {
		return append(slices.Clone(all[:5]), "...")
	}
	return all
}
