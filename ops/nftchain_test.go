package ops

import (
	"encoding/binary"
	"slices"
	"testing"
)

// TestWhatNoRuleSpeaksOf: whether a chain stops such a packet, and whether what is appended to it would still be reached.
func TestWhatNoRuleSpeaksOf(t *testing.T) {
	always := func(verdict int, to string) nftRule {
		return nftRule{chain: "in", to: to, verdict: verdict, always: true}
	}
	other := func(r nftRule) nftRule { r.chain = "more"; return r }
	for name, row := range map[string]struct {
		drop        bool
		rules       []nftRule
		stops, ends bool
	}{
		"nothing in it":                           {false, nil, false, false},
		"a policy":                                {true, nil, true, false},
		"a rule at the end":                       {false, []nftRule{{chain: "in", verdict: nftAccept}, always(nftDrop, "")}, true, true},
		"a rule for some":                         {false, []nftRule{{chain: "in", verdict: nftDrop}}, false, false},
		"a rule that accepts the rest":            {true, []nftRule{always(nftAccept, ""), always(nftDrop, "")}, false, false},
		"a chain of its own that drops":           {false, []nftRule{always(nftJump, "more"), other(always(nftDrop, ""))}, true, true},
		"a chain of its own that returns":         {true, []nftRule{always(nftJump, "more"), other(always(nftReturn, "")), other(always(nftDrop, ""))}, true, false},
		"a chain that some go to":                 {false, []nftRule{{chain: "in", to: "more", verdict: nftJump}, other(always(nftDrop, ""))}, false, false},
		"the policy after a chain of no return":   {true, []nftRule{always(nftGoto, "more"), always(nftAccept, "")}, true, false},
		"our own rules, which are not counted in": {true, []nftRule{{chain: "in", verdict: nftAccept, always: true, comment: ourComment + "x"}}, true, false},
		"only a counter":                          {false, []nftRule{always(nftNone, "")}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tables = []string{"inet filter", "ip6 filter", "ip kube-proxy"}
			set := ruleset{chains: []nftChain{{name: "in", base: true, drop: row.drop, kind: "filter", hook: 1}, {name: "more"}, {name: "nat", base: true, drop: true, kind: "nat", hook: 1}}, rules: row.rules}
			w.rulesets = map[string]ruleset{"inet filter": set, "ip6 filter": set, "ip kube-proxy": set}
			want := []Chain{{Table: "inet filter", Name: "in", Hook: "input", Ends: row.ends, Stops: row.stops}}
			if got := FilterChains(w, "kube-proxy"); !slices.Equal(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// attr is an attribute of netlink, nested or not.
func attr(kind uint16, parts ...[]byte) []byte { return newAttribute(kind, slices.Concat(parts...)) }

func number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func expression(name string, data ...[]byte) []byte {
	return attr(1, attr(nftExprName, []byte(name+"\x00")), attr(nftExprData, data...))
}

// TestRulesAreRead: as the kernel sends them.
func TestRulesAreRead(t *testing.T) {
	verdict := func(code int32, chain string) []byte {
		v := attr(nftVerdictCode, number(uint32(code)))
		if chain != "" {
			v = slices.Concat(v, attr(nftVerdictChain, []byte(chain+"\x00")))
		}
		return expression("immediate", attr(nftImmediate, attr(nftVerdict, v)))
	}
	said := "kubewright 0123456789ab"
	for name, row := range map[string]struct {
		expressions []byte
		verdict     int
		always      bool
		to          string
	}{
		"a drop":                    {verdict(nftDrop, ""), nftDrop, true, ""},
		"a drop that is counted":    {slices.Concat(expression("counter"), verdict(nftDrop, "")), nftDrop, true, ""},
		"a reject":                  {expression("reject"), nftDrop, true, ""},
		"an accept for some":        {slices.Concat(expression("payload"), expression("cmp"), verdict(nftAccept, "")), nftAccept, false, ""},
		"a jump":                    {verdict(nftJump, "more"), nftJump, true, "more"},
		"a match without a verdict": {expression("payload"), nftNone, false, ""},
		"what is cut off":           {[]byte{200, 0, 1, 0}, nftNone, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rule := slices.Concat(attr(nftRuleExprs, row.expressions), attr(nftRuleUserdata, []byte{2, 1, 9, 0, byte(len(said) + 1)}, []byte(said+"\x00")))
			if v, always := judge(row.expressions); v != row.verdict || always != row.always {
				t.Errorf("judged %d, %t", v, always)
			}
			if got := jump(rule); got != row.to {
				t.Errorf("leads to %q", got)
			}
			if got := comment(rule); got != said {
				t.Errorf("says %q", got)
			}
		})
	}
	for _, data := range [][]byte{nil, {0}, {0, 200, 'x'}, {5, 0}} {
		_ = comment(attr(nftRuleUserdata, data)) // does not panic
	}
}

func TestAWishThatChangedTakesItsOldRulesAway(t *testing.T) {
	w := newWorld(t)
	w.Filter(Chain{Table: "inet filter", Name: "input"})
	before := w.snapshot(t)
	old := NFTRules{Table: "inet filter", Chain: "input", Rules: []string{"tcp dport 1 accept", "tcp dport 2 accept"}}
	first := observe(t, w, old)
	now := old
	now.Rules = []string{"tcp dport 2 accept", "tcp dport 3 accept"}
	for _, wish := range []NFTRules{old, now} {
		if err := set(t, w, wish); err != nil {
			t.Fatal(err)
		}
		if seen := observe(t, w, wish); !Equal(wish, seen) {
			t.Errorf("got %+v", seen)
		}
	}
	if n := len(w.rulesets["inet filter"].rules); n != 3 {
		t.Errorf("%d rules are there, theirs and two of ours should be", n)
	}
	if err := undo(t, w, first, now); err != nil {
		t.Fatal(err)
	}
	if after := w.snapshot(t); after != before {
		t.Error(differing(before, after))
	}
}
