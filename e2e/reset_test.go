//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestResetOfABrokenCluster: reset needs neither the API nor the registry, and not every host.
func TestResetOfABrokenCluster(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	ok(t, onHost(t, "master", "mv /etc/kubernetes/manifests/kube-apiserver.yaml /root/; for i in $(seq 100); do pgrep -x kube-apiserver || break; sleep 0.2; done; rm /root/kube-apiserver.yaml"))
	ok(t, onHost(t, "registry", "systemctl stop kubewright-registry"))
	if r := must(t, kubewright(bounded(t), "reset", "--yes=lab")); r.stderr != "" {
		t.Errorf("it complains:\n%s", r.stderr)
	}
	for _, h := range hosts {
		isBare(t, h)
	}

	must(t, kubewright(bounded(t), "up"))
	down(t, "node-0002")
	r := run(t, kubewright(bounded(t), "reset", "--yes=lab"))
	if r.code != 4 || !strings.Contains(r.stderr, "error: node-0002: ") {
		t.Errorf("with a host away: exit %d, want 4\n%s", r.code, r.stderr)
	}
	for _, h := range []string{"master", "node-0001", "registry"} {
		if !strings.Contains(r.stdout, h+": put back") {
			t.Errorf("%s was not reset:\n%s", h, r.stdout)
		}
		isBare(t, h)
	}
	back(t, "node-0002")
	if r := must(t, kubewright(bounded(t), "reset", "--yes=lab", "--host", "node-0002")); strings.Contains(r.stdout, "master") {
		t.Errorf("another host was reset as well:\n%s", r.stdout)
	}
	isBare(t, "node-0002")
}

// isBare wants nothing of a cluster on a host.
func isBare(t *testing.T, host string) {
	t.Helper()
	r := onHost(t, host, "ls -d /etc/kubernetes /etc/kubewright /var/lib/kubewright /etc/containerd /etc/cni /opt/cni /usr/local/bin/kubelet /var/lib/etcd/* "+
		"/sys/class/net/cni0 /sys/class/net/flannel.1 2>/dev/null; ps -eo comm= | grep -xE 'kubelet|containerd|etcd|kube-apiserver|registry'; "+
		"findmnt -rno TARGET | grep -E '/var/lib/kubelet/|/run/containerd/'")
	if r.stdout != "" {
		t.Errorf("on %s there is still:\n%s", host, r.stdout)
	}
}
