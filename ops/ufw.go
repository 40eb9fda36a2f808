package ops

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// UFW is rules of ufw, which keeps what it is told and says it again to the kernel at every start and reload. Rules that are there already, whoever made them,
// stay. It is told by its own command and looked at in its own file: there is no other way to ask it that costs less than seconds.
type UFW struct {
	// Rules are in ufw's own words, all of them: "allow proto tcp from 192.168.1.21 to 0.0.0.0/0 port 10250", "route allow from 0.0.0.0/0 to 10.244.0.0/16".
	Rules []string `json:"rules"`
}

const (
	ufwRules  = "/etc/ufw/user.rules"
	ufwRules6 = "/etc/ufw/user6.rules"
	ufwConf   = "/etc/ufw/ufw.conf"
	ufwMark   = "### tuple ### "
	ufwSaid   = "kubewright" // the comment of our rules
)

func (u UFW) Key() Key { return "ufw:rules" }

// Touches names the files that ufw keeps rules in.
func (u UFW) Touches() []string { return []string{ufwRules, ufwRules6} }

// Alike says whether two texts hold the same rules: ufw writes all of a file anew, and drops what else its owner wrote in it.
func (u UFW) Alike(_ string, a, b []byte) bool { return slices.Equal(ufwLines(a), ufwLines(b)) }

func ufwLines(text []byte) []string {
	var out []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && (line[0] != '#' || strings.HasPrefix(line, "###")) {
			out = append(out, line)
		}
	}
	return out
}

func (u UFW) Observe(_ context.Context, m Machine) (Op, error) {
	there, err := ufwTuples(m)
	if err != nil {
		return nil, err
	}
	var seen UFW
	for _, r := range u.Rules {
		tuple, err := ufwTuple(r)
		if err != nil {
			return nil, err
		}
		if _, ok := there[tuple]; ok {
			seen.Rules = append(seen.Rules, r)
		}
	}
	// Those of an earlier wish are ours, too.
	for _, tuple := range slices.Sorted(maps.Keys(there)) {
		if r := ufwRule(tuple); there[tuple] && r != "" && !slices.Contains(seen.Rules, r) {
			seen.Rules = append(seen.Rules, r)
		}
	}
	return seen, nil
}

// Set adds what is lacking and deletes what was seen and is not wished.
func (u UFW) Set(ctx context.Context, m Machine, was Op) error {
	there, err := ufwTuples(m)
	if err != nil {
		return err
	}
	seen, _ := was.(UFW)
	for i, list := range [][]string{u.Rules, minus(seen.Rules, u.Rules)} {
		present := i == 0
		for _, r := range list {
			tuple, err := ufwTuple(r)
			if err != nil {
				return err
			}
			if _, is := there[tuple]; is == present {
				continue
			}
			argv := []string{"ufw"}
			words := strings.Fields(r)
			if words[0] == "route" {
				argv, words = append(argv, "route"), words[1:]
			}
			if present {
				argv = append(append(argv, words...), "comment", ufwSaid)
			} else {
				argv = append(append(argv, "delete"), words...)
			}
			if err := run(ctx, m, argv...); err != nil && !u.noted(m, tuple, present) {
				return err
			}
		}
	}
	return nil
}

// noted says whether a rule is as wished in ufw's file, and nothing of ufw is in the kernel. It fails then, though there was nothing more to do: who has not started
// has no chains.
func (u UFW) noted(m Machine, tuple string, present bool) bool {
	there, err := ufwTuples(m)
	kernel, ok := find[ruled](m)
	if _, is := there[tuple]; err != nil || is != present || !ok || readsAnything(m, "/proc/net/ip_tables_names") {
		return false
	}
	set, err := kernel.ruleset("ip filter")
	return err == nil && !slices.ContainsFunc(set.chains, func(c nftChain) bool { return c.name == "ufw-user-input" })
}

func (u UFW) same(seen Op) bool { return sameSet(u.Rules, seen.(UFW).Rules) }

