package engine

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/ops"
)

// promised is a plan of two phases on two targets, of which the first phase is done on a, and the same as it comes out of a file.
func promised(t *testing.T) ([]Work, map[string]*fake, []Target, []Promise) {
	t.Helper()
	works, fakes, targets := world([]Phase[in]{phase("prepare"), phase("join")}, "a", "b")
	fakes["a"].is["prepare"] = "yes"
	fakes["b"].is["join"] = "perhaps"
	plan, err := Observe(context.Background(), works, targets)
	if err != nil {
		t.Fatal(err)
	}
	said, err := plan.Promise()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	var read []Promise
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	return works, fakes, targets, read
}

func TestBreaches(t *testing.T) {
	for _, row := range []struct {
		says string
		do   func(a, b map[string]string)
		half string // the step that a run was cut off in
		want []string
	}{
		{says: "nothing changed", do: func(_, _ map[string]string) {}},
		{says: "what was to be done is done", do: func(a, b map[string]string) { a["join"], b["join"] = "yes", "yes" }},
		{says: "what was done is undone", do: func(a, _ map[string]string) { a["prepare"] = "no" }, want: []string{"a: thing:prepare: Value was yes, is no now"}},
		{says: "what was to be changed was changed to something else", do: func(_, b map[string]string) { b["join"] = "no" },
			want: []string{"b: thing:join: Value was perhaps, is no now"}},
		{says: "several at once", do: func(a, b map[string]string) { a["join"], b["prepare"] = "no", "no" },
			want: []string{"a: thing:join: Value was empty, is no now", "b: thing:prepare: Value was empty, is no now"}},
		{says: "in the middle of a step", half: "b join", do: func(_, b map[string]string) { b["join"] = "half" }},
		{says: "in the middle of another step", half: "b prepare", do: func(_, b map[string]string) { b["join"] = "half" },
			want: []string{"b: thing:join: Value was perhaps, is half now"}},
	} {
		t.Run(row.says, func(t *testing.T) {
			works, fakes, targets, said := promised(t)
			row.do(fakes["a"].is, fakes["b"].is)
			plan, err := Observe(context.Background(), works, targets)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, b := range plan.Breaches(said, func(target string, key ops.Key) bool { return target+" "+key.Name() == row.half }) {
				got = append(got, b.Error())
				if b.Diff == "" || !strings.HasPrefix(b.Diff, "--- "+string(b.Key)+" (then)\n+++ "+string(b.Key)+" (now)\n") {
					t.Errorf("the difference is shown as %q", b.Diff)
				}
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// TestWhatABreachNames: fields by name, contents by size and digest, and nothing of a secret.
func TestWhatABreachNames(t *testing.T) {
	file := func(text string, secret bool) ops.File {
		return ops.File{Path: "/f", Content: []byte(text), Mode: 0o600, Secret: secret}
	}
	gone := ops.File{Path: "/f", Absent: true}
	for _, row := range []struct {
		says     string
		was, now ops.Op
		want     string
	}{
		{"a mode", ops.File{Path: "/f", Mode: 0o644}, ops.File{Path: "/f", Mode: 0o600}, "mode was 0644, is 0600 now"},
		{"a content", file("a", false), file("bb", false), "content was 1 bytes with sha256:ca978112ca1b, is 2 bytes with sha256:3b64db95cb55 now"},
		{"a secret", ops.Masked(file("old password", true)), ops.Masked(file("new password", true)), "digest was sha256:"},
		{"gone", file("a", false), gone, "is gone"},
		{"come", gone, file("a", false), "was not there, and is there now"},
		{"a unit", ops.Unit{Name: "u", Active: true}, ops.Unit{Name: "u", Unsettled: true}, "active was true, is not set now; unsettled was not set, is true now"},
	} {
		t.Run(row.says, func(t *testing.T) {
			raw, err := json.Marshal(row.was)
			if err != nil {
				t.Fatal(err)
			}
			step := PromisedStep{Key: row.was.Key(), Was: raw, Seen: digest(row.was)}
			b, differs := breach("host", step, Change{Was: row.now})
			if !differs || !strings.HasPrefix(b.Says, row.want) {
				t.Errorf("got %q, want %q", b.Says, row.want)
			}
			if strings.Contains(b.Says+b.Diff, "password") {
				t.Errorf("a secret is told: %q %q", b.Says, b.Diff)
			}
		})
	}
}

// TestAPromiseHoldsNoSecret: neither what is wished nor what was seen.
func TestAPromiseHoldsNoSecret(t *testing.T) {
	secret := ops.File{Path: "/f", Content: []byte("the password"), Mode: 0o600, Secret: true}
	key := ops.File{Path: "/k", Content: []byte("-----BEGIN PRIVATE KEY-----\nabc\n"), Mode: 0o600}
	plan := &Plan{Works: []PlannedWork{{
		Work: Work{Target: "a", Phase: "p", Steps: []Step{{Op: secret}, {Op: key}}},
		Seen: []ops.Op{secret, key}, Changes: []Change{{Step: Step{Op: secret}, Was: secret}, {Step: Step{Op: key}, Was: key}},
	}}}
	said, err := plan.Promise()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"password", "dGhlIHBhc3N3b3Jk", "LS0tLS1CRUdJTiBQ"} { // in base64 as well
		if strings.Contains(string(raw), text) {
			t.Errorf("it holds %s:\n%s", text, raw)
		}
	}
}

func TestOtherSteps(t *testing.T) {
	for _, row := range []struct {
		says   string
		phases []Phase[in]
		specs  []string
		want   []string
	}{
		{"the same", []Phase[in]{phase("prepare"), phase("join")}, []string{"a", "b"}, nil},
		{"one more", []Phase[in]{phase("prepare"), phase("extra"), phase("join")}, []string{"a", "b"},
			[]string{"a: thing:extra: is a step that the plan does not have", "b: thing:extra: is a step that the plan does not have"}},
		{"one less", []Phase[in]{phase("prepare")}, []string{"a", "b"},
			[]string{"a: thing:join: was a step of the plan, and is none any more", "b: thing:join: was a step of the plan, and is none any more"}},
		{"another order", []Phase[in]{phase("join"), phase("prepare")}, []string{"a", "b"},
			[]string{"a: thing:join: comes at another place than in the plan", "b: thing:join: comes at another place than in the plan"}},
		{"another target", []Phase[in]{phase("prepare"), phase("join")}, []string{"a", "c"},
			[]string{"b: is not among the targets any more", "c: thing:prepare: is a step that the plan does not have"}},
		{"another wish", []Phase[in]{phase("prepare"), {Name: "join", Steps: func(in) ([]Step, error) {
			return []Step{{Op: thing{"join", "otherwise"}, Why: "x"}}, nil
		}}}, []string{"a"}, []string{"b: is not among the targets any more",
			"a: thing:join: should be otherwise now than the plan says, by what the hosts say of themselves"}},
	} {
		t.Run(row.says, func(t *testing.T) {
			_, _, _, said := promised(t)
			works, _, _ := world(row.phases, row.specs...)
			var got []string
			for _, b := range Steps(said, works) {
				got = append(got, b.Error())
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}
