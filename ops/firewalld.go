package ops

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Firewalld is ports opened, sources trusted and rules added in a zone of firewalld, now and from its next start on. An entry counts as there only
// when it is both. Zones that exist are used, and none is made: that would need a reload, which throws away whatever somebody has changed for the time being.
type Firewalld struct {
	Zone    string   `json:"zone"`              // "" is the default zone
	Ports   []string `json:"ports,omitempty"`   // "6443/tcp"
	Sources []string `json:"sources,omitempty"` // addresses or prefixes
	Rules   []string `json:"rules,omitempty"`   // rich rules (firewalld.richlanguage(5)), each made by RichRule
	// Closed and Untrusted are, in observations that earlier versions wrote down, ports and sources that were not there.
	Closed    []string `json:"closed,omitempty"`
	Untrusted []string `json:"untrusted,omitempty"`
	// Half are, in observations, entries that are there either now or from the next start on.
	Half []FirewallEntry `json:"half,omitempty"`
	// Idle is, in observations, that firewalld has no chains for the zone, or none that it could be rid of: it makes them when the zone is first used and drops them at a
	// reload only.
	Idle bool `json:"idle,omitempty"`
	// NoFiles are, in observations, the files of the zone that do not exist.
	NoFiles []string `json:"noFiles,omitempty"`
}

func (f Firewalld) Key() Key { return Key("firewalld:" + f.Zone) }

// Touches names the files in which firewalld keeps the zone. It writes them anew in its own hand.
func (f Firewalld) Touches() []string {
	if f.Zone == "" {
		return nil
	}
	file := "/etc/firewalld/zones/" + f.Zone + ".xml"
	return []string{file, file + oldZone}
}

// oldZone ends the name of what firewalld keeps of a zone before it writes it anew.
const oldZone = ".old"

func (f Firewalld) Observe(ctx context.Context, m Machine) (Op, error) {
	wall, err := firewallOf(m)
	if err != nil {
		return nil, err
	}
	seen := Firewalld{Zone: f.Zone, NoFiles: keepIf(f.Touches(), func(p string) bool { return !exists(m, p) })}
	all := f.all()
	for _, permanent := range []bool{false, true} {
		rules, err := wall.Rules(ctx, f.Zone, permanent)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			// Those of an earlier wish are ours, too.
			if e := (FirewallEntry{Zone: f.Zone, Rule: r}); strings.HasPrefix(r, ourRule) && !slices.Contains(all, e) {
				all = append(all, e)
			}
		}
	}
	for _, e := range all {
		now, err := wall.Has(ctx, e)
		if err != nil {
			return nil, err
		}
		e.Permanent = true
		later, err := wall.Has(ctx, e)
		if err != nil {
			return nil, err
		}
		switch {
		case now && later:
			e.Permanent = false
			seen.put(e)
		case now || later:
			e.Permanent = later
			seen.Half = append(seen.Half, e)
		}
	}
	seen.Idle, err = f.idle(ctx, m, wall)
	return seen, err
}

// Set adds what is lacking and removes what was seen and is not wished.
func (f Firewalld) Set(ctx context.Context, m Machine, was Op) error {
	wall, err := firewallOf(m)
	if err != nil {
		return err
	}
	wished := map[FirewallEntry]bool{}
	for _, e := range (Firewalld{Zone: f.Zone, Ports: f.Closed, Sources: f.Untrusted}).entries() {
		wished[e], wished[e.permanently()] = false, false
	}
	if seen, ok := was.(Firewalld); ok {
		for _, e := range seen.all() {
			wished[e], wished[e.permanently()] = false, false
		}
	}
	for _, e := range f.entries() {
		wished[e], wished[e.permanently()] = true, true
	}
	for _, e := range f.Half {
		wished[e] = true
		e.Permanent = !e.Permanent
		wished[e] = false
	}
	// What is added first, and what is permanent first: should the host lose power in between, it comes back with more rather than with less.
	order := slices.SortedFunc(maps.Keys(wished), func(a, b FirewallEntry) int {
		return cmp.Or(yesFirst(wished[a], wished[b]), yesFirst(a.Permanent, b.Permanent), cmp.Compare(a.Port+a.Source+a.Rule, b.Port+b.Source+b.Rule))
	})
	for _, e := range order {
		there, err := wall.Has(ctx, e)
		if err != nil {
			return err
		}
		if there == wished[e] {
			continue
		}
		if err := changing(m, "change firewalld"); err != nil {
			return err
		}
		if err := wall.Change(ctx, e, wished[e]); err != nil {
			return err
		}
	}
	if err := f.forget(ctx, m, wall); err != nil {
		return err
	}
	if idle, err := f.idle(ctx, m, wall); err != nil || idle || !f.Idle {
		return err
	}
	if err := changing(m, "reload firewalld"); err != nil {
		return err
	}
	return wall.ReloadFirewall(ctx)
}

