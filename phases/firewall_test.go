package phases_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// walls are facts of one host whose firewall runs.
func walls(kind string) agent.Facts {
	f := agent.Facts{Interfaces: []agent.Interface{{Name: "eth0", Addresses: []string{"192.168.1.21/24"}}, {Name: "eth1", Addresses: []string{"10.9.9.9/24"}}}}
	switch kind {
	case "firewalld":
		f.Units = map[string]ops.UnitState{"firewalld.service": {Exists: true, Active: true}}
		f.Firewall.Zones = map[string]ops.FirewallZone{"public": {Default: true}}
	case "a firewalld that does not run":
		f.Units = map[string]ops.UnitState{"firewalld.service": {Exists: true}}
	case "ufw":
		f.Firewall.UFW = true
	case "nftables":
		f.Firewall.Chains = []ops.Chain{{Table: "ip fw", Name: "in", Hook: "input", Stops: true}, {Table: "ip fw", Name: "through", Hook: "forward", Stops: true, Ends: true}}
	}
	return f
}

// TestOpeningsFollowRoles: exactly what a role needs, from whom it needs it, in each firewall's own words.
func TestOpeningsFollowRoles(t *testing.T) {
	rule := func(from, port, protocol string) string { return "rule " + ops.RichRule(from, port, protocol) }
	ports := []string{rule("", "30000-32767", "tcp"), rule("", "30000-32767", "udp")}
	for _, row := range []struct {
		name, host, wall string
		want             []string
	}{
		{"a control plane", "master", "firewalld", append([]string{rule("", "6443", "tcp"), rule("192.168.1.31", "8472", "udp"), rule("192.168.1.32", "8472", "udp"),
			"source 10.244.0.0/16", "source 10.96.0.0/12"}, ports...)},
		{"a worker", "node-0001", "firewalld", append([]string{rule("192.168.1.21", "10250", "tcp"), rule("192.168.1.21", "8472", "udp"), rule("192.168.1.32", "8472", "udp"),
			"source 10.244.0.0/16", "source 10.96.0.0/12"}, ports...)},
		{"a registry, which pods never talk to", "registry", "firewalld",
			[]string{rule("192.168.1.21", "5000", "tcp"), rule("192.168.1.31", "5000", "tcp"), rule("192.168.1.32", "5000", "tcp")}},
		{"a firewall that does not run", "master", "a firewalld that does not run", nil},
		{"no firewall", "master", "", nil},
		{"a registry behind ufw", "registry", "ufw", []string{
			"allow proto tcp from 192.168.1.21 to 0.0.0.0/0 port 5000", "allow proto tcp from 192.168.1.31 to 0.0.0.0/0 port 5000",
			"allow proto tcp from 192.168.1.32 to 0.0.0.0/0 port 5000"}},
		{"a worker behind ufw", "node-0002", "ufw", []string{
			"allow proto tcp from 192.168.1.21 to 0.0.0.0/0 port 10250", "allow proto udp from 192.168.1.21 to 0.0.0.0/0 port 8472",
			"allow proto udp from 192.168.1.31 to 0.0.0.0/0 port 8472",
			"allow proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 30000:32767", "allow proto udp from 0.0.0.0/0 to 0.0.0.0/0 port 30000:32767",
			"allow from 10.244.0.0/16 to 0.0.0.0/0", "allow from 10.96.0.0/12 to 0.0.0.0/0",
			"route allow from 10.244.0.0/16 to 0.0.0.0/0", "route allow from 0.0.0.0/0 to 10.244.0.0/16"}},
		{"a registry behind nftables", "registry", "nftables", []string{"ip fw in: ip saddr { 192.168.1.21, 192.168.1.31, 192.168.1.32 } tcp dport 5000 accept"}},
		{"a worker behind nftables", "node-0002", "nftables", []string{
			"ip fw in: ip saddr { 10.244.0.0/16, 10.96.0.0/12 } accept", "ip fw in: ip saddr 192.168.1.21 tcp dport 10250 accept",
			"ip fw in: ip saddr { 192.168.1.21, 192.168.1.31 } udp dport 8472 accept",
			"ip fw in: tcp dport 30000-32767 accept", "ip fw in: udp dport 30000-32767 accept",
			"ip fw through: first: ip saddr 10.244.0.0/16 accept", "ip fw through: first: ip daddr 10.244.0.0/16 ct state established,related accept",
			"ip fw through: first: ip daddr 10.244.0.0/16 ct status dnat accept"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := opened(t, course(t), row.host, walls(row.wall))
			slices.Sort(got)
			slices.Sort(row.want)
			if !slices.Equal(got, row.want) {
				t.Errorf("opened is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(row.want, "\n"))
			}
		})
	}
}

// TestUnwrappedPacketsPass: with host-gw, what a node sends to a pod comes in with the node's own address, and passes all the same.
func TestUnwrappedPacketsPass(t *testing.T) {
	c := course(t)
	c.Spec.Addons.Flannel.Backend = inventory.BackendHostGW
	for wall, want := range map[string]string{
		"firewalld": "source 192.168.1.21",
		"ufw":       "route allow from 0.0.0.0/0 to 10.244.0.0/16",
		"nftables":  "ip fw through: first: ip saddr { 192.168.1.21, 192.168.1.32 } ip daddr 10.244.0.0/16 accept",
	} {
		got := opened(t, c, "node-0001", walls(wall))
		if !slices.Contains(got, want) {
			t.Errorf("%s: opened is\n%s\nwant\n%s", wall, strings.Join(got, "\n"), want)
		}
		if got := strings.Join(opened(t, c, "registry", walls(wall)), "\n"); strings.Contains(got, "10.244") || strings.HasPrefix(got, "source") {
			t.Errorf("%s: the registry, which has no pods, opens\n%s", wall, got)
		}
	}
}

// TestTrustedZone: whichever zone packets come in by, also if it is the one that pods are put into, and whatever a run before has put there, each zone is stated once and alike.
func TestTrustedZone(t *testing.T) {
	c := course(t)
	c.Spec.Addons.Flannel.Backend = inventory.BackendHostGW
	before, after := walls("firewalld"), walls("firewalld")
	after.Firewall.Zones["trusted"] = ops.FirewallZone{Sources: []string{"10.244.0.0/16", "10.96.0.0/12", "192.168.1.21", "192.168.1.32"}}
	first := opened(t, c, "node-0001", before)
	second := opened(t, c, "node-0001", after)
	slices.Sort(first)
	slices.Sort(second)
	if !slices.Equal(first, second) {
		t.Errorf("first opened is\n%s\nand then\n%s", strings.Join(first, "\n"), strings.Join(second, "\n"))
	}
	byDefault := walls("firewalld")
	byDefault.Firewall.Zones = map[string]ops.FirewallZone{"trusted": {Default: true}}
	for _, backend := range []string{inventory.BackendHostGW, inventory.BackendVXLAN} {
		c.Spec.Addons.Flannel.Backend = backend
		if got := opened(t, c, "node-0001", byDefault); !slices.Contains(got, "source 10.244.0.0/16") || !slices.Contains(got, "rule "+ops.RichRule("", "30000-32767", "tcp")) {
			t.Errorf("opened is\n%s", strings.Join(got, "\n"))
		}
	}
}

// TestMonitoringIsReached: nodes reach each other's metrics and kubelets, and nobody else does.
func TestMonitoringIsReached(t *testing.T) {
	for _, row := range []struct {
		host         string
		controlPlane bool
		want         []string
	}{
		{"master", true, []string{"10250", "10349", "10357", "10359", "12381", "9100"}},
		{"node-0001", true, []string{"10250", "10349", "9100"}},
		{"master", false, []string{"10250", "9100"}},
		{"registry", true, nil},
	} {
		c := course(t)
		c.Spec.Addons.Monitoring = inventory.Monitoring{Enabled: true, Profile: inventory.ProfilePlain, ControlPlane: &row.controlPlane}
		var ports []string
		for _, rule := range opened(t, c, row.host, walls("ufw")) {
			from, port, _ := strings.Cut(strings.TrimPrefix(rule, "allow proto tcp from "), " to 0.0.0.0/0 port ")
			if !slices.Contains([]string{"", "5000", "6443", "30000:32767", "8472"}, port) {
				ports = append(ports, port)
				if !slices.Contains([]string{"192.168.1.21", "192.168.1.31", "192.168.1.32"}, from) {
					t.Errorf("%s: %s", row.host, rule)
				}
			}
		}
		slices.Sort(ports)
		if got := slices.Compact(ports); !slices.Equal(got, row.want) {
			t.Errorf("%s: open to nodes are %v, want %v", row.host, got, row.want)
		}
	}
}

// opened is what the steps of a host do to its firewall.
func opened(t *testing.T, c *inventory.Cluster, host string, f agent.Facts) []string {
	t.Helper()
	var out []string
	for _, w := range expand(t, c, map[string]agent.Facts{host: f}) {
		for _, s := range w.Steps {
			if w.Target != host {
				continue
			}
			switch op := s.Op.(type) {
			case ops.Firewalld:
				for word, list := range map[string][]string{"port ": op.Ports, "source ": op.Sources, "rule ": op.Rules} {
					for _, x := range list {
						out = append(out, word+x)
					}
				}
			case ops.UFW:
				out = append(out, op.Rules...)
			case ops.NFTRules:
				for _, r := range op.Rules {
					first := ""
					if op.First {
						first = "first: "
					}
					out = append(out, op.Table+" "+op.Chain+": "+first+r)
				}
			}
		}
	}
	return out
}

// TestZones: each peer's packets come in by one zone of firewalld, and there they must get through.
func TestZones(t *testing.T) {
	c := course(t)
	f := walls("firewalld")
	f.Firewall.Zones = map[string]ops.FirewallZone{
		"public":   {Default: true, Interfaces: []string{"eth1"}},
		"internal": {Interfaces: []string{"eth0"}},
		"work":     {Sources: []string{"192.168.1.0/24", "ipset:x"}},
		"dmz":      {Sources: []string{"192.168.1.32"}},
	}
	got := map[string][]string{}
	for _, w := range expand(t, c, map[string]agent.Facts{"master": f}) {
		for _, s := range w.Steps {
			if op, ok := s.Op.(ops.Firewalld); ok && w.Target == "master" {
				got[op.Zone] = slices.Concat(op.Ports, op.Rules)
			}
		}
	}
	any := []string{ops.RichRule("", "6443", "tcp"), ops.RichRule("", "30000-32767", "tcp"), ops.RichRule("", "30000-32767", "udp")}
	for zone, want := range map[string][]string{
		"internal": any, // where strangers come in
		"work":     slices.Concat(any, []string{ops.RichRule("192.168.1.31", "8472", "udp")}),
		"dmz":      slices.Concat(any, []string{ops.RichRule("192.168.1.32", "8472", "udp")}),
		"public":   nil,
	} {
		slices.Sort(want)
		slices.Sort(got[zone])
		if !slices.Equal(got[zone], want) {
			t.Errorf("zone %s gets %q, want %q", zone, got[zone], want)
		}
	}
}

// TestOutgoing: a firewall that stops what goes out, too, lets the host reach the cluster.
func TestOutgoing(t *testing.T) {
	c := course(t)
	f := walls("ufw")
	f.Firewall.Settings = map[string]string{"DEFAULT_OUTPUT_POLICY": "DROP"}
	f.Firewall.Chains = []ops.Chain{{Table: "inet fw", Name: "out", Hook: "output", Stops: true}, {Table: "ip filter", Name: "INPUT", Hook: "input", Stops: true}}
	got := opened(t, c, "registry", f)
	for _, h := range c.Spec.Hosts {
		if !slices.Contains(got, "allow out from 0.0.0.0/0 to "+h.Address.String()) {
			t.Errorf("ufw does not let the registry reach %s: %q", h.Name, got)
		}
	}
	if want := "inet fw out: ip daddr { 192.168.1.21, 192.168.1.31, 192.168.1.32, 192.168.1.100 } accept"; !slices.Contains(got, want) {
		t.Errorf("nftables does not let the registry out: %q", got)
	}
	for _, x := range got {
		if strings.HasPrefix(x, "ip filter") {
			t.Errorf("a rule is put into a chain of iptables: %s", x)
		}
	}
}

// TestRulesComeBackWithTheHostsOwn: where the host's rules are loaded from a file, ours are loaded with them, and the file can be loaded at every instant.
func TestRulesComeBackWithTheHostsOwn(t *testing.T) {
	c, facts := course(t), machineFacts()
	file, at := find(t, c, facts, "node-0002", "file:/etc/kubewright/firewall.nft")
	block, includedAt := find(t, c, facts, "node-0002", "block:/etc/nftables.conf#firewall")
	_, set := find(t, c, facts, "node-0002", "nftrules:inet filter input")
	if file == nil || block == nil || at > includedAt || includedAt > set {
		t.Fatalf("the file is step %d, included at %d, in force at %d", at, includedAt, set)
	}
	if !slices.Equal(block.(ops.Block).Lines, []string{`include "/etc/kubewright/firewall.nft"`}) {
		t.Errorf("included by %q", block.(ops.Block).Lines)
	}
	if text := string(file.(ops.File).Content); !strings.Contains(text, "add chain inet filter input\ninsert rule inet filter input udp dport 30000-32767 accept comment") {
		t.Errorf("the file is\n%s", text)
	}
}

func TestAFirewallIsLeftAloneOrOff(t *testing.T) {
	off := map[ops.Key]ops.Op{"unit:firewalld.service": ops.Unit{Name: "firewalld.service"}, "unit:nftables.service": ops.Unit{Name: "nftables.service"}, "ufwswitch:": ops.UFWSwitch{}}
	units := map[string]ops.UnitState{"firewalld.service": {Exists: true, Active: true}, "ufw.service": {Exists: true}, "nftables.service": {Exists: true}}
	for _, row := range []struct {
		name, keeper string
		units        map[string]ops.UnitState
		want         map[ops.Key]ops.Op
	}{
		{"somebody else's", inventory.FirewallIgnore, units, nil},
		{"not wanted", inventory.FirewallOff, units, off},
		{"not wanted and not there", inventory.FirewallOff, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := course(t)
			c.Spec.Firewall = row.keeper
			f := walls("nftables")
			f.Units, f.Firewall.UFW = row.units, true
			facts := map[string]agent.Facts{"master": f}
			if got := opened(t, c, "master", f); len(got) > 0 {
				t.Errorf("opened is %q", got)
			}
			for key, wish := range off {
				op, _ := find(t, c, facts, "master", key)
				if wanted := row.want[key]; (op == nil) != (wanted == nil) || op != nil && !ops.Equal(wish, op) {
					t.Errorf("%s is %+v, want %+v", key, op, wanted)
				}
			}
		})
	}
}
