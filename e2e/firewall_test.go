//go:build e2e

package e2e

import "testing"

// TestFirewalld brings the cluster up on hosts whose firewall runs: it stays on, the cluster works behind it, and reset leaves its zones as
// they were.
func TestFirewalld(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	zones := map[string]string{}
	for _, h := range hosts {
		ok(t, onHost(t, h, "systemctl", "start", "firewalld.service"))
		defer onHost(t, h, "systemctl", "stop", "firewalld.service")
		zones[h] = onHost(t, h, "firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones").stdout
	}
	upReady(t)
	clusterWorks(t)
	upAgain(t)
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	for _, h := range hosts {
		ok(t, onHost(t, h, "systemctl", "is-active", "firewalld.service"))
		if now := onHost(t, h, "firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones").stdout; now != zones[h] {
			t.Errorf("%s: the firewall is not as it was:\n%s", h, lineDiff(zones[h], now))
		}
	}
}
