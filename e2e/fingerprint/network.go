package fingerprint

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// network tells links, addresses, routes and rules. Neighbours come and go by themselves.
func network(ctx context.Context, _ Options) ([]Fact, error) {
	var facts []Fact
	var links []struct {
		Name    string   `json:"ifname"`
		Flags   []string `json:"flags"`
		MTU     int      `json:"mtu"`
		Qdisc   string   `json:"qdisc"`
		Master  string   `json:"master"`
		Group   string   `json:"group"`
		Queue   int      `json:"txqlen"`
		Address string   `json:"address"`
		Promisc int      `json:"promiscuity"`
		Info    struct {
			Kind string `json:"info_kind"`
		} `json:"linkinfo"`
		Addresses []struct {
			Local  string `json:"local"`
			Prefix int    `json:"prefixlen"`
			Scope  string `json:"scope"`
			Label  string `json:"label"`
		} `json:"addr_info"`
	}
	if err := addressed(ctx); err != nil {
		return nil, err
	}
	if err := ip(ctx, &links, "-d", "address"); err != nil {
		return nil, err
	}
	for _, l := range links {
		slices.Sort(l.Flags)
		facts = append(facts, Fact{"link", l.Name, fmt.Sprintf("kind=%s mtu=%d qdisc=%s master=%s group=%s txqlen=%d address=%s promiscuity=%d %s",
			l.Info.Kind, l.MTU, l.Qdisc, l.Master, l.Group, l.Queue, l.Address, l.Promisc, strings.Join(l.Flags, ","))})
		for _, a := range l.Addresses {
			facts = append(facts, Fact{"address", l.Name, fmt.Sprintf("%s/%d scope=%s %s", a.Local, a.Prefix, a.Scope, a.Label)})
		}
	}
	for _, family := range []string{"-4", "-6"} {
		for _, what := range [][]string{{"route", "show", "table", "all"}, {"rule"}} {
			var all []map[string]any
			if err := ip(ctx, &all, append([]string{family}, what...)...); err != nil {
				return facts, err
			}
			for _, one := range all {
				if one["table"] == "cache" {
					continue
				}
				for _, passing := range []string{"expires", "users", "age", "used", "cache"} {
					delete(one, passing)
				}
				b, err := json.Marshal(one)
				if err != nil {
					return facts, err
				}
				facts = append(facts, Fact{what[0], family, string(b)})
			}
		}
	}
	return facts, nil
}

// addressed waits while a link that has just come up asks its neighbours whether they have its address, since the route to itself comes after that.
func addressed(ctx context.Context) error {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		var all []map[string]any
		if err := ip(ctx, &all, "-6", "address", "show", "tentative"); err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(l map[string]any) bool { return len(l) > 0 }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil // a link without a carrier asks for ever
}

func ip(ctx context.Context, into any, args ...string) error {
	out, found, err := tool(ctx, "ip", append([]string{"-j"}, args...)...)
	if err != nil || !found || len(strings.TrimSpace(string(out))) == 0 {
		return err
	}
	return json.Unmarshal(out, into)
}

// nftables tells the ruleset, one rule to a fact, in the order in which they are.
func nftables(ctx context.Context, _ Options) ([]Fact, error) {
	out, found, err := tool(ctx, "nft", "-j", "list", "ruleset")
	if err != nil || !found {
		return nil, err
	}
	return nftFacts(out)
}

func nftFacts(out []byte) ([]Fact, error) {
	var all struct {
		NFTables []map[string]map[string]any `json:"nftables"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, err
	}
	var facts []Fact
	number := map[string]int{} // of the rule in its chain
	for _, one := range all.NFTables {
		for kind, v := range one {
			if kind == "metainfo" {
				continue
			}
			v = stripped(v).(map[string]any)
			name := fmt.Sprint(v["family"], "/", v["table"], "/", v["name"])
			switch kind {
			case "table":
				name = fmt.Sprint(v["family"], "/", v["name"])
			case "rule":
				chain := fmt.Sprint(v["family"], "/", v["table"], "/", v["chain"])
				number[chain]++
				name = fmt.Sprintf("%s/%04d", chain, number[chain])
			}
			b, err := json.Marshal(v)
			if err != nil {
				return facts, err
			}
			facts = append(facts, Fact{"nft", kind + ":" + name, string(b)})
		}
	}
	return facts, nil
}

// stripped is a value without handles and without what counters have counted.
func stripped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			switch k {
			case "handle", "packets", "bytes", "expires":
				continue
			}
			out[k] = stripped(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = stripped(x)
		}
		return out
	}
	return v
}

// iptables tells what each of the two, for IPv4 and IPv6, would restore.
func iptables(ctx context.Context, _ Options) ([]Fact, error) {
	var facts []Fact
	for _, name := range []string{"iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"} {
		out, _, err := tool(ctx, name+"-save")
		if err != nil {
			return facts, err
		}
		facts = append(facts, saveFacts(name, string(out))...)
	}
	return facts, nil
}

func saveFacts(tool, saved string) []Fact {
	var facts []Fact
	table, number := "", map[string]int{}
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
			facts = append(facts, Fact{"iptables", tool + "/" + table, ""})
		case strings.HasPrefix(line, ":"):
			facts = append(facts, Fact{"iptables", tool + "/" + table + "/" + f[0][1:], "policy " + f[1]})
		case strings.HasPrefix(line, "-A "):
			number[table+"/"+f[1]]++
			facts = append(facts, Fact{"iptables", fmt.Sprintf("%s/%s/%s/%04d", tool, table, f[1], number[table+"/"+f[1]]), line})
		}
	}
	return facts
}

// ipvs tells the virtual servers. Where the kernel has loaded nothing of the kind there are none, and asking would load it.
func ipvs(ctx context.Context, _ Options) ([]Fact, error) {
	if _, err := os.Stat("/proc/net/ip_vs"); err != nil {
		return nil, nil
	}
	out, _, err := tool(ctx, "ipvsadm", "--save", "--numeric")
	return numbered("ipvs", string(out)), err
}

func ipset(ctx context.Context, _ Options) ([]Fact, error) {
	if _, err := os.Stat("/sys/module/ip_set"); err != nil {
		return nil, nil
	}
	out, _, err := tool(ctx, "ipset", "save", "-sorted")
	return numbered("ipset", string(out)), err
}

func numbered(kind, text string) []Fact {
	var facts []Fact
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if i := slices.Index(f, "timeout"); i > 0 && f[0] == "add" {
			f = slices.Delete(f, i, i+2) // how long it still is
		}
		if len(f) > 0 {
			facts = append(facts, Fact{kind, f[min(1, len(f)-1)], strings.Join(f, " ")})
		}
	}
	return facts
}
