//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/lab"
)

// Each host has another firewall, with rules of its own that the cluster would not get through.
const (
	theirZone = `<?xml version="1.0" encoding="utf-8"?>
<zone>
  <!-- in the hand of the admin -->
  <short>Public</short>
  <description>For use in public areas. You do not trust the other computers on networks to not harm your computer. Only selected incoming connections are accepted.</description>
  <forward/> <service name="ssh"/>
  <port protocol="tcp" port="9999"/>
</zone>
`
	theirRules = `#!/usr/sbin/nft -f
flush ruleset

table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iif lo accept
		tcp dport 22 accept comment "ssh"
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state established,related accept
		counter reject
	}
}
`
)

// walls are how each host's firewall is put up, and taken down after the test.
var walls = map[string]struct{ up, down string }{
	"master":    {"mkdir -p /etc/firewalld/zones && printf %s '" + theirZone + "' > /etc/firewalld/zones/public.xml && systemctl enable --now firewalld", "systemctl disable --now firewalld; rm -f /etc/firewalld/zones/public.xml"},
	"node-0001": {"ufw allow 22/tcp && ufw --force enable && systemctl enable --now ufw", "ufw disable; ufw delete allow 22/tcp; systemctl disable --now ufw"},
	"node-0002": {"cp -a /etc/nftables.conf /root/ && printf %s '" + theirRules + "' > /etc/nftables.conf && systemctl enable --now nftables", "systemctl disable --now nftables; mv /root/nftables.conf /etc/"},
	"registry":  {"systemctl enable --now firewalld", "systemctl disable --now firewalld"},
}

// reloads are what their owners do to them, and how long the cluster may take to work again.
var reloads = []struct {
	host, what string
	settle     time.Duration
	hostPort   bool // heals, too
}{
	{"master", "firewall-cmd --reload", 10 * time.Second, true},
	{"master", "firewall-cmd --complete-reload", 10 * time.Second, true},
	{"master", "systemctl restart firewalld", 10 * time.Second, true},
	{"node-0001", "cp -p /etc/ufw/ufw.conf /dev/shm && ufw reload && touch -r /dev/shm/ufw.conf /etc/ufw/ufw.conf", 10 * time.Second, true}, // which writes it anew
	{"node-0001", "systemctl restart ufw", 10 * time.Second, true},
	{"node-0002", "nft -f /etc/nftables.conf", time.Minute, false},
}

// TestFirewalls brings the cluster up on hosts whose firewalls run, each another: they stay on and open no more than they need to, the cluster
// works behind them, also after a reload of each and a loss of power, and reset leaves them as they were.
func TestFirewalls(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	before := map[string]string{}
	for _, h := range hosts {
		ok(t, onHost(t, h, walls[h].up))
		t.Cleanup(func() { onHost(t, h, walls[h].down) })
		before[h] = firewallOf(t, h)
	}
	reset := func(t *testing.T) { must(t, kubewright(bounded(t), "reset", "--yes=lab")) }
	asBefore := func(t *testing.T) {
		for _, h := range hosts {
			if now := firewallOf(t, h); now != before[h] {
				t.Errorf("%s: the firewall is not as it was:\n%s", h, lineDiff(before[h], now))
			}
		}
	}
	fine := t.Run("up gets through", upReady)
	fine = fine && t.Run("only who needs it gets in", onlyWhoNeedsIt)
	fine = fine && t.Run("the cluster works through reloads and a loss of power", worksThroughReloads)
	fine = fine && t.Run("up again changes nothing", upAgain)
	fine = fine && t.Run("reset puts them back, also one that does not run just now", func(t *testing.T) {
		ok(t, onHost(t, "registry", "systemctl", "stop", "firewalld"))
		reset(t)
		ok(t, onHost(t, "registry", "systemctl", "start", "firewalld"))
		asBefore(t)
	})
	if fine {
		t.Run("off turns them off, and reset on again", func(t *testing.T) {
			withoutFirewalls(t)
			reset(t)
			asBefore(t)
		})
	}
}

// firewallOf is all that there is of a host's firewalls, in the kernel and on the disk.
func firewallOf(t *testing.T, host string) string {
	t.Helper()
	r := onHost(t, host, `nft list ruleset 2>/dev/null | sed 's/packets [0-9]* bytes [0-9]*//'; iptables-save 2>/dev/null | sed '/^#/d; s/\[.*//'
		find /etc/firewalld /etc/ufw /etc/default/ufw /etc/nftables.conf -type f -printf '%p %M %u %g %s %T@\n' | sort
		find /etc/firewalld /etc/ufw /etc/default/ufw /etc/nftables.conf -type f | sort | xargs sha256sum
		for u in firewalld ufw nftables; do echo $u $(systemctl is-active $u) $(systemctl is-enabled $u); done
		firewall-cmd --list-all-zones 2>/dev/null; firewall-cmd --permanent --list-all-zones 2>/dev/null; true`)
	ok(t, r)
	return r.stdout
}

