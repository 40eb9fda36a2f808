package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestExpandKeepsTheOrderOfTargetsAndPhases(t *testing.T) {
	works, _, _ := world([]Phase[in]{phase("prepare"), phase("serve"), phase("join", "serve")}, "b=prepare,join", "a=prepare,serve")
	var got []string
	for _, w := range works {
		got = append(got, fmt.Sprintf("%s %v %d %s", w.Ref(), w.After, len(w.Steps), w.Short))
	}
	want := "prepare on b [] 1 do prepare|join on b [serve] 1 do join|prepare on a [] 1 do prepare|serve on a [] 1 do serve"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestExpandTellsWhatIsWrong(t *testing.T) {
	steps := func(s ...Step) Phase[in] {
		return Phase[in]{Name: "p", Steps: func(in) ([]Step, error) { return s, nil }}
	}
	good := Step{Op: thing{Name: "x"}, Why: "because"}
	for _, row := range []struct {
		says    string
		phases  []Phase[in]
		targets string
		want    []string
	}{
		{"a need that nobody declared", []Phase[in]{phase("join", "serv", "srv")}, "a", []string{`join: comes after "serv", which is not a phase`, `join: comes after "srv", which is not a phase`}},
		{"a phase declared twice", []Phase[in]{phase("join"), phase("join")}, "a", []string{"join: the phase is declared twice"}},
		{"a phase without a name", []Phase[in]{phase("")}, "a", []string{"a phase has no name"}},
		{"a phase without steps", []Phase[in]{{Name: "p"}}, "a", []string{"p: the phase has no steps function"}},
		{"a target named twice", []Phase[in]{phase("p")}, "a a", []string{"a: the target is named twice"}},
		{"steps that cannot be computed", []Phase[in]{{Name: "p", Steps: func(in) ([]Step, error) { return nil, errors.New("no address") }}}, "a", []string{"p: a: no address"}},
		{"a step that says nothing", []Phase[in]{steps(Step{Why: "because"})}, "a", []string{"p: a: step 1 has no op"}},
		{"a step that does not say why", []Phase[in]{steps(Step{Op: thing{Name: "x"}})}, "a b", []string{"p: a: thing:x: the step does not say why", "p: b: thing:x: the step does not say why"}},
		{"one thing stated twice", []Phase[in]{steps(good, good)}, "a", []string{"p: a: thing:x: already stated by phase p"}},
		{"one thing stated by two phases", []Phase[in]{phase("first"), {Name: "second", Steps: phase("first").Steps}}, "a", []string{"second: a: thing:first: already stated by phase first"}},
		{"two phases that wait for each other", []Phase[in]{phase("p", "q"), phase("q", "p")}, "a b",
			[]string{"phases wait for each other: p on a, which waits for q on b, which waits for p on b, which waits for q on a, which waits for p on a"}},
		{"a phase that waits for a later one", []Phase[in]{phase("p", "q"), phase("q")}, "a b",
			[]string{"phases wait for each other: p on a, which waits for q on b, which waits for p on b, which waits for q on a, which waits for p on a"}},
	} {
		t.Run(row.says, func(t *testing.T) {
			var at []At[in]
			for _, name := range strings.Fields(row.targets) {
				at = append(at, At[in]{Name: name})
			}
			works, err := Expand(row.phases, at)
			if err == nil {
				t.Fatalf("got %d works and no error", len(works))
			}
			if want := strings.Join(row.want, "\n"); err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
		})
	}
}

func TestTargetsThatDoNotShareTheirPhasesMayWaitForLaterOnes(t *testing.T) {
	works, _, _ := world([]Phase[in]{phase("join", "serve"), phase("serve")}, "worker=join", "master=serve")
	before, err := edges(works)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(before); got != "[[1] []]" {
		t.Errorf("got %s", got)
	}
}

func TestAPhaseAfterItselfTakesTurns(t *testing.T) {
	works, _, _ := world([]Phase[in]{phase("etcd", "etcd")}, "a", "b", "c")
	before, err := edges(works)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(before); got != "[[] [0] [0 1]]" {
		t.Errorf("got %s", got)
	}
}
