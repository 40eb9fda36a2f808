//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestChangedInventory changes what the inventory says of a running cluster: up changes that, on a control plane that stays up, and
// nothing else.
func TestChangedInventory(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	file := inventoryWith(t, func(s string) string {
		return replaceFirst(s, `(?m)^  hosts:`, "  apiServer: {certSANs: [api.lab.internal]}\n  network: {dnsDomain: cluster.local}\n  hosts:")
	})
	plan := must(t, inLab(bounded(t), "kubewright", "plan", "-f", file)).stdout
	if !strings.Contains(plan, "cert:/etc/kubernetes/pki/apiserver.crt") || !strings.Contains(plan, "plan: 1 change on 1 target") {
		t.Errorf("a further name for the API server should change its certificate only:\n%s", plan)
	}
	must(t, inLab(bounded(t), "kubewright", "up", "-f", file))
	if r := must(t, inLab(bounded(t), "kubewright", "up", "-f", file)); !strings.HasPrefix(r.stdout, "nothing to do") {
		t.Errorf("up again did something:\n%s%s", r.stdout, r.stderr)
	}
	// Back to what it was, with every part of the control plane changed at once.
	pods := inventoryWith(t, func(s string) string {
		return withPods(s, 60)
	})
	must(t, inLab(bounded(t), "kubewright", "up", "-f", pods))
	// A kubelet tells the API some seconds after its start.
	kubectl(t, "wait", "nodes", "--all", "--for=jsonpath={.status.capacity.pods}=60", "--timeout=30s")
	must(t, kubewright(bounded(t), "up"))
	clusterWorks(t)
}

// TestRestartedControlPlane takes the parts of the control plane away by hand: up brings them back, one after the other.
func TestRestartedControlPlane(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	ok(t, onHost(t, "master", "sed -i s/snapshot-count=10000/snapshot-count=9000/ /etc/kubernetes/manifests/etcd.yaml; sed -i s/profiling=false/profiling=true/ /etc/kubernetes/manifests/kube-*.yaml"))
	must(t, kubewright(bounded(t), "up"))
	if r := onHost(t, "master", "pgrep -af 'profiling=true|snapshot-count=9000'"); r.code == 0 {
		t.Errorf("what was changed by hand still runs:\n%s", r.stdout)
	}
	// CoreDNS' watches were cut off with the API server and begin again with a back-off of up to half a minute.
	works(t, time.Minute)
}

// TestKubeadmKnowsTheCluster runs kubeadm's own commands about a cluster that it did not make.
func TestKubeadmKnowsTheCluster(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	ok(t, onHost(t, "master", "curl -sSf --noproxy '*' --cacert /etc/kubewright/pki/registry-ca.crt -o /root/kubeadm "+blobURL(t, "kubeadm")+" && chmod +x /root/kubeadm"))
	defer onHost(t, "master", "rm -f /root/kubeadm")
	r := onHost(t, "master", "/root/kubeadm certs check-expiration")
	if r.code != 0 || strings.Contains(r.stdout+r.stderr, "Falling back") || !strings.Contains(r.stdout, "apiserver-etcd-client") {
		t.Errorf("certs check-expiration: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	api, err := lock(t).Image("kube-apiserver")
	if err != nil {
		t.Fatal(err)
	}
	r = onHost(t, "master", "/root/kubeadm upgrade plan "+api.Version)
	if r.code != 0 || strings.Contains(r.stdout+r.stderr, "auto-detection") || !strings.Contains(r.stdout, "Target version: "+api.Version) {
		t.Errorf("upgrade plan: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}
