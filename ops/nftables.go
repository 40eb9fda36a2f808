package ops

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ruleset is what a table of nftables holds.
type ruleset struct {
	chains []nftChain
	rules  []nftRule
	more   bool // it holds sets, objects or flow tables with a name, too
}

type nftChain struct {
	name string
	base bool   // the kernel calls it itself, as the ones that iptables has from the start
	drop bool   // what comes to its end is dropped
	kind string // filter, nat or route
	hook uint32
}

type nftRule struct {
	chain, to string // to: the chain that it jumps to, if any
	handle    uint64
	comment   string
	verdict   int
	always    bool // it matches whatever comes
}

// idleTables are the tables of nftables that the new iptables keeps, that were not there before and are proven to hold nothing of anybody else: no
// chain but the kernel's own, which accept, and those with one of our prefixes, and no rule but in ours or to ours. Iptables may be run from
// containers, so that the host's own tools say nothing about it; the kernel is asked.
func idleTables(m Machine, before, prefixes []string) ([]string, error) {
	now, err := tablesOf(m)
	if err != nil {
		return nil, err
	}
	kernel, ok := find[ruled](m)
	if !ok {
		return nil, nil
	}
	var idle []string
	for _, t := range minus(now, before) {
		if !isIPTables(t) {
			continue
		}
		held, err := kernel.ruleset(t)
		if err != nil {
			return nil, err
		}
		if held.idle(prefixes) {
			idle = append(idle, t)
		}
	}
	return idle, nil
}

func (r ruleset) idle(prefixes []string) bool {
	ours := func(chain string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(chain, p) })
	}
	for _, c := range r.chains {
		if !ours(c.name) && (!c.base || c.drop) {
			return false
		}
	}
	for _, rule := range r.rules {
		if !ours(rule.chain) && !ours(rule.to) {
			return false
		}
	}
	return !r.more
}

// From linux/netfilter/nfnetlink.h and nf_tables.h: messages, and attributes by what they are of.
const (
	nftables        = 10 << 8 // subsystem
	nftGetTable     = nftables | 1
	nftDelTable     = nftables | 2
	nftGetChain     = nftables | 4
	nftDelChain     = nftables | 5
	nftGetRule      = nftables | 7
	nftGetSet       = nftables | 10
	nftGetObject    = nftables | 19
	nftGetFlowTable = nftables | 23
	nftBatchBegin   = 0x10
	nftBatchEnd     = 0x11

	nftTableName    = 1 // in all of them
	nftChainName    = 3
	nftChainHook    = 4
	nftChainPolicy  = 5
	nftChainType    = 7
	nftHookNumber   = 1
	nftRuleChain    = 2
	nftRuleHandle   = 3
	nftRuleExprs    = 4
	nftRuleUserdata = 7
	nftSetFlags     = 3
	nftSetAnonymous = 1
	nftExprName     = 1
	nftExprData     = 2
	nftImmediate    = 2 // the data of an expression of this name
	nftVerdict      = 2
	nftVerdictCode  = 1
	nftVerdictChain = 2
)

func (h *host) ruleset(table string) (r ruleset, err error) {
	for range 10 {
		if r, err = readRuleset(table); !errors.Is(err, unix.EINTR) { // else it was changed meanwhile
			return r, err
		}
	}
	return r, err
}

func readRuleset(table string) (r ruleset, err error) {
	chains, err := nftIn(table, nftGetChain)
	if err != nil {
		return r, err
	}
	for _, c := range chains {
		policy, _ := attribute(c, nftChainPolicy)
		at, hooked := attribute(c, nftChainHook)
		chain := nftChain{name: nftString(c, nftChainName), base: hooked, drop: len(policy) == 4 && binary.BigEndian.Uint32(policy) == 0, kind: nftString(c, nftChainType)}
		if number, ok := attribute(at, nftHookNumber); ok && len(number) == 4 {
			chain.hook = binary.BigEndian.Uint32(number)
		}
		r.chains = append(r.chains, chain)
	}
	rules, err := nftIn(table, nftGetRule)
	if err != nil {
		return r, err
	}
	for _, rule := range rules {
		one := nftRule{chain: nftString(rule, nftRuleChain), to: jump(rule), comment: comment(rule)}
		if handle, ok := attribute(rule, nftRuleHandle); ok && len(handle) == 8 {
			one.handle = binary.BigEndian.Uint64(handle)
		}
		expressions, _ := attribute(rule, nftRuleExprs)
		one.verdict, one.always = judge(expressions)
		r.rules = append(r.rules, one)
	}
	for _, kind := range []uint16{nftGetSet, nftGetObject, nftGetFlowTable} {
		others, err := nftIn(table, kind)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // a kernel that does not know them has none
		}
		if err != nil {
			return r, err
		}
		for _, o := range others {
			flags, _ := attribute(o, nftSetFlags)
			r.more = r.more || kind != nftGetSet || len(flags) != 4 || binary.BigEndian.Uint32(flags)&nftSetAnonymous == 0
		}
	}
	return r, nil
}

// jump is the chain that a rule leads to.
func jump(rule []byte) string {
	expressions, _ := attribute(rule, nftRuleExprs)
	for len(expressions) >= 4 {
		size := int(binary.NativeEndian.Uint16(expressions))
		if size < 4 || size > len(expressions) {
			return ""
		}
		e := expressions[4:size]
		if nftString(e, nftExprName) == "immediate" {
			for _, kind := range []uint16{nftExprData, nftImmediate, nftVerdict} {
				e, _ = attribute(e, kind)
			}
			if chain := nftString(e, nftVerdictChain); chain != "" {
				return chain
			}
		}
		expressions = expressions[min(len(expressions), (size+3)&^3):]
	}
	return ""
}

// nftIn lists what there is of a kind in a table, each as its attributes.
func nftIn(table string, kind uint16) ([][]byte, error) {
	family, name, _ := strings.Cut(table, " ")
	for number, word := range nftFamilies {
		if word != family {
			continue
		}
		answers, err := nftDump(kind, number, newAttribute(nftTableName, append([]byte(name), 0))...)
		if err != nil {
			return nil, err
		}
		var out [][]byte
		for _, a := range answers {
			if len(a) >= 4 && a[0] == number && nftString(a[4:], nftTableName) == name {
				out = append(out, a[4:])
			}
		}
		return out, nil
	}
	return nil, errors.New(table + " is not a table of nftables")
}

// nftDump asks for everything of a kind. Where attributes name a table the kernel leaves out what lies in others, as far as it can.
func nftDump(kind uint16, family byte, attributes ...byte) ([][]byte, error) {
	return netlink(unix.NETLINK_NETFILTER, message{kind: kind, flags: unix.NLM_F_DUMP, body: append([]byte{family, 0, 0, 0}, attributes...)})
}

func nftString(attributes []byte, kind uint16) string {
	value, _ := attribute(attributes, kind)
	return string(bytes.TrimRight(value, "\x00"))
}
