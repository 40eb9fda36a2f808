//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// withInventory runs the program on the lab's cluster as another inventory has it.
func withInventory(t *testing.T, file string, args ...string) result {
	t.Helper()
	return run(t, inLab(bounded(t), append(append([]string{"kubewright"}, args...), "-f", file)...))
}

// morePods is the lab's inventory with another number of pods for each node and a further name for the API server.
func morePods(t *testing.T) string {
	t.Helper()
	return inventoryWith(t, func(s string) string {
		return replaceFirst(replaceFirst(s, `(?m)^  kubelet:`, "  kubelet:\n    maxPods: 61"), `(?m)^  hosts:`, "  apiServer: {certSANs: [undo.lab.internal]}\n  hosts:")
	})
}

// content is every file of a host outside of what programs write for themselves, with its digest, owner, mode and time, and what runs.
func content(t *testing.T, host string) string {
	t.Helper()
	r := onHost(t, host, "find /etc /usr/local /opt /root /var/lib/kubelet/config.yaml -xdev -type f -printf '%p %M %u %g %T@ ' -exec sha256sum {} ';' | sort; "+
		"systemctl list-units --type=service --plain --no-legend | awk '$1 !~ /^user-runtime-dir@/ {print $1, $3}' | sort; sysctl net.ipv4.ip_forward")
	ok(t, r)
	return r.stdout
}

func contents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, h := range hosts {
		out[h] = content(t, h)
	}
	return out
}

