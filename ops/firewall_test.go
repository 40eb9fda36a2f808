package ops

import (
	"context"
	"errors"
	"regexp"
	"testing"
)

func TestTextsOfAZoneThatMeanTheSame(t *testing.T) {
	theirs := `<?xml version="1.0" encoding="utf-8"?><zone target="ACCEPT"><!-- mine --><short>A  b</short><port protocol="tcp" port="1"/><service name="ssh"/>
		<rule family="ipv4"><source address="10.0.0.1"/><accept/></rule></zone>`
	for name, row := range map[string]struct {
		other string
		alike bool
	}{
		"in firewalld's hand": {"<?xml version=\"1.0\"?>\n<zone target='ACCEPT'>\n  <short>A b</short>\n  <service name=\"ssh\"/>\n  <port port=\"1\" protocol=\"tcp\"/>\n  <rule family=\"ipv4\">\n<accept/><source address=\"10.0.0.1\"/></rule></zone>", true},
		"one port more":       {theirs[:len(theirs)-7] + `<port port="2" protocol="tcp"/></zone>`, false},
		"another target":      {`<zone target="DROP"/>`, false},
		"a thing elsewhere":   {`<zone target="ACCEPT"><short>A b</short><port protocol="tcp" port="1"/><service name="ssh"/><source address="10.0.0.1"/><rule family="ipv4"><accept/></rule></zone>`, false},
		"cut off":             {theirs[:40], false},
		"not XML":             {"zone", false},
	} {
		if got := (Firewalld{}).Alike("/etc/firewalld/zones/public.xml", []byte(theirs), []byte(row.other)); got != row.alike {
			t.Errorf("%s: alike is %t", name, got)
		}
	}
}

// TestAZoneThatOnlyHalfHasIt: what was there for the time being only is there for the time being only after the undo.
func TestAZoneThatOnlyHalfHasIt(t *testing.T) {
	w := newWorld(t)
	for _, e := range []FirewallEntry{{Zone: "public", Port: "6443/tcp"}, {Zone: "public", Port: "53/udp", Permanent: true}} {
		if err := w.Change(context.Background(), e, true); err != nil {
			t.Fatal(err)
		}
	}
	before := w.snapshot(t)
	wish := Firewalld{Zone: "public", Ports: []string{"6443/tcp", "53/udp", "1/tcp"}}
	first := observe(t, w, wish)
	if err := set(t, w, wish); err != nil {
		t.Fatal(err)
	}
	if seen := observe(t, w, wish); !Equal(wish, seen) {
		t.Errorf("got %+v", seen)
	}
	if err := undo(t, w, first, wish); err != nil {
		t.Fatal(err)
	}
	if after := w.snapshot(t); after != before {
		t.Error(differing(before, after))
	}
}

// TestRulesOfEarlierWishes: a host that is not in the inventory any more does not get in any more, and reset takes away what any wish has added.
func TestRulesOfEarlierWishes(t *testing.T) {
	rules := func(hosts ...string) (rich, plain []string) {
		for _, h := range hosts {
			rich = append(rich, RichRule(h, "8472", "udp"))
			plain = append(plain, "allow proto udp from "+h+" to 0.0.0.0/0 port 8472")
		}
		return rich, plain
	}
	richOne, plainOne := rules("10.0.0.1", "10.0.0.2")
	richTwo, plainTwo := rules("10.0.0.2", "10.0.0.3")
	for name, row := range map[string]struct{ one, two Op }{
		"firewalld": {Firewalld{Zone: "public", Rules: richOne}, Firewalld{Zone: "public", Rules: richTwo}},
		"ufw":       {UFW{Rules: plainOne}, UFW{Rules: plainTwo}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write(t, ufwRules, "### RULES ###\n\n"+ufwMark+"allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A rule\n\n### END RULES ###\n", 0o640)
			theirs := FirewallEntry{Zone: "public", Rule: `rule family="ipv4" source address="10.0.0.9" accept`}
			for _, theirs.Permanent = range []bool{false, true} {
				if err := w.Change(context.Background(), theirs, true); err != nil {
					t.Fatal(err)
				}
			}
			before := w.snapshot(t)
			first := observe(t, w, row.one)
			for _, wish := range []Op{row.one, row.two} {
				if err := set(t, w, wish); err != nil {
					t.Fatal(err)
				}
				if seen := observe(t, w, wish); !Equal(wish, seen) {
					t.Errorf("got %+v", seen)
				}
			}
			for range 2 {
				if err := undo(t, w, first, row.two); err != nil {
					t.Fatal(err)
				}
			}
			if !Equal(first, observe(t, w, row.one)) {
				t.Error("with the eyes of the first wish it is not undone")
			}
			// The agent, not the op, puts the zone's own text back.
			texts := regexp.MustCompile("(?m)^/etc/firewalld/.*\n")
			if before, after := texts.ReplaceAllString(before, ""), texts.ReplaceAllString(w.snapshot(t), ""); after != before {
				t.Error(differing(before, after))
			}
		})
	}
}

