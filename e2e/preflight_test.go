//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// seen is a result of preflight as JSON.
type seen struct {
	Check, Status, Severity, Observed, Needed, Remedy string
	Hosts                                             []string
}

func (s seen) String() string {
	return fmt.Sprintf("%s %s %s: %s", s.Severity, s.Check, strings.Join(s.Hosts, ","), s.Observed)
}

// preflighted are the findings, and how long they took.
func preflighted(t *testing.T, code int, args ...string) (found []seen, seconds float64) {
	t.Helper()
	results, seconds := preflightTimed(t, code, args...)
	for _, s := range results {
		if s.Status == "failed" {
			found = append(found, s)
		}
	}
	return found, seconds
}

// preflightTimed are all results.
func preflightTimed(t *testing.T, code int, args ...string) (results []seen, seconds float64) {
	t.Helper()
	r := run(t, kubewright(bounded(t), append([]string{"preflight", "-o", "json"}, args...)...))
	var report struct {
		Seconds float64
		Hosts   int
		Results []seen
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v\n%s\n%s", err, r.stdout, r.stderr)
	}
	if r.code != code {
		t.Errorf("exit %d, want %d: %s", r.code, code, r.stdout)
	}
	t.Logf("preflight: %d hosts in %.2f s", report.Hosts, report.Seconds)
	return report.Results, report.Seconds
}

// below are checks that speak of the machine which the lab's hosts share: how full and how busy its disk is, and which limits its kernel
// has reached.
var below = []string{"image-collection", "systemd-state", "fsync"}

// TestPreflight: bare hosts are found to be well and are left as they are; what is spoilt on them is found, each by its name.
func TestPreflight(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	before := map[string]string{}
	for _, h := range hosts {
		before[h] = everyFile(t, h)
	}
	found, seconds := preflighted(t, 0)
	for _, s := range found {
		if !slices.Contains(below, s.Check) {
			t.Errorf("on a clean host: %s", s)
		}
	}
	if seconds > 15 {
		t.Errorf("it took %.1f s", seconds)
	}
	for _, h := range hosts {
		if d := lineDiff(before[h], everyFile(t, h)); d != "" {
			t.Errorf("%s: preflight wrote:\n%s", h, d)
		}
	}

	// Every fault is made, found and taken away again; all at once, for hosts have many at once.
	faults := []struct {
		host         string
		spoil, mend  string
		check, found string
	}{
		{"node-0001", "systemd-run -q --unit=kwfault socat TCP-LISTEN:10250,fork EXEC:true; sleep 1; systemctl status --no-pager kwfault", "systemctl stop kwfault", "port", "port 10250/tcp is in use by pid "},
		{"node-0002", "cp -a /etc/machine-id /etc/machine-id.own; echo SAME > /etc/machine-id", "mv -f /etc/machine-id.own /etc/machine-id", "machine-id", "the same machine-id: "},
		{"master", "nft add table inet kwfault; nft 'add chain inet kwfault input { type filter hook input priority 0; }'; nft add rule inet kwfault input ip saddr 192.168.1.32 tcp dport 6443 drop",
			"nft delete table inet kwfault", "reach", "blocked: node-0002 -> master 6443/tcp: no answer"},
		{"registry", "nft add table inet kwfault; nft 'add chain inet kwfault input { type filter hook input priority 0; }'; nft add rule inet kwfault input ip saddr 192.168.1.31 tcp dport 5000 reject with icmp type admin-prohibited",
			"nft delete table inet kwfault", "reach", "blocked: node-0001 -> registry 5000/tcp: no route to host"},
		{"node-0002", "nft add table inet kwfault; nft 'add chain inet kwfault input { type filter hook input priority 0; }'; nft add rule inet kwfault input ip saddr 192.168.1.21 udp dport 8472 drop",
			"nft delete table inet kwfault", "reach", "blocked: master -> node-0002 8472/udp: no answer"},
		{"node-0002", "echo [Service] > /etc/systemd/system/k3s.service", "rm /etc/systemd/system/k3s.service", "other-cluster", "there is k3s: /etc/systemd/system/k3s.service"},
		{"node-0001", "mount -t tmpfs -o size=64m none /var/lib/containerd", "umount /var/lib/containerd", "disk-space", "/var/lib/containerd (tmpfs) has 64 MiB free of 64 MiB"},
		{"master", "mount -t tmpfs -o size=2g none /var/lib/etcd", "umount /var/lib/etcd", "etcd-disk", "/var/lib/etcd is on tmpfs"},
		{"node-0002", "mount -t tmpfs -o nr_inodes=64 none /var/lib/containerd", "umount /var/lib/containerd", "disk-inodes", "/var/lib/containerd (tmpfs) has "},
		{"node-0001", "systemctl -q mask kubelet.service", "systemctl -q unmask kubelet.service", "masked-units", "kubelet.service is masked"},
		{"node-0001", "chmod o+w /opt", "chmod o-w /opt", "trusted-paths", "/opt can be written to by everyone"},
		{"node-0001", "mount --bind /usr/local/bin /usr/local/bin; mount -o remount,bind,ro /usr/local/bin", "umount /usr/local/bin", "mount-options", "/usr/local/bin is mounted read-only"},
		{"node-0002", "mkdir -p /etc/cni/net.d; echo {} > /etc/cni/net.d/05-calico.conflist", "rm -r /etc/cni", "cni-config", "/etc/cni/net.d/05-calico.conflist comes before"},
		{"node-0002", "ip link add cni0 type bridge; ip addr add 10.99.0.1/24 dev cni0", "ip link del cni0", "links", "cni0 is there already, with the address 10.99.0.1/24"},
		{"node-0002", "ip route add 10.244.0.0/20 dev eth0", "ip route del 10.244.0.0/20", "ranges", "spec.network.podCIDR 10.244.0.0/16 overlaps the route to 10.244.0.0/20 by eth0"},
		{"node-0001", "echo nameserver 127.0.0.1 > /etc/resolv.conf", ": > /etc/resolv.conf", "resolver-loop", "/etc/resolv.conf asks 127.0.0.1, the host itself"},
		{"node-0002", "ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500", "path-mtu", "packets of 1500 bytes, as the interface sends them, do not arrive; the largest that do have 14"},
		{"master", `echo 'open F, ">>/var/lib/dpkg/lock-frontend"; my $l = pack("s s x4 l! l! i x4", 1, 0, 0, 0, 0); fcntl(F, 6, $l) or die; sleep 600' > /run/kwlock.pl; systemd-run -q --unit=kwlock perl /run/kwlock.pl; sleep 1; systemctl status --no-pager kwlock`,
			"systemctl stop kwlock; rm /run/kwlock.pl", "package-lock", "/var/lib/dpkg/lock-frontend is held by pid "},
		{"master", "mkdir -p /etc/systemd/system/containerd.service.d; printf '[Service]\\nExecStart=/bin/true\\nEnvironment=HTTPS_PROXY=http://u:hunter2@proxy:1\\n' > /etc/systemd/system/containerd.service; systemctl daemon-reload",
			"rm -r /etc/systemd/system/containerd.service /etc/systemd/system/containerd.service.d; systemctl daemon-reload", "proxy", "containerd.service sets HTTPS_PROXY without exceptions"},
	}
	same := strings.TrimSpace(onHost(t, "node-0001", "cat", "/etc/machine-id").stdout)
	for _, f := range faults {
		defer onHost(t, f.host, f.mend)
		ok(t, onHost(t, f.host, "set -e; "+strings.ReplaceAll(f.spoil, "SAME", same)))
	}
	found, _ = preflighted(t, 3)
	for _, s := range found {
		if strings.Contains(fmt.Sprint(s), "hunter2") {
			t.Errorf("a secret is shown: %s", s)
		}
	}
	hit := 0
	for _, f := range faults {
		i := slices.IndexFunc(found, func(s seen) bool {
			return s.Check == f.check && strings.Contains(s.Observed, f.found) && slices.Contains(s.Hosts, f.host) && s.Needed != "" && s.Remedy != ""
		})
		if i < 0 {
			t.Errorf("%s: %s was not found: %s", f.host, f.check, f.found)
			continue
		}
		hit++
	}
	t.Logf("%d of %d faults found", hit, len(faults))
	if t.Failed() {
		for _, s := range found {
			t.Log(s)
		}
	}

	// up refuses for the same reasons, and writes nothing.
	if r := run(t, kubewright(bounded(t), "up")); r.code != 3 || !strings.Contains(r.stderr, "preflight: node-0001: port: port 10250/tcp is in use by pid ") {
		t.Errorf("up: exit %d\n%s", r.code, r.stderr)
	}
}

