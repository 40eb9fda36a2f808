package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// NFTRules is rules of ours in a chain of nftables that belongs to somebody else, in the kernel as it runs. An accept in a table of our own would be of no use: what
// another chain drops is dropped. Each carries a comment by which it is known again; every other rule of the chain, and their order, stays.
type NFTRules struct {
	Table string   `json:"table"` // "inet filter"
	Chain string   `json:"chain"`
	First bool     `json:"first,omitempty"` // before all other rules instead of after them
	Rules []string `json:"rules,omitempty"` // as nft(8) reads them
}

// ourComment begins the comment of every rule of ours.
const ourComment = "kubewright "

func ours(comment string) bool { return strings.HasPrefix(comment, ourComment) }

func (n NFTRules) Key() Key { return Key("nftrules:" + n.Table + " " + n.Chain) }

func (n NFTRules) Observe(_ context.Context, m Machine) (Op, error) {
	seen := NFTRules{Table: n.Table, Chain: n.Chain, First: n.First}
	there, err := n.there(m)
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	for _, r := range n.Rules {
		known[commentOf(r)] = r
	}
	for _, r := range there {
		text, ok := known[r.comment]
		if !ok {
			text = "a rule with the comment " + r.comment // of an earlier wish, perhaps
		}
		if !slices.Contains(seen.Rules, text) {
			seen.Rules = append(seen.Rules, text)
		}
	}
	return seen, nil
}

// there are our rules in the chain.
func (n NFTRules) there(m Machine) ([]nftRule, error) {
	kernel, ok := find[ruled](m)
	if !ok {
		return nil, errors.New("the rules of this machine cannot be asked")
	}
	tables, err := tablesOf(m)
	if err != nil || !slices.Contains(tables, n.Table) {
		return nil, err
	}
	set, err := kernel.ruleset(n.Table)
	if err != nil {
		return nil, fmt.Errorf("list table %s: %w", n.Table, err)
	}
	var out []nftRule
	for _, r := range set.rules {
		if r.chain == n.Chain && ours(r.comment) {
			out = append(out, r)
		}
	}
	return out, nil
}

// Set changes the chain in one transaction: at no time is there less in it than before and after.
func (n NFTRules) Set(ctx context.Context, m Machine, _ Op) error {
	there, err := n.there(m)
	if err != nil {
		return err
	}
	var script strings.Builder
	have := map[string]bool{}
	for _, r := range there {
		if have[r.comment] || !slices.ContainsFunc(n.Rules, func(text string) bool { return commentOf(text) == r.comment }) {
			fmt.Fprintf(&script, "delete rule %s %s handle %d\n", n.Table, n.Chain, r.handle)
		}
		have[r.comment] = true
	}
	var missing []string
	for _, text := range n.Rules {
		if !have[commentOf(text)] {
			missing = append(missing, text)
		}
	}
	script.WriteString(NFTRules{Table: n.Table, Chain: n.Chain, First: n.First, Rules: missing}.Script())
	if script.Len() == 0 {
		return nil
	}
	// In a file, as what iptables-restore reads is: an argument has no room for all the rules of a big cluster.
	file := stateDir(m) + "/rules.nft"
	if err := writeMark(m, file, []byte(script.String())); err != nil {
		return err
	}
	applying := run(ctx, m, "nft", "-f", m.Path(file))
	return errors.Join(applying, remove(m, file))
}

func (n NFTRules) same(seen Op) bool { return sameSet(n.Rules, seen.(NFTRules).Rules) }

// Script is what nft(8) reads to have the rules in their chain.
func (n NFTRules) Script() string {
	var out strings.Builder
	all, verb := n.Rules, "add"
	if n.First { // each goes before the one that was there
		all, verb = slices.Clone(all), "insert"
		slices.Reverse(all)
	}
	for _, text := range all {
		fmt.Fprintf(&out, "%s rule %s %s %s comment %q\n", verb, n.Table, n.Chain, text, commentOf(text))
	}
	return out.String()
}

// commentOf is a rule's comment: it changes with the rule.
func commentOf(rule string) string {
	return ourComment + strings.TrimPrefix(digestOf([]byte(rule)), "sha256:")[:12]
}
