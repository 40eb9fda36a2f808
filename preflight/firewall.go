package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// firewallChecks are about firewalls. Where the inventory ignores them, so do we, but for what a reload would break.
var firewallChecks = []check{
	{"firewalls", Error, every, severalFirewalls},
	{"firewall-silent", Error, every, silentFirewall},
	{"firewall-iptables", Error, every, foreignIPTables},
	{"firewall-off", Error, every, cannotBeOff},
	{"firewall-forward", Error, node, noForwarding},
	{"firewall-unkept", Warning, every, rulesOfNobody},
	{"firewall-reload", Warning, node, reloadLosesPorts},
}

func (l *look) keeper() string { return l.Cluster.Spec.Firewall }

// severalFirewalls: each opens its own doors, and a packet must pass them all; and one that is loaded anew may throw away the other's rules.
func severalFirewalls(l *look) {
	var on []string
	if l.f.Units["firewalld.service"].Active {
		on = append(on, "firewalld")
	}
	if l.f.Firewall.UFW {
		on = append(on, "ufw")
	}
	if l.f.Units["nftables.service"].Active {
		on = append(on, "nftables")
	}
	l.see("%d firewalls", len(on))
	if l.keeper() == inventory.FirewallManaged && len(on) > 1 {
		l.add(strings.Join(on, " and ")+" run at once, and each may undo the other's rules when it is loaded anew", "one firewall",
			"turn off all but one (systemctl disable --now firewalld, ufw disable, systemctl disable --now nftables), or set spec.firewall: off or ignore")
	}
}

// silentFirewall: what cannot be asked cannot be told either.
func silentFirewall(l *look) {
	l.see("every firewall answers")
	if l.keeper() == inventory.FirewallManaged && l.f.Firewall.Silent != "" {
		l.add("firewalld runs and does not tell its zones: "+l.f.Firewall.Silent, "a firewalld that answers on the system bus", "see what it does (systemctl status firewalld), and start it anew")
	}
}

// foreignIPTables: rules that nobody keeps whom we could speak to.
func foreignIPTables(l *look) {
	var stop []string
	for _, chain := range l.f.Firewall.Chains {
		if iptables(chain) && !l.ofDocker(chain) {
			stop = append(stop, chain.Name)
		}
	}
	known := l.f.Units["firewalld.service"].Active || l.f.Firewall.UFW // they keep rules there themselves
	l.see("no rules of iptables stop packets")
	if l.keeper() == inventory.FirewallManaged && len(stop) > 0 && !known {
		l.add("iptables stops packets in "+strings.Join(stop, " and ")+", and neither firewalld nor ufw has put that there",
			"a firewall that can be asked to let the cluster through: firewalld, ufw or nftables",
			"allow there what the cluster needs (docs/firewall.md lists it) and set spec.firewall: ignore, or set the policies to ACCEPT "+
				"(iptables -P INPUT ACCEPT; iptables -P FORWARD ACCEPT) and remove the rules that drop")
	}
}

func iptables(c ops.Chain) bool {
	return c.Table == "ip filter" && slices.Contains([]string{"INPUT", "FORWARD"}, c.Name)
}

// ofDocker: Docker keeps what passes through the host out of its networks; where it is the runtime, up lets pods through.
func (l *look) ofDocker(c ops.Chain) bool {
	return c.Table == "ip filter" && c.Name == "FORWARD" && l.f.Units["docker.service"].Active
}

// cannotBeOff: what would still stop packets after all firewalls that we know were stopped.
func cannotBeOff(l *look) {
	const need = "no firewall, as spec.firewall: off says"
	l.see("nothing would be left of a firewall")
	if l.keeper() != inventory.FirewallOff {
		return
	}
	if l.f.Units["firewalld.service"].Active && l.f.Firewall.Settings["CleanupOnExit"] == "no" {
		l.add(agent.FirewalldConf+" sets CleanupOnExit=no: firewalld's rules would stay when it stops", need, "set it to yes, or set spec.firewall: managed")
		return
	}
	for _, chain := range l.f.Firewall.Chains {
		ofUFW := iptables(chain) && l.f.Firewall.UFW
		if ofUFW || l.ofDocker(chain) || l.f.Units["nftables.service"].Active && !iptables(chain) || l.f.Units["firewalld.service"].Active && iptables(chain) {
			continue
		}
		l.add(fmt.Sprintf("chain %s of table %s stops packets, and no firewall that could be turned off has put it there", chain.Name, chain.Table), need,
			"remove it with what made it, or set spec.firewall: ignore")
		return
	}
}

// noForwarding: ufw sets kernel parameters whenever it is loaded.
func noForwarding(l *look) {
	l.see("ufw lets pods' packets be forwarded")
	if l.keeper() != inventory.FirewallOff && l.f.Firewall.UFW && l.f.Firewall.Settings["net/ipv4/ip_forward"] == "0" {
		l.add(agent.UFWSysctls+" sets net/ipv4/ip_forward=0: every reload of ufw would cut pods off", "net/ipv4/ip_forward=1 or no such line", "remove the line")
	}
}

// rulesOfNobody: what we add to such chains is gone when they are made anew.
func rulesOfNobody(l *look) {
	l.see("no rules but those that a service loads")
	for _, chain := range l.f.Firewall.Chains {
		if l.keeper() == inventory.FirewallManaged && l.f.Firewall.Load == "" && !(iptables(chain) || chain.Table == "ip filter" && chain.Name == "OUTPUT") {
			l.add(fmt.Sprintf("chain %s of table %s stops packets, and nftables.service does not load it: what lets the cluster through is gone when it is loaded anew", chain.Name, chain.Table),
				"rules that nftables.service loads",
				"move the rules to the file that nftables.service loads and enable it, or run kubewright up after each time they are loaded")
			return
		}
	}
}

// reloadLosesPorts: all but this heals by itself.
func reloadLosesPorts(l *look) {
	l.see("a reload keeps what the cluster made")
	if l.keeper() != inventory.FirewallOff && l.f.Firewall.Flushes {
		l.add(l.f.Firewall.Load+" says flush ruleset: a reload of nftables deletes the cluster's tables, too; Services come back within 15 s, ports of pods on the host (hostPort) only when their pods restart",
			"a file that deletes its own tables only",
			"write, for each table of the file, in place of flush ruleset: table inet filter; delete table inet filter; and do not stop or restart nftables.service, "+
				"which flushes all, but reload it")
	}
}