// TestPreflightOfACluster: a cluster that works is found to be well, down to a container that each node runs and what each would pull; a way that is blocked since is
// found, too.
func TestPreflightOfACluster(t *testing.T) {
	upReady(t)
	results, _ := preflightTimed(t, 0, "--trial")
	passed := map[string]int{}
	for _, s := range results {
		switch s.Status {
		case "passed":
			passed[s.Check]++
		case "failed":
			if !slices.Contains(below, s.Check) {
				t.Errorf("of a cluster that works: %s", s)
			}
		}
	}
	for check, nodes := range map[string]int{"trial": 3, "registry": 3, "port": 4, "reach": 1, "authorities": 4, "proxy-mode": 1} {
		if passed[check] != nodes {
			t.Errorf("%s passed %d times, want %d", check, passed[check], nodes)
		}
	}
	clusterWorks(t)

	ok(t, onHost(t, "master", "nft add table inet kwfault; nft 'add chain inet kwfault input { type filter hook input priority 0; }'; nft add rule inet kwfault input ip saddr 192.168.1.32 tcp dport 6443 drop"))
	defer onHost(t, "master", "nft delete table inet kwfault")
	found, _ := preflighted(t, 3)
	if !slices.ContainsFunc(found, func(s seen) bool { return strings.HasPrefix(s.Observed, "blocked: node-0002 -> master 6443/tcp") }) {
		t.Errorf("a way that is blocked was not found: %v", found)
	}
}

// everyFile is every file of a host with what changes when it is written, but those in which a login or time itself writes.
func everyFile(t *testing.T, host string) string {
	t.Helper()
	r := onHost(t, host, `find / /var/lib/containerd /var/lib/etcd /var/lib/kubelet /var/lib/registry -xdev `+
		`\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/log -o -path /var/tmp -o -path /var/lib/systemd -o -path /root/.cache \) -prune -o `+
		`-printf '%p %y %s %T@ %C@\n' | sort -u`)
	ok(t, r)
	if len(strings.Split(r.stdout, "\n")) < 1000 {
		t.Fatalf("%s: only\n%s", host, r.stdout)
	}
	return r.stdout
}
