package ops

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Chains that kube-proxy, flannel and CNI plugins make lie among the host's own, in the kernel's old tables and in those of nftables that the new
// iptables keeps. iptables-save's format is what iptables-restore reads, so it may be relied on.

// iptablesTools are the tools that there are for each of the two, IPv4 and IPv6. Where only the plain name exists, that is taken.
func iptablesTools(m Machine) []string {
	var out []string
	for _, family := range []string{"iptables", "ip6tables"} {
		variants := keepIf([]string{family + "-nft", family + "-legacy"}, func(t string) bool { return toolPath(m, t+"-save") != "" })
		if len(variants) == 0 && toolPath(m, family+"-save") != "" {
			variants = []string{family}
		}
		out = append(out, variants...)
	}
	return out
}

// toolPath is where a tool is on the machine, "" where it is not.
func toolPath(m Machine, name string) string {
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/", "/usr/local/sbin/", "/usr/local/bin/"} {
		if exists(m, dir+name) {
			return dir + name
		}
	}
	return ""
}

// savedTable is one table as iptables-save has it.
type savedTable struct {
	name   string
	chains []string // ":NAME POLICY [..]" without the colon
	rules  []string // "-A CHAIN ..."
}

func save(ctx context.Context, m Machine, tool string) ([]savedTable, error) {
	out, err := m.Run(ctx, toolPath(m, tool+"-save"))
	if err != nil {
		return nil, fmt.Errorf("%s-save: %w", tool, err)
	}
	var tables []savedTable
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if name, ok := strings.CutPrefix(line, "*"); ok {
			tables = append(tables, savedTable{name: name})
		}
		if len(tables) == 0 {
			continue
		}
		t := &tables[len(tables)-1]
		if chain, ok := strings.CutPrefix(line, ":"); ok {
			t.chains = append(t.chains, chain)
		} else if strings.HasPrefix(line, "-A ") {
			t.rules = append(t.rules, line)
		}
	}
	return tables, nil
}

// chainsOf lists the chains with one of the prefixes, as "tool table chain", and the rules of other chains about one of the links, as
// "tool table rule".
func chainsOf(ctx context.Context, m Machine, prefixes, links []string) (chains, rules []string, err error) {
	begins := func(name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	for _, tool := range iptablesTools(m) {
		tables, err := save(ctx, m, tool)
		if err != nil {
			return nil, nil, err
		}
		for _, t := range tables {
			for _, c := range t.chains {
				if name, _, _ := strings.Cut(c, " "); begins(name) {
					chains = append(chains, tool+" "+t.name+" "+name)
				}
			}
			for _, rule := range t.rules {
				if f := strings.Fields(rule); !begins(f[1]) && about(f, links) {
					rules = append(rules, tool+" "+t.name+" "+rule)
				}
			}
		}
	}
	return chains, rules, nil
}

// about says whether a rule is for packets that come from or go to one of the links.
func about(rule, links []string) bool {
	for i := 2; i < len(rule)-1; i++ {
		if rule[i] != "-i" && rule[i] != "-o" {
			continue
		}
		if slices.ContainsFunc(links, func(pattern string) bool { ok, _ := path.Match(pattern, rule[i+1]); return ok }) {
			return true
		}
	}
	return false
}

// removeChains removes chains ("tool table chain") with every rule of others that leads to them, and rules ("tool table rule"); all others stay.
func removeChains(ctx context.Context, m Machine, chains, rules []string) error {
	for _, tool := range iptablesTools(m) {
		if !slices.ContainsFunc(slices.Concat(chains, rules), func(c string) bool { return strings.HasPrefix(c, tool+" ") }) {
			continue
		}
		tables, err := save(ctx, m, tool)
		if err != nil {
			return err
		}
		var script strings.Builder
		for _, t := range tables {
			script.WriteString(t.without(below(tool+" "+t.name+" ", chains), below(tool+" "+t.name+" ", rules)))
		}
		if script.Len() == 0 {
			continue
		}
		file := stateDir(m) + "/" + tool + ".rules"
		if err := writeMark(m, file, []byte(script.String())); err != nil {
			return err
		}
		// The file's path, not its bytes, is an argument; the lock of the legacy tools may be held by another for a moment.
		restoring := run(ctx, m, toolPath(m, tool+"-restore"), "--noflush", "--wait=10", m.Path(file))
		if err := remove(m, file); err != nil {
			return err
		}
		if restoring != nil {
			return restoring
		}
	}
	return nil
}

// below are the rests of those that begin so.
func below(prefix string, all []string) []string {
	var out []string
	for _, s := range all {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			out = append(out, rest)
		}
	}
	return out
}

// without is what iptables-restore --noflush must read so that the chains and the rules are gone: naming a chain empties it.
func (t savedTable) without(chains, rules []string) string {
	var out strings.Builder
	for _, c := range chains {
		out.WriteString(":" + c + " - [0:0]\n")
	}
	for _, rule := range t.rules {
		f := strings.Fields(rule)
		if slices.Contains(chains, f[1]) {
			continue
		}
		gone := slices.Contains(rules, rule)
		for i := 2; i < len(f)-1 && !gone; i++ {
			gone = (f[i] == "-j" || f[i] == "-g") && slices.Contains(chains, f[i+1])
		}
		if gone {
			out.WriteString("-D" + strings.TrimPrefix(rule, "-A") + "\n")
		}
	}
	for _, c := range chains {
		out.WriteString("-X " + c + "\n")
	}
	if out.Len() == 0 {
		return ""
	}
	return "*" + t.name + "\n" + out.String() + "COMMIT\n"
}

// setsOf lists the ip sets with one of the prefixes.
func setsOf(ctx context.Context, m Machine, prefixes []string) ([]string, error) {
	tool := toolPath(m, "ipset")
	if tool == "" || !loaded(m, "ip_set") { // listing would load it
		return nil, nil
	}
	out, err := m.Run(ctx, tool, "list", "-n")
	if err != nil {
		return nil, fmt.Errorf("ipset list: %w", err)
	}
	return keepIf(strings.Fields(string(out)), func(s string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
	}), nil
}

// ipvsInUse says whether the kernel balances any service; the table has three lines of head.
func ipvsInUse(m Machine) bool {
	data, err := os.ReadFile(m.Path("/proc/net/ip_vs"))
	return err == nil && strings.Count(strings.TrimSpace(string(data)), "\n") >= 3
}
