package ops

import (
	"context"
	"slices"
	"strings"
)

// Forward is packets from and to the pods' range that the host passes on although iptables' policy is to drop what is forwarded. Docker sets that
// policy where it is the one who turns forwarding on. Where the policy is another, there is nothing to do.
type Forward struct {
	Range string `json:"range"` // of the pods
	Open  bool   `json:"open,omitempty"`
}

// dockerUser is the chain that Docker asks before its own and leaves to others.
const dockerUser = "DOCKER-USER"

func (f Forward) Key() Key { return Key("forward:" + f.Range) }

func (f Forward) Observe(ctx context.Context, m Machine) (Op, error) {
	t, err := f.filter(ctx, m)
	if err != nil {
		return nil, err
	}
	f.Open = !t.drops() || len(f.missing(t)) == 0
	return f, nil
}

func (f Forward) Set(ctx context.Context, m Machine, _ Op) error {
	t, err := f.filter(ctx, m)
	if err != nil {
		return err
	}
	if f.Open {
		if !t.drops() {
			return nil
		}
		for _, rule := range f.missing(t) {
			if err := run(ctx, m, slices.Concat([]string{toolPath(m, "iptables"), "-w", "10", "-I"}, rule)...); err != nil {
				return err
			}
		}
		return nil
	}
	missing := f.missing(t)
	for _, rule := range f.rules(t) {
		if slices.ContainsFunc(missing, func(r []string) bool { return slices.Equal(r, rule) }) {
			continue
		}
		if err := run(ctx, m, slices.Concat([]string{toolPath(m, "iptables"), "-w", "10", "-D"}, rule)...); err != nil {
			return err
		}
	}
	return nil
}

// filter is the table that decides what is forwarded; without the tool there is none.
func (f Forward) filter(ctx context.Context, m Machine) (savedTable, error) {
	if toolPath(m, "iptables-save") == "" {
		return savedTable{}, nil
	}
	tables, err := save(ctx, m, "iptables")
	if err != nil {
		return savedTable{}, err
	}
	for _, t := range tables {
		if t.name == "filter" {
			return t, nil
		}
	}
	return savedTable{}, nil
}

func (t savedTable) drops() bool {
	return slices.ContainsFunc(t.chains, func(c string) bool { return strings.HasPrefix(c, "FORWARD DROP") })
}

// rules are the two rules, where they come before those that drop.
func (f Forward) rules(t savedTable) [][]string {
	chain := "FORWARD"
	if slices.ContainsFunc(t.chains, func(c string) bool { return strings.HasPrefix(c, dockerUser+" ") }) {
		chain = dockerUser
	}
	return [][]string{{chain, "-s", f.Range, "-j", "ACCEPT"}, {chain, "-d", f.Range, "-j", "ACCEPT"}}
}

// missing are those of the rules that are not there.
func (f Forward) missing(t savedTable) [][]string {
	return slices.DeleteFunc(f.rules(t), func(rule []string) bool { return slices.Contains(t.rules, "-A "+strings.Join(rule, " ")) })
}
