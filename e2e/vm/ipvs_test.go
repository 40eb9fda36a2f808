//go:build e2e

package vm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestIPVS has kube-proxy run in ipvs mode for real. Every node must be able to, so the virtual machine is the only one.
func TestIPVS(t *testing.T) {
	before := plant(t)
	file := onlyVM(t)
	must(t, kubewright(t, file, "up"))
	if r := must(t, kubewright(t, file, "status")); !strings.Contains(r.stdout, "kube-proxy in ipvs mode") {
		t.Errorf("status does not say so:\n%s", r.stdout)
	}
	loaded(t, "ip_vs", "ip_vs_rr", "ip_vs_sh", "ip_vs_wrr", "br_netfilter", "nf_conntrack", "overlay", "vxlan")
	if list := told(t, "cat", "/etc/modules-load.d/kubewright.conf"); !strings.Contains(list, "\nip_vs\nip_vs_rr\n") {
		t.Errorf("a reboot would not load ipvs:\n%s", list)
	}
	works(t)
	dns := decode[corev1.Service](t, "-n", "kube-system", "service", "kube-dns").Spec.ClusterIP
	rules := told(t, "ipvsadm", "--list", "--numeric")
	for _, want := range []string{"TCP  10.96.0.1:443 rr", "-> 192.168.1.31:6443", "UDP  " + dns + ":53 rr"} {
		if !strings.Contains(rules, want) {
			t.Errorf("ipvs has no %q:\n%s", want, rules)
		}
	}
	if r := run(t, kubewright(t, file, "plan", "--exit-code")); r.code != 0 {
		t.Errorf("plan --exit-code ended with %d:\n%s", r.code, r.stdout)
	}
	must(t, kubewright(t, file, "reset", "--yes=lab"))
	same(t, before, "reset left something of ipvs")
}

// onlyVM is an inventory of the same hosts in which the virtual machine is the only node.
func onlyVM(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(inventory)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, change := range [][2]string{
		{`(?m)^ *- control-plane\n`, ""},
		{`(?m)^ *runtime: containerd\n`, ""}, // which is for nodes
		{`(?m)^( *)- worker\n`, "$1- control-plane\n$1- worker\n"},
		{`endpoint: 192\.168\.1\.21:6443`, "endpoint: 192.168.1.31:6443"},
		{`mode: nftables`, "mode: ipvs"},
		{`\z`, "  preflight:\n    ignore: [cpus]\n"}, // it has one
	} {
		now := regexp.MustCompile(change[0]).ReplaceAllString(text, change[1])
		if now == text {
			t.Fatalf("the inventory has no %q:\n%s", change[0], text)
		}
		text = now
	}
	file := filepath.Join(labDir, "only-vm.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
	return file
}
