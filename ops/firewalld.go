package ops

import (
	"context"
	"slices"
)

// Firewalld is ports opened and sources trusted in a zone of firewalld, now and from its next start on. An entry counts as there only when it
// is both.
type Firewalld struct {
	Zone      string   `json:"zone"`                // "" is the default zone
	Ports     []string `json:"ports,omitempty"`     // "6443/tcp"
	Sources   []string `json:"sources,omitempty"`   // addresses or prefixes
	Closed    []string `json:"closed,omitempty"`    // ports that are not open: what an observation says of the wish's other ports
	Untrusted []string `json:"untrusted,omitempty"` // sources that are not trusted, likewise
}

func (f Firewalld) Key() Key { return Key("firewalld:" + f.Zone) }

func (f Firewalld) Observe(ctx context.Context, m Machine) (Op, error) {
	wall, err := firewallOf(m)
	if err != nil {
		return nil, err
	}
	seen := Firewalld{Zone: f.Zone}
	for _, port := range slices.Concat(f.Ports, f.Closed) {
		there, err := inBoth(ctx, wall, FirewallEntry{Zone: f.Zone, Port: port})
		if err != nil {
			return nil, err
		}
		put(&seen.Ports, &seen.Closed, port, there)
	}
	for _, source := range slices.Concat(f.Sources, f.Untrusted) {
		there, err := inBoth(ctx, wall, FirewallEntry{Zone: f.Zone, Source: source})
		if err != nil {
			return nil, err
		}
		put(&seen.Sources, &seen.Untrusted, source, there)
	}
	return seen, nil
}

func (f Firewalld) Set(ctx context.Context, m Machine, _ Op) error {
	wall, err := firewallOf(m)
	if err != nil {
		return err
	}
	for _, list := range []struct {
		names   []string
		entry   func(string) FirewallEntry
		present bool
	}{
		{f.Ports, f.port, true}, {f.Sources, f.source, true}, {f.Closed, f.port, false}, {f.Untrusted, f.source, false},
	} {
		for _, name := range list.names {
			for _, permanent := range []bool{true, false} {
				e := list.entry(name)
				e.Permanent = permanent
				there, err := wall.Has(ctx, e)
				if err != nil {
					return err
				}
				if there == list.present {
					continue
				}
				if err := changing(m, "change firewalld"); err != nil {
					return err
				}
				if err := wall.Change(ctx, e, list.present); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (f Firewalld) same(seen Op) bool {
	s := seen.(Firewalld)
	return sameSet(f.Ports, s.Ports) && sameSet(f.Sources, s.Sources) && sameSet(f.Closed, s.Closed) && sameSet(f.Untrusted, s.Untrusted)
}

func (f Firewalld) port(p string) FirewallEntry   { return FirewallEntry{Zone: f.Zone, Port: p} }
func (f Firewalld) source(s string) FirewallEntry { return FirewallEntry{Zone: f.Zone, Source: s} }

func inBoth(ctx context.Context, wall Firewall, e FirewallEntry) (bool, error) {
	for _, e.Permanent = range []bool{false, true} {
		if there, err := wall.Has(ctx, e); err != nil || !there {
			return false, err
		}
	}
	return true, nil
}

func put(there, not *[]string, name string, is bool) {
	if is {
		*there = append(*there, name)
	} else {
		*not = append(*not, name)
	}
}

func sameSet(a, b []string) bool {
	norm := func(s []string) []string { s = slices.Clone(s); slices.Sort(s); return slices.Compact(s) }
	return slices.Equal(norm(a), norm(b))
}