// forget takes away the files that there were not, unless they say more by now than what firewalld brings along.
func (f Firewalld) forget(ctx context.Context, m Machine, wall Firewall) error {
	for _, p := range f.NoFiles {
		data, err := readSmall(m, p, false)
		if err != nil || data == nil {
			if err != nil {
				return err
			}
			continue
		}
		if strings.HasSuffix(p, oldZone) {
			if err := remove(m, p); err != nil {
				return err
			}
			continue
		}
		shipped, err := readSmall(m, "/usr/lib/firewalld/zones/"+f.Zone+".xml", true)
		if err != nil {
			return err
		}
		if shipped == nil || !f.Alike(p, data, shipped) {
			continue
		}
		if err := changing(m, "load the defaults of zone "+f.Zone); err != nil {
			return err
		}
		if err := wall.Defaults(ctx, f.Zone); err != nil {
			return err
		}
	}
	return nil
}

// idle says whether firewalld has no chains for the zone that could go. They could not go by a reload that would lose something: what was changed in firewalld
// for the time being, and every rule of iptables, which firewalld empties along with its own.
func (f Firewalld) idle(ctx context.Context, m Machine, wall Firewall) (bool, error) {
	kernel, ok := find[ruled](m)
	if !ok || f.Zone == "" {
		return true, nil
	}
	tables, err := tablesOf(m)
	if err != nil {
		return false, err
	}
	made := false
	for _, t := range tables {
		if !strings.HasSuffix(t, " firewalld") && !isIPTables(t) {
			continue
		}
		set, err := kernel.ruleset(t)
		if err != nil {
			return false, err
		}
		if isIPTables(t) {
			if len(set.rules) > 0 {
				return true, nil
			}
			continue
		}
		made = made || slices.ContainsFunc(set.chains, func(c nftChain) bool {
			return strings.HasSuffix(c.name, "_"+f.Zone) || strings.Contains(c.name, "_"+f.Zone+"_")
		})
	}
	if !made || readsAnything(m, "/proc/net/ip_tables_names") || readsAnything(m, "/proc/net/ip6_tables_names") {
		return true, nil
	}
	zones, err := wall.Zones(ctx)
	if err != nil {
		return false, err
	}
	if z := zones[f.Zone]; len(z.Interfaces)+len(z.Sources) > 0 || z.Default {
		return false, nil // not idle at all: a reload would change nothing
	}
	nm, err := m.Units().State(ctx, "NetworkManager.service")
	if err != nil {
		return false, err
	}
	lossless, err := wall.Lossless(ctx, nm.Active) // NetworkManager tells a firewalld that was reloaded about its interfaces
	return !lossless, err
}

func (f Firewalld) same(seen Op) bool {
	s := seen.(Firewalld)
	return sameSet(f.Ports, s.Ports) && sameSet(f.Sources, s.Sources) && sameSet(f.Rules, s.Rules) && sameHalf(f.Half, s.Half) && (!f.Idle || s.Idle || s.used())
}

// used says whether the zone has entries of ours, so that its chains are no trace.
func (f Firewalld) used() bool { return len(f.all()) > 0 }

func (f Firewalld) entries() []FirewallEntry {
	var out []FirewallEntry
	for _, p := range f.Ports {
		out = append(out, FirewallEntry{Zone: f.Zone, Port: p})
	}
	for _, s := range f.Sources {
		out = append(out, FirewallEntry{Zone: f.Zone, Source: s})
	}
	for _, r := range f.Rules {
		out = append(out, FirewallEntry{Zone: f.Zone, Rule: r})
	}
	return out
}

// all is what is wholly or half there, as entries of now.
func (f Firewalld) all() []FirewallEntry {
	out := f.entries()
	for _, e := range f.Half {
		e.Permanent = false
		out = append(out, e)
	}
	return out
}

func (e FirewallEntry) permanently() FirewallEntry {
	e.Permanent = true
	return e
}

func yesFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func sameHalf(a, b []FirewallEntry) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(e FirewallEntry) bool { return !slices.Contains(b, e) })
}

func (f *Firewalld) put(e FirewallEntry) {
	switch {
	case e.Port != "":
		f.Ports = append(f.Ports, e.Port)
	case e.Source != "":
		f.Sources = append(f.Sources, e.Source)
	default:
		f.Rules = append(f.Rules, e.Rule)
	}
}

// ourRule begins every rich rule of ours, in the words in which firewalld itself lists them. The priority is the mark by which they are known again, and lets
// the zone's own rules come first.
const ourRule = `rule priority="16443" family="ipv4" `

// RichRule is the rich rule that lets a source, or everybody where none is named, reach a port or a range of them.
func RichRule(source, port, protocol string) string {
	from := ""
	if source != "" {
		from = fmt.Sprintf(`source address="%s" `, source)
	}
	return fmt.Sprintf(`%s%sport port="%s" protocol="%s" accept`, ourRule, from, port, protocol)
}

func sameSet(a, b []string) bool {
	norm := func(s []string) []string { s = slices.Clone(s); slices.Sort(s); return slices.Compact(s) }
	return slices.Equal(norm(a), norm(b))
}

// FirewallZones are the zones that the machine's firewalld uses.
func FirewallZones(ctx context.Context, m Machine) (map[string]FirewallZone, error) {
	wall, err := firewallOf(m)
	if err != nil {
		return nil, err
	}
	return wall.Zones(ctx)
}
