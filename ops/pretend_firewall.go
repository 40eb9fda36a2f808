package ops

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Has says whether an entry is in the machine's firewall.
func (p *Pretend) Has(_ context.Context, e FirewallEntry) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.firewall[e], nil
}

// firewalldTable is where firewalld has its chains.
const firewalldTable = "inet firewalld"

// Change adds an entry or removes it. As firewalld does, it writes zones down, keeps what it wrote before, and makes a zone's chains when it first uses it.
func (p *Pretend) Change(_ context.Context, e FirewallEntry, present bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if present {
		p.firewall[e] = true
	} else {
		delete(p.firewall, e)
	}
	chain := "filter_IN_" + e.Zone
	if set, ok := p.rulesets[firewalldTable]; ok && present && !e.Permanent && !slices.ContainsFunc(set.chains, func(c nftChain) bool { return c.name == chain }) {
		set.chains = append(set.chains, nftChain{name: chain})
		p.rulesets[firewalldTable] = set
	}
	if !e.Permanent || e.Zone == "" {
		return nil
	}
	var zone strings.Builder
	zone.WriteString("<zone>\n")
	for _, x := range p.permanent(e.Zone) {
		zone.WriteString("<entry is=\"")
		if err := xml.EscapeText(&zone, []byte(x)); err != nil {
			return err
		}
		zone.WriteString("\"/>\n")
	}
	zone.WriteString("</zone>\n")
	file := p.Path("/etc/firewalld/zones/" + e.Zone + ".xml")
	if err := os.MkdirAll(p.Path("/etc/firewalld/zones"), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(file); err == nil {
		if err := os.Rename(file, file+oldZone); err != nil {
			return err
		}
	}
	return os.WriteFile(file, []byte(zone.String()), 0o644)
}

// Rules are the rich rules among a zone's entries.
func (p *Pretend) Rules(_ context.Context, zone string, permanent bool) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for e := range p.firewall {
		if e.Zone == zone && e.Permanent == permanent && e.Rule != "" {
			out = append(out, e.Rule)
		}
	}
	slices.Sort(out)
	return out, nil
}

// permanent are the entries that a zone will start with.
func (p *Pretend) permanent(zone string) []string {
	var out []string
	for e, there := range p.firewall {
		if there && e.Permanent && e.Zone == zone {
			out = append(out, strings.TrimSpace(e.Port+" "+e.Source+" "+e.Rule))
		}
	}
	slices.Sort(out)
	return out
}

// Zones are those with entries.
func (p *Pretend) Zones(context.Context) (map[string]FirewallZone, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]FirewallZone{"public": {Default: true}}
	for e := range p.firewall {
		if z := out[e.Zone]; !e.Permanent && e.Source != "" {
			z.Sources = append(z.Sources, e.Source)
			out[e.Zone] = z
		}
	}
	return out, nil
}

// Defaults forgets a zone's file.
func (p *Pretend) Defaults(_ context.Context, zone string) error {
	file := p.Path("/etc/firewalld/zones/" + zone + ".xml")
	return os.Rename(file, file+oldZone)
}

// Lossless compares what is now with what is permanent.
func (p *Pretend) Lossless(context.Context, bool) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := range p.firewall {
		other := e
		other.Permanent = !e.Permanent
		if !p.firewall[other] {
			return false, nil
		}
	}
	return true, nil
}

// ReloadFirewall drops the chains of zones that are not in use.
func (p *Pretend) ReloadFirewall(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.rulesets[firewalldTable]
	set.chains = slices.DeleteFunc(set.chains, func(c nftChain) bool { return len(p.permanent(strings.TrimPrefix(c.name, "filter_IN_"))) == 0 })
	p.rulesets[firewalldTable] = set
	return nil
}