// TestFirewalldIsReloadedOnlyIfThatLosesNothing.
func TestFirewalldIsReloadedOnlyIfThatLosesNothing(t *testing.T) {
	wish := Firewalld{Zone: "trusted", Sources: []string{"10.244.0.0/16"}}
	for name, row := range map[string]struct {
		with  func(w *world)
		stays bool
	}{
		"nothing to lose":             {func(*world) {}, false},
		"a port for the time being":   {func(w *world) { _ = w.Change(context.Background(), FirewallEntry{Zone: "public", Port: "1/tcp"}, true) }, true},
		"somebody's rule of iptables": {func(w *world) { w.Filter(Chain{Table: "ip nat", Name: "PREROUTING"}) }, true},
		"the old iptables in use":     {func(w *world) { w.write(t, "/proc/net/ip_tables_names", "nat\n", 0o444) }, true},
		"an old iptables without use": {func(w *world) { w.write(t, "/proc/net/ip_tables_names", "", 0o444) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Filter(Chain{Table: firewalldTable})
			first := observe(t, w, wish)
			if err := set(t, w, wish); err != nil {
				t.Fatal(err)
			}
			row.with(w)
			if err := undo(t, w, first, wish); err != nil {
				t.Fatal(err)
			}
			if stays := len(w.rulesets[firewalldTable].chains) > 0 && w.rulesets[firewalldTable].chains[0].name == "filter_IN_trusted"; stays != row.stays {
				t.Errorf("the chains of the zone stay: %t", stays)
			}
			if !Equal(first, observe(t, w, wish)) {
				t.Error("it does not count as undone")
			}
		})
	}
}

func TestRulesOfUFW(t *testing.T) {
	for rule, tuple := range map[string]string{
		"allow proto tcp from 192.168.1.21 to 0.0.0.0/0 port 10250":    "allow tcp 10250 0.0.0.0/0 any 192.168.1.21 in",
		"allow proto udp from 0.0.0.0/0 to 0.0.0.0/0 port 30000:32767": "allow udp 30000:32767 0.0.0.0/0 any 0.0.0.0/0 in",
		"allow from 10.244.0.0/16 to 0.0.0.0/0":                        "allow any any 0.0.0.0/0 any 10.244.0.0/16 in",
		"allow out from 0.0.0.0/0 to 192.168.1.21":                     "allow any any 192.168.1.21 any 0.0.0.0/0 out",
		"route allow from 0.0.0.0/0 to 10.244.0.0/16":                  "route:allow any any 10.244.0.0/16 any 0.0.0.0/0 in",
		"allow from any to 0.0.0.0/0":                                  "",
		"deny from 0.0.0.0/0 to 0.0.0.0/0":                             "",
		"allow proto tcp port 22 from 0.0.0.0/0":                       "",
		"allow 22/tcp":                                                 "",
		"allow from 0.0.0.0/0 to 0.0.0.0/0 on eth0":                    "",
		"": "",
	} {
		got, err := ufwTuple(rule)
		if got != tuple || (err != nil) != (tuple == "") {
			t.Errorf("%q is %q, %v; want %q", rule, got, err, tuple)
		}
	}
}

// TestUFWThatHasNotStarted: it notes the rule and then fails, since it has no chains in the kernel.
func TestUFWThatHasNotStarted(t *testing.T) {
	wish := UFW{Rules: []string{"allow from 10.244.0.0/16 to 0.0.0.0/0"}}
	for name, row := range map[string]struct {
		notes, started, legacy, fine bool
	}{
		"it has not":                      {true, false, false, true},
		"it has":                          {true, true, false, false},
		"it fails before":                 {false, false, false, false},
		"nobody knows, with old iptables": {true, false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write(t, ufwRules, "### END RULES ###\n", 0o640)
			if row.started {
				w.rulesets = map[string]ruleset{"ip filter": {chains: []nftChain{{name: "ufw-user-input"}}}}
			}
			if row.legacy {
				w.write(t, "/proc/net/ip_tables_names", "filter\n", 0o444)
			}
			w.Handle("ufw", func(argv []string) ([]byte, error) {
				if row.notes {
					if _, err := w.ufw(argv); err != nil {
						return nil, err
					}
				}
				return nil, errors.New("ERROR: problem running")
			})
			if err := set(t, w, wish); (err == nil) != row.fine {
				t.Errorf("got %v", err)
			}
		})
	}
}
