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
