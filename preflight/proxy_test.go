package preflight

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
)

// The decision says which mode, and by what evidence, in a sentence and as JSON.
func TestProxyMode(t *testing.T) {
	for _, row := range []struct {
		name, asked, fallback string
		spoil                 func(*world)
		mode, text            string
	}{
		{"nothing speaks against the default", "nftables", "", func(*world) {}, "nftables", "nftables mode, as asked for; all nodes: nf_tables and its parts are available"},
		{"its rules were tried", "nftables", "", func(w *world) {
			for _, h := range []string{"master", "node-0001", "node-0002"} {
				w.facts(h, func(f *agent.Facts) { f.NAT = "works" })
			}
		}, "nftables", "nftables mode, as asked for; all nodes: its rules were tried in kernel 6.1.0-18-amd64"},
		{"evidence of several kinds", "nftables", "", on("node-0002", func(f *agent.Facts) { f.NAT = "works" }), "nftables",
			"nftables mode, as asked for; master: nf_tables and its parts are available; node-0001: nf_tables and its parts are available; node-0002: its rules were tried in kernel 6.1.0-18-amd64"},
		{"what was tried counts more than lists", "nftables", "", on("node-0002", func(f *agent.Facts) { f.NAT = "works"; lacks("nft_numgen")(f) }), "nftables", "nftables mode, as asked for; "},
		{"ipvs where it is", "ipvs", "nftables", func(*world) {}, "ipvs", "ipvs mode, as asked for; all nodes: ip_vs with rr, wrr and sh, nf_conntrack and ip_set are available"},
		{"ipvs of which one part is missing", "ipvs", "iptables", on("node-0001", lacks("ip_vs_wrr")), "iptables", "iptables mode, the inventory's fallback: ipvs is asked for, and node-0001 has no ip_vs_wrr"},
		{"ipvs without a fallback", "ipvs", "", on("node-0001", lacks("xt_set")), "ipvs", "ipvs mode is asked for, without a fallback, and node-0001 has no xt_set"},
		{"ipvs on a host of which nothing is known", "ipvs", "nftables", func(w *world) { delete(w.Facts, "node-0002") }, "nftables", "nftables mode, the inventory's fallback: ipvs is asked for, and node-0002 has no answer yet"},
		{"ipvs on hosts that do not tell", "ipvs", "nftables", on("node-0002", func(f *agent.Facts) { f.Modules, f.Listed, f.Options = nil, false, nil }), "nftables", "nftables mode, the inventory's fallback: ipvs is asked for, and node-0002 has no ip_vs, ip_vs_rr,"},
		{"an old kernel", "nftables", "iptables", on("node-0001", func(f *agent.Facts) { f.Kernel = "5.10.0-28-amd64" }), "iptables",
			"iptables mode, the inventory's fallback: nftables is asked for, and node-0001 has no kernel 5.13 or later (it runs 5.10.0-28-amd64)"},
		// user-mode-linux as Debian builds it: nf_tables is a module, and there are no nat chains and no fib.
		{"a kernel whose nftables lacks nat", "nftables", "iptables", on("node-0001", lacks("nft_chain_nat", "nft_fib_ipv4")), "iptables", "iptables mode, the inventory's fallback: nftables is asked for, and node-0001 has no nft_chain_nat, nft_fib_ipv4"},
		{"iptables", "iptables", "", func(*world) {}, "iptables", "iptables mode, as asked for; all nodes: iptables is available"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := clean(t)
			mode(row.asked, row.fallback)(w)
			row.spoil(w)
			d := ProxyMode(w.Cluster, w.Facts)
			if d.Mode != row.mode || d.Fell() != (row.mode != row.asked) || !strings.HasPrefix(d.String(), row.text) {
				t.Errorf("decided %q", d)
			}
			raw, err := json.Marshal(d)
			if err != nil || !strings.Contains(string(raw), `"asked":"`+row.asked+`","mode":"`+row.mode+`","why":"`) {
				t.Errorf("as JSON it is %s, %v", raw, err)
			}
		})
	}
}
