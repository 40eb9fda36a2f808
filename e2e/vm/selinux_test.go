//go:build e2e

package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// confined is a virtual machine that does all that there is to do.
const confined = `
apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  hosts:
  - {name: node-0001, address: 192.168.1.31, roles: [control-plane, worker, registry]}
`

// TestSELinux is on a host on which a policy counts, in a lab of its own beside that of the other tests.
func TestSELinux(t *testing.T) {
	ownLab(t, confined, "--vm", "--selinux")
	// The hosts file has a label that its administrator gave it, the mode is written as nobody else would, and what the disk is to know after a
	// power failure is on it.
	told(t, `set -e
chcon -t etc_runtime_t /etc/hosts
sed -i 's/^SELINUX=permissive$/SELINUX= Enforcing # for the auditors/' /etc/selinux/config
restorecon /etc/selinux/config
setenforce 1
sync`)
	look(t) // asking for the rules of nftables loads its module
	before, labels := look(t), mislabelled(t)
	same(t, before, "two looks at an idle host differ, so that they cannot tell what reset leaves")
	if !slices.ContainsFunc(labels, func(l string) bool { return strings.HasPrefix(l, "Would relabel /etc/hosts ") }) || t.Failed() {
		t.Fatalf("the host is not as it was to be made; of labels it is said\n%s", strings.Join(labels, "\n"))
	}
	t.Run("keep", func(t *testing.T) { kept(t, before, labels) })
	t.Run("permissive", func(t *testing.T) { permissive(t, before) })
}

// kept holds that a host is prepared, and a kubelet started, while the policy counts, and that all that was written has the label that the policy wants.
func kept(t *testing.T, before, labels []string) {
	const finding = "SELinux is enforcing, and has no rules for containers"
	if r := run(t, kubewright(t, inventory, "preflight")); !strings.Contains(r.stdout, finding) {
		t.Errorf("preflight does not find that %s:\n%s%s", finding, r.stdout, r.stderr)
	}
	told(t, "dmesg --clear")
	must(t, kubewright(t, inventory, "up", "--phase", "host,authorities,registry,binaries,containerd,certificates,node-certificates,kubelet"))
	if got := told(t, "getenforce"); got != "Enforcing" {
		t.Errorf("SELinux is %s", got)
	}
	for path, want := range map[string]string{
		"/opt/cni/bin/bridge": ":bin_t:", "/etc/systemd/system/kubelet.service": ":systemd_unit_t:", "/etc/kubernetes/pki": ":etc_t:", "/etc/hosts": ":etc_runtime_t:",
	} {
		if got := told(t, "stat", "--format=%C", path); !strings.Contains(got, want) {
			t.Errorf("the label of %s is %s, and not one with %s", path, got, want)
		}
	}
	if now := mislabelled(t); !slices.Equal(now, labels) {
		t.Errorf("the policy wants other labels:\n%s\nbefore it was\n%s", strings.Join(now, "\n"), strings.Join(labels, "\n"))
	}
	if denied := onVM(t, "dmesg | grep ':unconfined_t:.*denied\\|denied.*:unconfined_t:'").stdout; denied != "" {
		t.Errorf("something was denied to us:\n%s", denied)
	}
	must(t, kubewright(t, inventory, "reset", "--yes=lab"))
	same(t, before, "reset left something")
}

// permissive holds that it is so now and after a restart, and that reset makes the policy count again.
func permissive(t *testing.T, before []string) {
	raw, err := os.ReadFile(inventory)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(labDir, "permissive.yaml")
	if err := os.WriteFile(file, bytes.Replace(raw, []byte("selinux: keep"), []byte("selinux: permissive"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	plan := must(t, kubewright(t, file, "plan")).stdout
	if !regexp.MustCompile(`selinux:.*\n.*\n *-now: enforcing\n *-boot: Enforcing\n *\+now: permissive\n *\+boot: permissive\n`).MatchString(plan) {
		t.Errorf("plan does not say it:\n%s", plan)
	}
	if r := must(t, kubewright(t, file, "preflight")); strings.Contains(r.stdout, "SELinux is enforcing, and") {
		t.Errorf("preflight finds what is going to change:\n%s", r.stdout)
	}
	config, label := told(t, "cat", "/etc/selinux/config"), told(t, "stat", "--format=%C", "/etc/selinux/config")
	must(t, kubewright(t, file, "up", "--phase", "host"))
	must(t, lab("restart", vm))
	if got := told(t, "getenforce"); got != "Permissive" {
		t.Errorf("after a restart SELinux is %s", got)
	}
	if got, want := told(t, "cat", "/etc/selinux/config"), strings.Replace(config, " Enforcing #", " permissive #", 1); got != want || got == config {
		t.Errorf("the configuration is\n%s", got)
	}
	if got := told(t, "stat", "--format=%C", "/etc/selinux/config"); got != label {
		t.Errorf("the label of the configuration was %s, and is %s", label, got)
	}
	must(t, kubewright(t, file, "reset", "--yes=lab"))
	same(t, before, "reset left something of selinux: permissive")
}

// mislabelled is what the policy wants labelled otherwise, without what kubewright keeps of others: that has its own labels.
func mislabelled(t *testing.T) []string {
	t.Helper()
	all := strings.Split(told(t, "restorecon -n -R -v /etc /home /opt /root /srv /usr /var"), "\n")
	all = slices.DeleteFunc(all, func(l string) bool { return strings.Contains(l, "/var/lib/kubewright/kept/") })
	slices.Sort(all)
	return all
}

// ownLab makes hosts in a lab beside the other one, which the rest of the test speaks to.
func ownLab(t *testing.T, hosts string, options ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hosts.yaml")
	if err := os.WriteFile(file, []byte(hosts), 0o600); err != nil {
		t.Fatal(err)
	}
	other := os.Getenv("KUBEWRIGHT_LAB")
	t.Setenv("KUBEWRIGHT_LAB", "own"+other[:min(5, len(other))])
	dir, inv := labDir, inventory
	labDir = t.TempDir()
	inventory = filepath.Join(labDir, "cluster.yaml")
	t.Cleanup(func() {
		must(t, lab("down"))
		labDir, inventory = dir, inv
	})
	must(t, lab("down"))
	must(t, lab(append([]string{"up", "-f", file}, options...)...))
}