// TestSavedPlan: a saved plan is carried out as it is, or not at all.
func TestSavedPlan(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	file, plan := morePods(t), filepath.Join(t.TempDir(), "more.plan")
	if r := withInventory(t, file, "plan", "-o", plan); r.code != 0 || !strings.Contains(r.stdout, "+maxPods: 61") {
		t.Fatalf("plan: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	info, err := os.Stat(plan)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("the plan's file is %v, %v", info, err)
	}
	if raw, _ := os.ReadFile(plan); strings.Contains(string(raw), "PRIVATE KEY") || strings.Contains(string(raw), "LS0tLS1CRUdJTiBFQyBQUklW") {
		t.Error("there is a private key in the plan")
	}
	ok(t, onHost(t, "node-0001", "echo '203.0.113.9 somebody' >> /etc/hosts")) // the user's own lines are the user's
	before := contents(t)
	for _, row := range []struct {
		what, host, do, back string
		says                 []string
	}{
		{"a sysctl", "node-0001", "sysctl -w net.ipv4.ip_forward=0", "sysctl -w net.ipv4.ip_forward=1",
			[]string{"node-0001: sysctl:net.ipv4.ip_forward: value was 1, is 0 now"}},
		{"a file of ours", "node-0002", "cp -a /etc/crictl.yaml /root/; echo '# by hand' >> /etc/crictl.yaml", "mv /root/crictl.yaml /etc/",
			[]string{"node-0002: file:/etc/crictl.yaml: content was ", "+# by hand"}},
		{"what the plan changes", "master", "cp -a /var/lib/kubelet/config.yaml /root/; echo '# by hand' >> /var/lib/kubelet/config.yaml", "mv /root/config.yaml /var/lib/kubelet/",
			[]string{"master: file:/var/lib/kubelet/config.yaml: content was "}},
		{"a unit", "registry", "systemctl stop kubewright-registry", "systemctl start kubewright-registry",
			[]string{"registry: unit:kubewright-registry.service: active was true, is not set now"}},
	} {
		t.Run(row.what, func(t *testing.T) {
			ok(t, onHost(t, row.host, row.do))
			r := withInventory(t, file, "up", "--plan", plan)
			ok(t, onHost(t, row.host, row.back))
			if r.code != 7 {
				t.Errorf("exit %d, want 7", r.code)
			}
			for _, want := range append(row.says, "nothing was changed") {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("it does not say %q:\n%s", want, r.stderr)
				}
			}
		})
	}
	for h, now := range contents(t) {
		if now != before[h] {
			t.Errorf("the refused plan changed %s:\n%s", h, lineDiff(before[h], now))
		}
	}
	if r := run(t, kubewright(bounded(t), "up", "--plan", plan)); r.code != 7 || !strings.Contains(r.stderr, "another inventory") {
		t.Errorf("with another inventory: exit %d\n%s", r.code, r.stderr)
	}
	t.Run("cut off and continued", func(t *testing.T) {
		cutOff(t, "node-0001", "unit:kubelet.service", "up", "--plan", plan, "-f", file)
		if r := withInventory(t, file, "up", "--plan", plan); r.code != 0 {
			t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		if r := withInventory(t, file, "up", "--plan", plan); r.code != 0 || !strings.HasPrefix(r.stdout, "nothing to do") {
			t.Errorf("once more: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		if r := withInventory(t, file, "drift"); r.code != 0 {
			t.Errorf("drift: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	})
	must(t, kubewright(bounded(t), "up"))
}

// cutOff starts the program and kills its process group when a step of a host begins.
func cutOff(t *testing.T, host, key string, args ...string) {
	t.Helper()
	events := filepath.Join(t.TempDir(), "events")
	if err := syscall.Mkfifo(events, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := inLab(bounded(t), append(append([]string{"kubewright"}, args...), "--events", events)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(events, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); pipe.Close() }()
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Type, Target, Key, State string }
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == "step" && e.State == "began" && e.Target == host && e.Key == key {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			return
		}
	}
	t.Fatalf("it ended before it came to %s on %s", key, host)
}

// TestDrift: what was changed by hand is told, with who set it; what is not ours is no drift; a host that is away hides nothing.
func TestDrift(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	if r := run(t, kubewright(bounded(t), "drift")); r.code != 0 || !strings.HasSuffix(r.stdout, "nothing to do\n") {
		t.Fatalf("of a fresh cluster: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	ok(t, onHost(t, "node-0001", "echo '# by hand' >> /etc/crictl.yaml; echo '203.0.113.8 somebody' >> /etc/hosts; rm /etc/sysctl.d/99-kubewright.conf"))
	ok(t, onHost(t, "registry", "systemctl stop kubewright-registry"))
	before := contents(t)
	check := func(r result, code int) {
		t.Helper()
		if r.code != code {
			t.Errorf("exit %d, want %d\n%s", r.code, code, r.stderr)
		}
		for _, want := range []string{"file:/etc/crictl.yaml", "-# by hand", "create  file:/etc/sysctl.d/99-kubewright.conf", "unit:kubewright-registry.service",
			"set it, and not by kubewright"} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("it does not say %q:\n%s", want, r.stdout)
			}
		}
		if strings.Contains(r.stdout, "block:/etc/hosts") {
			t.Errorf("somebody else's line is taken for drift:\n%s", r.stdout)
		}
	}
	check(run(t, kubewright(bounded(t), "drift")), 20)
	for h, now := range contents(t) {
		if now != before[h] {
			t.Errorf("drift changed %s:\n%s", h, lineDiff(before[h], now))
		}
	}
	var told struct {
		Changes int
		Targets []struct{ Name, Error string }
	}
	down(t, "node-0002")
	r := run(t, kubewright(bounded(t), "drift"))
	check(r, 4)
	if !strings.Contains(r.stderr, "error: node-0002: ") {
		t.Errorf("the host that is away is not named:\n%s", r.stderr)
	}
	r = run(t, kubewright(bounded(t), "drift", "-o", "json", "--short"))
	if err := json.Unmarshal([]byte(r.stdout), &told); err != nil || told.Changes != 4 || told.Targets[2].Name != "node-0002" || told.Targets[2].Error == "" {
		t.Errorf("as JSON: %v, %+v", err, told)
	}
	back(t, "node-0002")
	must(t, kubewright(bounded(t), "up"))
	if r := run(t, kubewright(bounded(t), "drift")); r.code != 0 {
		t.Errorf("mended: exit %d\n%s", r.code, r.stdout)
	}
}

// down takes a host off the network, and back puts it on again.
func down(t *testing.T, host string) {
	t.Helper()
	ok(t, run(t, inLab(bounded(t), "ip", "link", "set", "dev", host, "down")))
	t.Cleanup(func() { _ = run(t, inLab(context.Background(), "ip", "link", "set", "dev", host, "up")) })
}

func back(t *testing.T, host string) {
	t.Helper()
	ok(t, run(t, inLab(bounded(t), "ip", "link", "set", "dev", host, "up")))
}

// TestUndo: a run with a changed inventory is taken back, byte for byte, and nothing before it.
func TestUndo(t *testing.T) {
	must(t, kubewright(bounded(t), "up"))
	must(t, kubewright(bounded(t), "up")) // so that nothing is left to mend
	before := contents(t)
	if r := withInventory(t, morePods(t), "up"); r.code != 0 {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if now := content(t, "node-0001"); now == before["node-0001"] {
		t.Fatal("the changed inventory changed nothing")
	}
	if r := run(t, kubewright(bounded(t), "undo")); r.code != 8 || !strings.Contains(r.stdout, "-maxPods: 61") || !strings.Contains(r.stdout, "cert:/etc/kubernetes/pki/apiserver.crt") {
		t.Errorf("undo without a name: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := run(t, kubewright(bounded(t), "undo", "--yes=other")); r.code != 8 {
		t.Errorf("undo with another name: exit %d", r.code)
	}
	r := must(t, kubewright(bounded(t), "undo", "--yes=lab"))
	if strings.Contains(r.stdout, "registry: put back") {
		t.Errorf("a host was touched that the run had not changed:\n%s", r.stdout)
	}
	for h, now := range contents(t) {
		if now != before[h] {
			t.Errorf("undone, %s is another than it was:\n%s", h, lineDiff(before[h], now))
		}
	}
	clusterWorks(t)
	if r := run(t, kubewright(bounded(t), "drift")); r.code != 0 {
		t.Errorf("drift after undo: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := run(t, kubewright(bounded(t), "undo", "--yes=lab")); r.code != 0 || !strings.Contains(r.stdout, "there is no run to undo") {
		t.Errorf("a second undo: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := must(t, kubewright(bounded(t), "up")); !strings.HasPrefix(r.stdout, "nothing to do") {
		t.Errorf("up after undo did something:\n%s%s", r.stdout, r.stderr)
	}
}
