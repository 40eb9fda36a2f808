package ops

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// baseChains lists the chains that the kernel calls itself in the tables of iptables, as "ip filter INPUT": the new iptables makes each when it is first
// named. With idle it lists only those that hold nothing and accept.
func baseChains(m Machine, idle bool) ([]string, error) {
	tables, err := tablesOf(m)
	if err != nil {
		return nil, err
	}
	kernel, ok := find[ruled](m)
	if !ok {
		return nil, nil
	}
	var out []string
	for _, t := range keepIf(tables, isIPTables) {
		held, err := kernel.ruleset(t)
		if err != nil {
			return nil, err
		}
		for _, c := range held.chains {
			used := c.drop || slices.ContainsFunc(held.rules, func(r nftRule) bool { return r.chain == c.name })
			if c.base && !(idle && used) {
				out = append(out, t+" "+c.name)
			}
		}
	}
	return out, nil
}

// deleteBaseChains deletes the chains of somebody else's tables that were not there before and that nobody has anything in.
func deleteBaseChains(m Machine, before []string) error {
	idle, err := baseChains(m, true)
	if err != nil {
		return err
	}
	kernel, ok := find[ruled](m)
	if !ok {
		return nil
	}
	for _, c := range minus(idle, before) {
		if err := changing(m, "delete chain "+c); err != nil {
			return err
		}
		i := strings.LastIndexByte(c, ' ')
		// Busy: somebody has just put something into it.
		if err := kernel.deleteChain(c[:i], c[i+1:]); err != nil && !missing(err) && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("delete chain %s: %w", c, err)
		}
	}
	return nil
}

// deleteChain deletes a chain without the rules that it may have by now.
func (h *host) deleteChain(table, chain string) error {
	return nftDelete(table, nftDelChain, unix.NLM_F_NONREC, newAttribute(nftChainName, append([]byte(chain), 0)))
}
