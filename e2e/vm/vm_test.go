//go:build e2e

package vm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestKernel is what a kernel of its own is needed for: modules, swap, sysctls, the clock, a reboot and a lost power supply.
func TestKernel(t *testing.T) {
	before := plant(t)
	t.Run("clocks that are apart are refused", clocksApart)
	same(t, before, "what was refused changed something")
	fine := t.Run("power lost in the middle of a first up", powerLost)
	fine = fine && t.Run("up continues", upReady)
	fine = fine && t.Run("the kernel is prepared", prepared)
	fine = fine && t.Run("pods and Services", works)
	fine = fine && t.Run("a reboot", rebooted)
	_ = fine && t.Run("pods and Services after it", works)
	must(t, kubewright(t, inventory, "reset", "--yes=lab"))
	same(t, before, "reset left something")

	t.Run("a clock that is set while up is at work", clockSet)
	must(t, kubewright(t, inventory, "reset", "--yes=lab"))
	same(t, before, "reset left something after a second life")
}

// plant gives the bare virtual machine swap in two ways, a file that fstab names and a unit, and takes its fingerprint.
func plant(t *testing.T) []string {
	t.Helper()
	must(t, kubewright(t, inventory, "reset", "--yes=lab"))
	if onVM(t, "test", "-e", "/swapfile").code != 0 {
		told(t, `set -e
for f in /swapfile /var/swap.img; do dd if=/dev/zero of=$f bs=1M count=32 status=none; chmod 600 $f; mkswap -q $f; done
printf '# mine\n/swapfile none swap sw,pri=7 0 0\n' >> /etc/fstab
printf '[Swap]\nWhat=/var/swap.img\nPriority=3\n\n[Install]\nWantedBy=swap.target\n' > /etc/systemd/system/var-swap.img.swap
systemctl daemon-reload
systemctl enable --quiet var-swap.img.swap
systemctl start swapfile.swap var-swap.img.swap`)
	}
	if got := swaps(t); got != "/swapfile 7,/var/swap.img 3" {
		t.Fatalf("the swap that was planted is %q", got)
	}
	look(t) // asking for the rules of nftables loads its module
	before := look(t)
	same(t, before, "two looks at an idle host differ, so that they cannot tell what reset leaves")
	if t.Failed() {
		t.FailNow()
	}
	return before
}

func swaps(t *testing.T) string {
	t.Helper()
	return strings.ReplaceAll(told(t, "awk 'NR>1 {print $1, $5}' /proc/swaps | sort"), "\n", ",")
}

// clocksApart sets the virtual machine's clock, which is its own.
func clocksApart(t *testing.T) {
	for _, row := range []struct{ name, set, says string }{
		{"ten minutes", "+10 minutes", `\b(9m\d+s|10m\d+s)`},
		{"a day", "+1 day", `\b(23h59m\d+s|24h0m\d+s)`},
		{"1970", "1970-01-02 00:00:00 UTC", `1970|-49\d{4}h`},
	} {
		t.Run(row.name, func(t *testing.T) {
			told(t, "date --utc --set '"+row.set+"'")
			defer setClock(t)
			r := run(t, kubewright(t, inventory, "up"))
			if r.code != 3 || !strings.Contains(r.stderr, vm) || !strings.Contains(r.stderr, "clock") || !regexp.MustCompile(row.says).MatchString(r.stderr) {
				t.Errorf("exit %d, want 3, the host and how far its clock is off:\n%s", r.code, r.stderr)
			}
		})
	}
}

// setClock sets the virtual machine's clock right.
func setClock(t *testing.T) {
	t.Helper()
	told(t, fmt.Sprintf("date --utc --set @%d", time.Now().Unix()))
}

// powerLost pulls the plug when the container runtime starts: what the kernel has not written by then is lost.
func powerLost(t *testing.T) {
	wait := upUntil(t, "unit:containerd.service")
	must(t, lab("restart", vm))
	if err := wait(); err != nil {
		t.Logf("up ended with %v, and is to be continued", err)
	}
}

func upReady(t *testing.T) {
	must(t, kubewright(t, inventory, "up"))
	nodes := decode[corev1.NodeList](t, "nodes").Items
	if len(nodes) != 2 {
		t.Errorf("there are %d nodes", len(nodes))
	}
	for _, n := range nodes {
		if !ready(n) {
			t.Errorf("node %s is not Ready: %+v", n.Name, n.Status.Conditions)
		}
	}
}

func ready(n corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// prepared holds that modules and sysctls are there, and that swap is off and stays off.
func prepared(t *testing.T) {
	loaded(t, "br_netfilter", "nf_conntrack", "overlay", "vxlan")
	for name, want := range map[string]string{"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1"} {
		if got := told(t, "sysctl", "-n", name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if got := swaps(t); got != "" {
		t.Errorf("swap is on: %s", got)
	}
	told(t, "swapon", "--all")
	if got := swaps(t); got != "" {
		t.Errorf("swapon --all turns swap on again: %s", got)
	}
}

func loaded(t *testing.T, want ...string) {
	t.Helper()
	have := strings.Fields(told(t, "cut -d' ' -f1 /proc/modules"))
	for _, m := range want {
		if !slices.Contains(have, m) {
			t.Errorf("the module %s is not loaded", m)
		}
	}
}

// rebooted reboots without the installer: everything comes back by itself, and there is nothing to do for a later run.
func rebooted(t *testing.T) {
	booted := func() string { return strings.TrimSpace(onVM(t, "cat", "/proc/sys/kernel/random/boot_id").stdout) }
	was := booted()
	onVM(t, "systemctl", "reboot")
	now := ""
	eventually(t, "the host is back", func() bool { now = booted(); return now != "" && now != was })
	eventually(t, "the node is Ready again", func() bool {
		n := decode[corev1.Node](t, "node", vm)
		return ready(n) && n.Status.NodeInfo.BootID == now
	})
	prepared(t)
	must(t, kubectl(t, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=5m"))
	if r := run(t, kubewright(t, inventory, "plan", "--exit-code")); r.code != 0 {
		t.Errorf("plan --exit-code ended with %d:\n%s", r.code, r.stdout)
	}
}

// clockSet has a time service set the clock by five minutes, back and forth, while up is at work: waits must not be measured by that clock.
func clockSet(t *testing.T) {
	wait := upUntil(t, "file:/usr/local/bin/containerd")
	for _, by := range []string{"+5 minutes", "-5 minutes", "-5 minutes", "+5 minutes"} {
		told(t, "date --set '"+by+"'")
		time.Sleep(4 * time.Second)
	}
	if err := wait(); err != nil {
		t.Errorf("up: %v", err)
	}
	setClock(t)
	upReady(t)
}