// onlyWhoNeedsIt tries ports from one host to another.
func onlyWhoNeedsIt(t *testing.T) {
	for _, row := range []struct {
		from, to string
		port     int
		open     bool
	}{
		{"master", "192.168.1.31", 10250, true},
		{"master", "192.168.1.32", 10250, true},
		{"node-0001", "192.168.1.21", 10250, false},
		{"node-0001", "192.168.1.32", 10250, false},
		{"node-0002", "192.168.1.31", 10250, false},
		{"registry", "192.168.1.31", 10250, false},
		{"registry", "192.168.1.21", 6443, true},
		{"node-0002", "192.168.1.100", 5000, true},
		{"node-0001", "192.168.1.21", 2379, false},
	} {
		r := onHost(t, row.from, fmt.Sprintf("timeout 3 bash -c '</dev/tcp/%s/%d'", row.to, row.port))
		if open := r.code == 0; open != row.open {
			t.Errorf("from %s to %s:%d: open is %t", row.from, row.to, row.port, open)
		}
	}
	if r := run(t, inLab(bounded(t), "curl", "-sk", "--noproxy", "*", "--max-time", "3", "https://"+labRegistry+"/v2/")); r.code == 0 {
		t.Error("the registry is open to others than the cluster's hosts")
	}
}

// walled is a pod on every node with a port of its node, and Services in front of them.
const walled = `
apiVersion: v1
kind: Namespace
metadata: {name: walled, labels: {pod-security.kubernetes.io/enforce: privileged}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: probe, namespace: walled}
spec:
  selector: {matchLabels: {app: probe}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      containers:
      - name: probe
        image: %s
        command: [/agnhost, netexec, --http-port=8080]
        ports: [{containerPort: 8080, hostPort: 8085}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: probe, namespace: walled}
spec: {type: NodePort, selector: {app: probe}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
`

func worksThroughReloads(t *testing.T) {
	apply(t, fmt.Sprintf(walled, imageOf(t, "agnhost")))
	kubectl(t, "-n", "walled", "rollout", "status", "daemonset/probe", "--timeout=120s")
	pods := map[string]corev1.Pod{}
	for _, p := range decode[corev1.PodList](t, "-n", "walled", "pods", "-l", "app=probe").Items {
		pods[p.Spec.NodeName] = p
	}
	for _, n := range nodes {
		passes(t, pods, n, 0, true)
	}
	notRestarted(t)
	for _, r := range reloads {
		t.Run(r.what, func(t *testing.T) {
			ok(t, onHost(t, r.host, r.what))
			passes(t, pods, r.host, r.settle, r.hostPort)
		})
	}
	// Everything in the kernel is gone, and what is on the disk must bring it back.
	for _, h := range []string{"node-0001", "node-0002"} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := lab.Restart(ctx, h); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	kubectl(t, "-n", "walled", "delete", "pods", "--all", "--force", "--wait=false")
	for _, h := range []string{"node-0001", "node-0002"} {
		kubectl(t, "wait", "--for=condition=Ready", "node/"+h, "--timeout=120s")
	}
	kubectl(t, "-n", "walled", "rollout", "status", "daemonset/probe", "--timeout=120s")
	for _, p := range decode[corev1.PodList](t, "-n", "walled", "pods", "-l", "app=probe").Items {
		pods[p.Spec.NodeName] = p
	}
	for _, h := range []string{"node-0001", "node-0002"} {
		passes(t, pods, h, time.Minute, true)
	}
	kubectl(t, "delete", "namespace", "walled", "--timeout=60s")
}

// passes uses every way into a node and out of it.
func passes(t *testing.T, pods map[string]corev1.Pod, node string, settle time.Duration, hostPort bool) {
	t.Helper()
	began := time.Now()
	here := pods[node]
	for name, there := range pods {
		if name != node {
			reach(t, settle, here, there.Status.PodIP+":8080", "pod on "+name)
			reach(t, settle, there, here.Status.PodIP+":8080", "pod on "+node)
		}
	}
	reach(t, settle, here, "probe.walled.svc.cluster.local:80", "Service by name")
	ports := []string{":30080/hostname"}
	if hostPort {
		ports = append(ports, ":8085/hostname")
	}
	for _, port := range ports {
		url := "http://" + here.Status.HostIP + port
		if r := run(t, inLab(bounded(t), "curl", "-sS", "--noproxy", "*", "--max-time", "3", "--retry", fmt.Sprint(int(settle.Seconds())), "--retry-delay", "1", "--retry-all-errors", url)); r.code != 0 {
			t.Errorf("%s does not answer: %s%s", url, r.stdout, r.stderr)
		}
	}
	t.Logf("%s: everything passes after %s", node, time.Since(began).Round(100*time.Millisecond))
}

// withoutFirewalls brings the cluster up with an inventory that wants none.
func withoutFirewalls(t *testing.T) {
	file := filepath.Join(labDir, "cluster.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	off := strings.Replace(string(text), "firewall: managed", `firewall: "off"`, 1)
	if off == string(text) {
		off += "  firewall: \"off\"\n"
	}
	other := filepath.Join(labDir, "off.yaml")
	if err := os.WriteFile(other, []byte(off), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(other)
	must(t, inLab(bounded(t), "kubewright", "up", "-f", other))
	for _, h := range hosts {
		r := onHost(t, h, "systemctl is-active firewalld nftables; grep ^ENABLED= /etc/ufw/ufw.conf; nft list ruleset | grep -c 'policy drop'")
		if strings.Contains("\n"+r.stdout, "\nactive") || !strings.HasSuffix(strings.TrimSpace(r.stdout), "ENABLED=no\n0") {
			t.Errorf("%s: a firewall runs:\n%s", h, r.stdout)
		}
	}
	if r := run(t, inLab(bounded(t), "kubewright", "plan", "--exit-code", "-f", other)); r.code != 0 {
		t.Errorf("plan --exit-code ended with %d:\n%s", r.code, r.stdout)
	}
}