// ufwTuples are the rules that ufw has for IPv4, as it notes them ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in"), and whether they are ours.
func ufwTuples(m Machine) (map[string]bool, error) {
	data, err := readSmall(m, ufwRules, true)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if tuple, ok := strings.CutPrefix(strings.TrimSpace(line), ufwMark); ok {
			tuple, said, _ := strings.Cut(tuple, " comment=")
			out[tuple] = said == hex.EncodeToString([]byte(ufwSaid))
		}
	}
	return out, nil
}

// ufwRule is the rule that is noted so, or empty where it is none that we would make.
func ufwRule(tuple string) string {
	f := strings.Fields(tuple)
	if len(f) != 7 {
		return ""
	}
	action, route := strings.CutPrefix(f[0], "route:")
	var out strings.Builder
	if route {
		out.WriteString("route ")
	}
	out.WriteString(action)
	if f[6] == "out" {
		out.WriteString(" out")
	}
	if f[1] != "any" {
		out.WriteString(" proto " + f[1])
	}
	out.WriteString(" from " + f[5] + " to " + f[3])
	if f[2] != "any" {
		out.WriteString(" port " + f[2])
	}
	if back, err := ufwTuple(out.String()); err != nil || back != tuple {
		return ""
	}
	return out.String()
}

// ufwTuple is how ufw notes a rule.
func ufwTuple(rule string) (string, error) {
	kind, port, protocol, direction := "", "any", "any", "in"
	from, to := "", ""
	words := strings.Fields(rule)
	if len(words) > 0 && words[0] == "route" {
		kind, words = "route:", words[1:]
	}
	if len(words) > 1 && words[1] == "out" {
		direction, words = "out", slices.Delete(words, 1, 2)
	}
	if len(words)%2 != 1 || words[0] != "allow" {
		return "", fmt.Errorf("%q is not a rule of ufw", rule)
	}
	for i := 1; i < len(words); i += 2 {
		switch value := words[i+1]; words[i] {
		case "proto":
			protocol = value
		case "from":
			from = value
		case "to":
			to = value
		case "port":
			port = value
		default:
			return "", fmt.Errorf("%q is not a rule of ufw: %s", rule, words[i])
		}
	}
	for _, at := range []string{from, to} {
		_, errA := netip.ParseAddr(at)
		_, errP := netip.ParsePrefix(at)
		if errA != nil && errP != nil {
			return "", fmt.Errorf("%q is not a rule of ufw: %q is no address", rule, at)
		}
	}
	return fmt.Sprintf("%sallow %s %s %s any %s %s", kind, protocol, port, to, from, direction), nil
}

// UFWSwitch is whether ufw filters anything. Its unit says nothing about that.
type UFWSwitch struct {
	On bool `json:"on"`
}

func (u UFWSwitch) Key() Key { return "ufwswitch:" }

// Touches names the file in which ufw notes it, and those that it writes anew whenever it is turned on.
func (u UFWSwitch) Touches() []string { return []string{ufwConf, ufwRules, ufwRules6} }

// Alike says whether two texts set the same.
func (u UFWSwitch) Alike(_ string, a, b []byte) bool { return slices.Equal(ufwLines(a), ufwLines(b)) }

func (u UFWSwitch) Observe(_ context.Context, m Machine) (Op, error) {
	data, err := readSmall(m, ufwConf, true)
	return UFWSwitch{On: ufwOn(data)}, err
}

func (u UFWSwitch) Set(ctx context.Context, m Machine, was Op) error {
	if seen, ok := was.(UFWSwitch); ok && seen == u {
		return nil
	}
	if !exists(m, ufwConf) {
		return errors.New("ufw is not installed")
	}
	if u.On {
		return run(ctx, m, "ufw", "--force", "enable")
	}
	return run(ctx, m, "ufw", "disable")
}

func ufwOn(conf []byte) bool {
	for line := range bytes.Lines(conf) {
		if value, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("ENABLED=")); ok {
			return strings.EqualFold(strings.Trim(string(value), `"'`), "yes")
		}
	}
	return false
}

// UFWIsOn says whether the machine has an ufw that filters.
func UFWIsOn(m Machine) bool {
	data, err := readSmall(m, ufwConf, true)
	return err == nil && ufwOn(data)
}
