package ops

import (
	"context"
	"fmt"
	"os"
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

// chainsOf lists the chains with one of the prefixes, as "tool table chain".
func chainsOf(ctx context.Context, m Machine, prefixes []string) ([]string, error) {
	var out []string
	for _, tool := range iptablesTools(m) {
		tables, err := save(ctx, m, tool)
		if err != nil {
			return nil, err
		}
		for _, t := range tables {
			for _, c := range t.chains {
				name, _, _ := strings.Cut(c, " ")
				if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
					out = append(out, tool+" "+t.name+" "+name)
				}
			}
		}
	}
	return out, nil
}

// removeChains removes chains ("tool table chain") and every rule of others that leads to them; all other rules stay.
func removeChains(ctx context.Context, m Machine, chains []string) error {
	for _, tool := range iptablesTools(m) {
		if !slices.ContainsFunc(chains, func(c string) bool { return strings.HasPrefix(c, tool+" ") }) {
			continue
		}
		tables, err := save(ctx, m, tool)
		if err != nil {
			return err
		}
		var script strings.Builder
		for _, t := range tables {
			var ours []string
			for _, c := range chains {
				if name, ok := strings.CutPrefix(c, tool+" "+t.name+" "); ok {
					ours = append(ours, name)
				}
			}
			script.WriteString(t.without(ours))
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

// without is what iptables-restore --noflush must read so that the chains are gone: naming a chain empties it.
func (t savedTable) without(chains []string) string {
	if len(chains) == 0 {
		return ""
	}
	var out strings.Builder
	out.WriteString("*" + t.name + "\n")
	for _, c := range chains {
		out.WriteString(":" + c + " - [0:0]\n")
	}
	for _, rule := range t.rules {
		f := strings.Fields(rule)
		if slices.Contains(chains, f[1]) {
			continue
		}
		for i := 2; i < len(f)-1; i++ {
			if (f[i] == "-j" || f[i] == "-g") && slices.Contains(chains, f[i+1]) {
				out.WriteString("-D" + strings.TrimPrefix(rule, "-A") + "\n")
				break
			}
		}
	}
	for _, c := range chains {
		out.WriteString("-X " + c + "\n")
	}
	out.WriteString("COMMIT\n")
	return out.String()
}

// idleTables are the tables of nftables that the new iptables keeps, that were not there before and that hold no rule, no further chain and no policy
// but accept. Where the host has no iptables, nobody on it could have made them.
func idleTables(ctx context.Context, m Machine, before []string) ([]string, error) {
	now, err := tablesOf(m)
	if err != nil {
		return nil, err
	}
	var idle []string
	for family, tool := range map[string]string{"ip": "iptables", "ip6": "ip6tables"} {
		grown := keepIf(minus(now, before), func(t string) bool {
			f, name, _ := strings.Cut(t, " ")
			return f == family && slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, name)
		})
		if len(grown) == 0 {
			continue
		}
		if slices.Contains(iptablesTools(m), tool+"-nft") {
			tool += "-nft"
		} else if toolPath(m, tool+"-save") == "" {
			idle = append(idle, grown...)
			continue
		}
		tables, err := save(ctx, m, tool)
		if err != nil {
			return nil, err
		}
		for _, t := range grown {
			_, name, _ := strings.Cut(t, " ")
			i := slices.IndexFunc(tables, func(s savedTable) bool { return s.name == name })
			if i < 0 || tables[i].idle() {
				idle = append(idle, t)
			}
		}
	}
	return idle, nil
}

func (t savedTable) idle() bool {
	return len(t.rules) == 0 && !slices.ContainsFunc(t.chains, func(c string) bool {
		f := strings.Fields(c)
		return len(f) < 2 || f[1] != "ACCEPT"
	})
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
