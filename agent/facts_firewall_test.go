package agent

import (
	"reflect"
	"testing"

	"github.com/kubewright/kubewright/ops"
)

func TestFactsOfFirewalls(t *testing.T) {
	m := ops.NewPretend(t.TempDir())
	plant(t, m, map[string]string{
		"/usr/sbin/nft":                            "a program",
		FirewalldConf:                              "# CleanupOnExit=no\nCleanupOnExit=yes\nDefaultZone=public\n",
		"/etc/ufw/ufw.conf":                        "# ENABLED=no\nENABLED=yes\nLOGLEVEL=low\n",
		UFWDefaults:                                "DEFAULT_OUTPUT_POLICY=\"DROP\"\nMANAGE_BUILTINS=no\nIPV6=yes\n",
		UFWSysctls:                                 "#net/ipv4/ip_forward=1\nnet/ipv4/ip_forward=0\n",
		"/lib/systemd/system/nftables.service":     "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\nExecStop=/usr/sbin/nft flush ruleset\n",
		"/etc/nftables.conf":                       "#!/usr/sbin/nft -f\nflush ruleset;\ninclude \"/etc/x\"\n",
		"/proc/net/ip_tables_names":                "filter\n",
		"/usr/lib/systemd/system/unrelated.target": "",
	})
	m.Give("firewalld.service", ops.UnitState{Active: true})
	m.Give("nftables.service", ops.UnitState{Enabled: true})
	m.Filter(ops.Chain{Table: "inet mine", Name: "in"})
	m.Filter(ops.Chain{Table: "ip kube-proxy", Name: "in"})
	m.Filter(ops.Chain{Table: "inet firewalld", Name: "in"})
	want := Firewall{
		Zones: map[string]ops.FirewallZone{"public": {Default: true}}, UFW: true, Legacy: true, Load: "/etc/nftables.conf", Flushes: true, NFT: true,
		Chains:   []ops.Chain{{Table: "inet mine", Name: "in", Hook: "input", Stops: true}},
		Settings: map[string]string{"CleanupOnExit": "yes", "DEFAULT_OUTPUT_POLICY": "DROP", "net/ipv4/ip_forward": "0"},
	}
	if got := Gather(t.Context(), m, StateDir).Firewall; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	// What does not run is not in the way.
	if got := Gather(t.Context(), ops.NewPretend(t.TempDir()), StateDir).Firewall; !reflect.DeepEqual(got, Firewall{}) {
		t.Errorf("nothing is there, and found was %+v", got)
	}
}
