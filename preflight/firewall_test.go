package preflight

import (
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

// firewallRows are firewalls of all kinds on node-0001, by what the inventory says of them.
func firewallRows() []row {
	wall := func(keeper string, f agent.Firewall, units ...string) func(*world) {
		return func(w *world) {
			w.Cluster.Spec.Firewall = keeper
			w.facts("node-0001", func(facts *agent.Facts) {
				facts.Firewall = f
				for _, u := range units {
					facts.Units[u+".service"] = ops.UnitState{Exists: true, Active: true}
				}
			})
		}
	}
	chain := func(table, name, hook string) agent.Firewall {
		return agent.Firewall{Load: "/etc/nftables.conf", Chains: []ops.Chain{{Table: table, Name: name, Hook: hook, Stops: true}}}
	}
	input := chain("ip filter", "INPUT", "input")
	inputOfUFW := input
	inputOfUFW.UFW = true
	unkept := chain("inet fw", "in", "input")
	unkept.Load = ""
	keeps := agent.Firewall{Settings: map[string]string{"CleanupOnExit": "no"}}
	forwards := func(v string) agent.Firewall {
		return agent.Firewall{UFW: true, Settings: map[string]string{"net/ipv4/ip_forward": v}}
	}
	flushes := agent.Firewall{Load: "/etc/nftables.conf", Flushes: true}
	return []row{
		{"firewalls", "one", wall("managed", agent.Firewall{}, "firewalld"), "", ""},
		{"firewalls", "two", wall("managed", agent.Firewall{UFW: true}, "firewalld"), "node-0001: firewalld and ufw run at once", Error},
		{"firewalls", "two others", wall("managed", agent.Firewall{}, "firewalld", "nftables"), "node-0001: firewalld and nftables run at once", Error},
		{"firewalls", "two that will be off", wall("off", agent.Firewall{UFW: true}, "firewalld", "nftables"), "", ""},
		{"firewalls", "two that are ignored", wall("ignore", agent.Firewall{UFW: true}, "firewalld", "nftables"), "", ""},
		{"firewall-silent", "managed", wall("managed", agent.Firewall{Silent: "deadline exceeded"}, "firewalld"), "node-0001: firewalld runs and does not tell its zones: deadline exceeded", Error},
		{"firewall-silent", "off", wall("off", agent.Firewall{Silent: "deadline exceeded"}, "firewalld"), "", ""},
		{"firewall-iptables", "alone", wall("managed", input), "node-0001: iptables stops packets in INPUT", Error},
		{"firewall-iptables", "for ufw", wall("managed", inputOfUFW), "", ""},
		{"firewall-iptables", "for firewalld", wall("managed", input, "firewalld"), "", ""},
		{"firewall-iptables", "ignored", wall("ignore", input), "", ""},
		{"firewall-off", "iptables", wall("off", input), "node-0001: chain INPUT of table ip filter stops packets", Error},
		{"firewall-off", "nftables", wall("off", chain("inet fw", "in", "input"), "nftables"), "", ""},
		{"firewall-off", "nftables of nobody", wall("off", unkept), "node-0001: chain in of table inet fw stops packets", Error},
		{"firewall-off", "ufw", wall("off", inputOfUFW), "", ""},
		{"firewall-off", "a firewalld that leaves its rules", wall("off", keeps, "firewalld"), "node-0001: /etc/firewalld/firewalld.conf sets CleanupOnExit=no", Error},
		{"firewall-off", "a firewalld that leaves its rules, but stays", wall("managed", keeps, "firewalld"), "", ""},
		{"firewall-forward", "forbidden", wall("managed", forwards("0")), "node-0001: /etc/ufw/sysctl.conf sets net/ipv4/ip_forward=0", Error},
		{"firewall-forward", "allowed", wall("managed", forwards("1")), "", ""},
		{"firewall-unkept", "nftables", wall("managed", chain("inet fw", "in", "input"), "nftables"), "", ""},
		{"firewall-unkept", "nftables of nobody", wall("managed", unkept), "node-0001: chain in of table inet fw stops packets", Warning},
		{"firewall-reload", "flushes all", wall("managed", flushes, "nftables"), "node-0001: /etc/nftables.conf says flush ruleset", Warning},
		{"firewall-reload", "flushes all, ignored", wall("ignore", flushes, "nftables"), "node-0001: /etc/nftables.conf says flush ruleset", Warning},
		{"firewall-reload", "flushes all, off", wall("off", flushes, "nftables"), "", ""},
	}
}
