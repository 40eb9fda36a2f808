package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/ops"
)

func TestObserveAsksEveryTargetOnce(t *testing.T) {
	works, fakes, targets := world([]Phase[in]{phase("prepare"), phase("join")}, "a", "b")
	fakes["a"].is["prepare"] = "yes"
	plan, err := Observe(context.Background(), works, targets)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range fakes {
		if f.observed != 1 {
			t.Errorf("%s was observed %d times", name, f.observed)
		}
	}
	for _, row := range []struct {
		target, phase string
		want          int
	}{{"", "", 3}, {"a", "", 1}, {"b", "", 2}, {"", "join", 2}, {"a", "prepare", 0}, {"a", "join", 1}} {
		if got := plan.Count(row.target, row.phase); got != row.want {
			t.Errorf("Count(%q, %q) = %d, want %d", row.target, row.phase, got, row.want)
		}
	}
	if plan.Empty() {
		t.Error("a plan with changes says that it is empty")
	}
	if got := strings.Join(plan.Targets(), " "); got != "a b" {
		t.Errorf("targets: %s", got)
	}
}

func TestAPlanWithNothingToDoIsEmpty(t *testing.T) {
	works, fakes, targets := world([]Phase[in]{phase("prepare")}, "a")
	fakes["a"].is["prepare"] = "yes"
	plan, err := Observe(context.Background(), works, targets)
	if err != nil || !plan.Empty() {
		t.Errorf("empty %v, error %v", plan.Empty(), err)
	}
}

func TestATargetThatCannotBeSeenDoesNotHideTheOthers(t *testing.T) {
	works, fakes, targets := world([]Phase[in]{phase("prepare")}, "a", "b", "c", "d")
	gone := errors.New("connection refused")
	fakes["b"].blind = gone
	plan, err := Observe(context.Background(), works, targets[:3]) // d is not connected
	if err == nil || err.Error() != "b: connection refused\nd: not connected" {
		t.Errorf("error: %v", err)
	}
	var step *StepError
	if !errors.Is(err, gone) || !errors.As(err, &step) || step.Target != "b" {
		t.Errorf("the cause is lost: %#v", err)
	}
	if plan.Count("a", "") != 1 || plan.Count("c", "") != 1 {
		t.Error("the others' changes are lost")
	}
	if plan.Empty() || plan.Works[1].Err == nil || plan.Works[3].Err == nil {
		t.Error("the plan does not say that b and d are unknown")
	}
}

// liar answers with something other than what it was asked.
type liar struct {
	*fake
	answer []Step
}

func (l liar) Observe(context.Context, []ops.Op) (seen []ops.Op, _ error) {
	for _, s := range l.answer {
		seen = append(seen, s.Op)
	}
	return seen, nil
}

func TestAnAnswerToAnotherQuestionIsAnError(t *testing.T) {
	works, fakes, _ := world([]Phase[in]{phase("prepare")}, "a")
	for _, row := range []struct {
		says   string
		answer []Step
		want   string
	}{
		{"too few", nil, "a: was asked about 1 things and answered about 0"},
		{"another key", []Step{{Op: thing{Name: "x"}}}, "a: was asked about thing:prepare and answered about something else"},
		{"another kind", []Step{{Op: advised{thing{Name: "prepare"}}}}, "a: was asked about thing:prepare and answered about something else"},
		{"nothing at all", []Step{{}}, "a: was asked about thing:prepare and answered about something else"},
	} {
		t.Run(row.says, func(t *testing.T) {
			_, err := Observe(context.Background(), works, []Target{liar{fakes["a"], row.answer}})
			if err == nil || err.Error() != row.want {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	for _, row := range []struct {
		says      string
		was, wish ops.Op
		verb      string
		diff      string
	}{
		{"another value", thing{"x", "no"}, thing{"x", "yes"}, "change",
			"--- thing:x (now)\n+++ thing:x (wanted)\n@@ -1,2 +1,2 @@\n Name: x\n-Value: no\n+Value: yes\n"},
		{"a new link", ops.Symlink{Path: "/a", Absent: true}, ops.Symlink{Path: "/a", Target: "/b"}, "create",
			"--- link:/a (absent)\n+++ link:/a (wanted)\n@@ -0,0 +1,2 @@\n+path: /a\n+target: /b\n"},
		{"a link no more", ops.Symlink{Path: "/a", Target: "/b"}, ops.Symlink{Path: "/a", Absent: true}, "remove",
			"--- link:/a (now)\n+++ link:/a (absent)\n@@ -1,2 +0,0 @@\n-path: /a\n-target: /b\n"},
		{"a module that is not loaded", ops.Module{Name: "m"}, ops.Module{Name: "m", Loaded: true}, "create",
			"--- module:m (absent)\n+++ module:m (wanted)\n@@ -0,0 +1,2 @@\n+name: m\n+loaded: true\n"},
	} {
		t.Run(row.says, func(t *testing.T) {
			c := Change{Step: Step{Op: row.wish}, Was: row.was}
			if c.Verb() != row.verb || c.Diff() != row.diff {
				t.Errorf("got  %s %q\nwant %s %q", c.Verb(), c.Diff(), row.verb, row.diff)
			}
		})
	}
}
