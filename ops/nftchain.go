package ops

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// Chain is a chain of nftables that the kernel itself sends packets through.
type Chain struct {
	Table string `json:"table"` // "inet filter"
	Name  string `json:"name"`
	Hook  string `json:"hook"`            // input, forward or output
	Ends  bool   `json:"ends,omitempty"`  // a rule of it, or of one that it jumps to, stops whatever comes there: what is appended is never reached
	Stops bool   `json:"stops,omitempty"` // what no rule speaks of does not get through, by such a rule or by the chain's policy
}

// FilterChains are the machine's chains that filter what comes in, through or out, in tables of families that see IPv4, those with one of the given names aside. Our own
// rules in them do not count. Where the kernel cannot be asked there are none.
func FilterChains(m Machine, but ...string) []Chain {
	kernel, ok := find[ruled](m)
	if !ok {
		return nil
	}
	tables, err := tablesOf(m)
	if err != nil {
		return nil
	}
	var out []Chain
	for _, t := range tables {
		// Of iptables' tables one filters; the others may hold a rule for every endpoint of a Service.
		if family, name, _ := strings.Cut(t, " "); family != "ip" && family != "inet" || slices.Contains(but, name) || isIPTables(t) && name != "filter" {
			continue
		}
		set, err := kernel.ruleset(t)
		if err != nil {
			continue
		}
		for _, c := range set.chains {
			hook := filterHooks[c.hook]
			if !c.base || c.kind != "filter" || hook == "" {
				continue
			}
			end := set.end(c.name, map[string]bool{})
			out = append(out, Chain{Table: t, Name: c.name, Hook: hook, Ends: end == stopped, Stops: end == stopped || end == open && c.drop})
		}
	}
	slices.SortFunc(out, func(a, b Chain) int { return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Name, b.Name)) })
	return out
}

// From linux/netfilter.h.
var filterHooks = map[uint32]string{1: "input", 2: "forward", 3: "output"}

// How a packet that no rule speaks of leaves a chain.
const (
	open    = iota // at its end
	passed         // by a rule that accepts everything
	stopped        // by a rule that drops or rejects everything
)

// end walks through a chain as such a packet does. Chains cannot jump in circles: the kernel refuses that.
func (r ruleset) end(chain string, seen map[string]bool) int {
	if seen[chain] {
		return open
	}
	seen[chain] = true
	for _, rule := range r.rules {
		if rule.chain != chain || !rule.always || ours(rule.comment) {
			continue
		}
		switch rule.verdict {
		case nftDrop:
			return stopped
		case nftAccept:
			return passed
		case nftReturn:
			return open
		case nftJump, nftGoto:
			if end := r.end(rule.to, seen); end != open || rule.verdict == nftGoto {
				return end
			}
		}
	}
	return open
}

// Verdicts, from linux/netfilter.h and nf_tables.h. A reject counts as a drop.
const (
	nftNone   = -100 // none of these
	nftDrop   = 0
	nftAccept = 1
	nftJump   = -3
	nftGoto   = -4
	nftReturn = -5
)

// judge reads a rule's expressions: what becomes of a packet that it matches, and whether it matches all of them.
func judge(expressions []byte) (verdict int, always bool) {
	verdict, always = nftNone, true
	for len(expressions) >= 4 {
		size := int(binary.NativeEndian.Uint16(expressions))
		if size < 4 || size > len(expressions) {
			return nftNone, false
		}
		e := expressions[4:size]
		switch nftString(e, nftExprName) {
		case "counter", "log":
		case "reject":
			verdict = nftDrop
		case "immediate":
			for _, kind := range []uint16{nftExprData, nftImmediate, nftVerdict} {
				e, _ = attribute(e, kind)
			}
			if code, ok := attribute(e, nftVerdictCode); ok && len(code) == 4 {
				verdict = int(int32(binary.BigEndian.Uint32(code)))
			}
		default:
			always = false
		}
		expressions = expressions[min(len(expressions), (size+3)&^3):]
	}
	return verdict, always
}

// comment is what a rule says about itself: an entry of kind 0 in its user data (libnftnl/udata.h).
func comment(rule []byte) string {
	data, _ := attribute(rule, nftRuleUserdata)
	for len(data) >= 2 {
		size := min(int(data[1]), len(data)-2)
		if data[0] == 0 {
			return strings.TrimRight(string(data[2:2+size]), "\x00")
		}
		data = data[2+size:]
	}
	return ""
}
