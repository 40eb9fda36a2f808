//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestCluster is the life of a cluster, in one lab: planned, made, used, made again without a change, taken away, made once more.
func TestCluster(t *testing.T) {
	fine := t.Run("plan shows everything and changes nothing", planFresh)
	fine = fine && t.Run("up brings every node to Ready", upReady)
	fine = fine && t.Run("the cluster works", clusterWorks)
	fine = fine && t.Run("up again changes nothing", upAgain)
	fine = fine && t.Run("status tells the truth", statusTruth)
	fine = fine && t.Run("reset takes the cluster away", resetClean)
	fine = fine && t.Run("up works again after reset", upReady)
	_ = fine && t.Run("the cluster works again", clusterWorks)
}

func planFresh(t *testing.T) {
	before := look(t)
	r := must(t, kubewright(bounded(t), "plan"))
	for _, want := range []string{
		"file:/etc/kubernetes/manifests/kube-apiserver.yaml", "unit:kubelet.service", "sysctl:net.ipv4.ip_forward",
		"cert:/etc/kubernetes/pki/apiserver.crt", "authority:kubernetes", "object:DaemonSet/kube-flannel/kube-flannel-ds",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the plan does not name %s", want)
		}
	}
	if r := run(t, kubewright(bounded(t), "plan", "--exit-code")); r.code != 20 {
		t.Errorf("plan --exit-code ended with %d, want 20", r.code)
	}
	sameHosts(t, before, look(t), "plan changed something")
}

func upReady(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	list := decode[corev1.NodeList](t, "nodes")
	if len(list.Items) != len(nodes) {
		t.Fatalf("there are %d nodes, want %d", len(list.Items), len(nodes))
	}
	for _, n := range list.Items {
		if !ready(n) {
			t.Errorf("node %s is not Ready: %+v", n.Name, n.Status.Conditions)
		}
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && !strings.HasPrefix(a.Address, "192.168.1.") {
				t.Errorf("node %s has the address %s", n.Name, a.Address)
			}
		}
	}
	info, err := os.Stat(filepath.Join(labDir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig has mode %v", info.Mode())
	}
}

func ready(n corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func upAgain(t *testing.T) {
	before := look(t, ofCluster...)
	r := must(t, kubewright(bounded(t), "up"))
	if !strings.HasPrefix(r.stdout, "nothing to do") {
		t.Errorf("up did something:\n%s\n%s", r.stdout, r.stderr)
	}
	if r := run(t, kubewright(bounded(t), "plan", "--exit-code")); r.code != 0 {
		t.Errorf("plan --exit-code ended with %d:\n%s", r.code, r.stdout)
	}
	sameHosts(t, before, look(t, ofCluster...), "up changed something")
}

func statusTruth(t *testing.T) {
	r := must(t, kubewright(bounded(t), "status"))
	for _, h := range hosts {
		if !strings.Contains(r.stdout, h) {
			t.Errorf("status does not name %s:\n%s", h, r.stdout)
		}
	}
	if n := strings.Count(r.stdout, "Ready"); n < len(nodes) || strings.Contains(r.stdout, "NotReady") {
		t.Errorf("status does not call all nodes Ready:\n%s", r.stdout)
	}
	ok(t, onHost(t, "node-0002", "systemctl", "stop", "kubelet.service"))
	r = must(t, kubewright(bounded(t), "status", "-o", "json"))
	if !strings.Contains(r.stdout, `"kubelet.service": "inactive"`) {
		t.Errorf("status does not see the stopped kubelet:\n%s", r.stdout)
	}
	must(t, kubewright(bounded(t), "up"))
	if r := onHost(t, "node-0002", "systemctl", "is-active", "kubelet.service"); r.code != 0 {
		t.Error("up did not start the kubelet again")
	}
}

func resetClean(t *testing.T) {
	if r := run(t, kubewright(bounded(t), "reset", "--yes=other")); r.code != 8 {
		t.Errorf("reset with a wrong name ended with %d, want 8", r.code)
	}
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	for _, h := range hosts {
		for _, gone := range []string{"/etc/kubernetes", "/etc/kubewright", "/var/lib/kubewright", "/etc/containerd", "/etc/cni/net.d", "/usr/local/bin/kubelet", "/opt/cni"} {
			if r := onHost(t, h, "test", "!", "-e", gone); r.code != 0 {
				t.Errorf("%s still has %s", h, gone)
			}
		}
		for _, link := range []string{"cni0", "flannel.1"} {
			if r := onHost(t, h, "test", "!", "-e", "/sys/class/net/"+link); r.code != 0 {
				t.Errorf("%s still has the link %s", h, link)
			}
		}
		for _, process := range []string{"kubelet", "containerd", "etcd", "kube-apiserver", "registry"} {
			if r := onHost(t, h, "pgrep", "-x", process); r.code == 0 {
				t.Errorf("%s still runs %s", h, process)
			}
		}
		if r := onHost(t, h, "findmnt", "-rno", "TARGET"); strings.Contains(r.stdout, "/var/lib/kubelet/") || strings.Contains(r.stdout, "/run/containerd/") {
			t.Errorf("%s still has mounts of the cluster:\n%s", h, r.stdout)
		}
	}
}

func ok(t *testing.T, r result) {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit %d: %s %s", r.code, r.stdout, r.stderr)
	}
}

func lineDiff(a, b string) string {
	had := map[string]bool{}
	for _, l := range strings.Split(a, "\n") {
		had[l] = true
	}
	var out []string
	has := map[string]bool{}
	for _, l := range strings.Split(b, "\n") {
		has[l] = true
		if !had[l] {
			out = append(out, "+ "+l)
		}
	}
	for l := range had {
		if !has[l] {
			out = append(out, "- "+l)
		}
	}
	return strings.Join(out, "\n")
}