// Filter adds a chain for what comes in that drops what no rule of it accepts; or, without a name, a table alone.
func (p *Pretend) Filter(c Chain) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.tables, c.Table) {
		p.tables = append(p.tables, c.Table)
	}
	if p.rulesets == nil {
		p.rulesets = map[string]ruleset{}
	}
	set := p.rulesets[c.Table]
	if c.Name != "" {
		set.chains = append(set.chains, nftChain{name: c.Name, base: true, drop: true, kind: "filter", hook: 1})
		set.rules = append(set.rules, nftRule{chain: c.Name, handle: p.handle(), comment: "theirs"})
	}
	p.rulesets[c.Table] = set
}

func (p *Pretend) handle() uint64 {
	p.handles++
	return p.handles
}

// nft knows what NFTRules says to it: nft -f FILE, all of it or nothing.
func (p *Pretend) nft(argv []string) ([]byte, error) {
	if len(argv) != 3 || argv[1] != "-f" {
		return nil, fmt.Errorf("the pretend nft does not know %q", argv)
	}
	script, err := os.ReadFile(argv[2])
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	after := map[string]ruleset{}
	for name, set := range p.rulesets {
		after[name] = ruleset{chains: set.chains, rules: slices.Clone(set.rules)}
	}
	for line := range strings.Lines(string(script)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "rule" {
			return nil, fmt.Errorf("syntax error: %s", line)
		}
		table := f[2] + " " + f[3]
		set := after[table]
		if !slices.ContainsFunc(set.chains, func(c nftChain) bool { return c.name == f[4] }) {
			return nil, errors.New("could not process rule: no such file or directory")
		}
		switch f[0] {
		case "delete":
			handle, _ := strconv.ParseUint(f[6], 10, 64)
			i := slices.IndexFunc(set.rules, func(r nftRule) bool { return r.handle == handle && r.chain == f[4] })
			if i < 0 {
				return nil, errors.New("could not process rule: no such file or directory")
			}
			set.rules = slices.Delete(set.rules, i, i+1)
		case "add", "insert":
			_, said, _ := strings.Cut(strings.TrimSpace(line), ` comment "`)
			rule := nftRule{chain: f[4], handle: p.handle(), comment: strings.TrimSuffix(said, `"`)}
			if at := len(set.rules); f[0] == "add" {
				set.rules = slices.Insert(set.rules, at, rule)
			} else {
				set.rules = slices.Insert(set.rules, 0, rule)
			}
		}
		after[table] = set
	}
	p.rulesets = after
	return nil, nil
}

// ufw adds rules to its file and deletes them from it, and says in its own file whether it is on.
func (p *Pretend) ufw(argv []string) ([]byte, error) {
	args := slices.DeleteFunc(slices.Clone(argv[1:]), func(a string) bool { return a == "--force" })
	if on := args[0] == "enable"; on || args[0] == "disable" {
		word := map[bool]string{true: "yes", false: "no"}[on]
		return nil, os.WriteFile(p.Path(ufwConf), []byte("ENABLED="+word+"\n"), 0o644)
	}
	data, err := os.ReadFile(p.Path(ufwRules))
	if err != nil {
		return nil, err
	}
	remove := slices.Contains(args, "delete")
	args = slices.DeleteFunc(args, func(a string) bool { return a == "delete" })
	said := ""
	if i := slices.Index(args, "comment"); i >= 0 {
		said = fmt.Sprintf(" comment=%x", args[i+1])
		args = args[:i]
	}
	tuple, err := ufwTuple(strings.Join(args, " "))
	if err != nil {
		return nil, err
	}
	text := string(data)
	if remove {
		at := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(ufwMark+tuple) + "( comment=.*)?\n-A rule\n\n").FindStringIndex(text)
		if at == nil {
			return nil, errors.New("could not delete non-existent rule")
		}
		text = text[:at[0]] + text[at[1]:]
	} else {
		text = strings.Replace(text, "### END RULES ###", ufwMark+tuple+said+"\n-A rule\n\n### END RULES ###", 1)
	}
	return nil, os.WriteFile(p.Path(ufwRules), []byte(text), 0o640)
}
