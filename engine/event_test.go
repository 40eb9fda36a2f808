package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/ops"
)

func TestTheStoryOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("prepare"), phase("serve"), phase("join", "serve")}, "m=prepare,serve", "w=join")
		fakes["m"].is["prepare"] = "yes"
		fakes["m"].takes["serve"] = 25 * time.Second
		s, err := carry(t, t.Context(), works, targets, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := `phase_finished prepare m same
phase_started serve m
step serve m thing:serve began
running serve m thing:serve
running serve m thing:serve
step serve m thing:serve changed
phase_finished serve m changed
`
		var m said
		for _, e := range s.events {
			if e.Target == "m" {
				m.emit(e)
			}
		}
		if got := m.story(PhaseStarted, StepEvent, Running, Waiting, PhaseFinished); got != want {
			t.Errorf("of m: got\n%s\nwant\n%s", got, want)
		}
		want = `waiting join w for [serve on m] since 0s
waiting join w for [serve on m] since 10s
waiting join w for [serve on m] since 20s
phase_started join w after serve on m waited 25s
phase_finished join w changed
`
		var w said
		for _, e := range s.events {
			if e.Target == "w" {
				w.emit(e)
			}
		}
		if got := w.story(PhaseStarted, Waiting, PhaseFinished); got != want {
			t.Errorf("of w: got\n%s\nwant\n%s", got, want)
		}
		first, last := s.events[0], s.events[len(s.events)-1]
		if first.Type != RunStarted || first.Version != EventVersion || first.Run != "r1" || first.Changes != 2 || len(first.Targets) != 2 {
			t.Errorf("first: %+v", first)
		}
		if last.Type != Summary || last.Version != 0 || last.Took != 25*time.Second || last.Changes != 2 || last.Steps != 3 {
			t.Errorf("last: %+v", last)
		}
		for i, e := range s.events[1:] {
			if e.Time.Before(s.events[i].Time) {
				t.Errorf("event %d is older than the one before it", i+1)
			}
		}
	})
}

func TestTheWaitHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("serve"), phase("join", "serve")}, "m1=serve", "m2=serve", "w=join")
		fakes["m1"].takes["serve"] = 3 * time.Hour
		fakes["m2"].takes["serve"] = 3 * time.Hour
		_, err := carry(t, t.Context(), works, targets, Options{WaitLimit: 90 * time.Second})
		if err == nil || err.Error() != "join: w: waited 1m30s for serve on m1 and 1 more" {
			t.Errorf("got %v", err)
		}
		var wait *WaitError
		if !errors.As(err, &wait) || len(wait.For) != 2 {
			t.Errorf("got %#v", err)
		}
	})
}

func TestAConsumerCannotStopTheRun(t *testing.T) {
	for _, row := range []struct {
		says string
		emit func(release <-chan struct{}) func(Event)
	}{
		{"slow", func(<-chan struct{}) func(Event) { return func(Event) { time.Sleep(time.Minute) } }},
		{"hanging", func(r <-chan struct{}) func(Event) { return func(Event) { <-r } }},
		{"panicking", func(<-chan struct{}) func(Event) { return func(Event) { panic("no paper") } }},
	} {
		t.Run(row.says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				works, fakes, targets := world([]Phase[in]{phase("a"), phase("b")}, "x", "y")
				start := time.Now()
				if _, err := carry(t, t.Context(), works, targets, Options{Emit: row.emit(release)}); err != nil {
					t.Fatal(err)
				}
				if fakes["x"].is["b"] != "yes" || fakes["y"].is["b"] != "yes" {
					t.Error("the run was not finished")
				}
				if took := time.Since(start); took > drainTime {
					t.Errorf("the consumer held the run for %s", took)
				}
				time.Sleep(time.Hour) // the slow one comes to its end
			})
		})
	}
}

func TestATargetIsNotTrustedWithTheCounts(t *testing.T) {
	n := &node{PlannedWork: PlannedWork{Work: Work{Target: "a", Phase: "p", Steps: []Step{{Op: thing{Name: "x"}, Why: "y"}}}}}
	s := &said{}
	r := &runner{events: newEmitter(s.emit)}
	f := newFollower(r, n)
	for _, p := range []ops.Progress{
		{Key: "thing:other", State: ops.Changed}, {Key: "thing:x", State: "great"}, {Key: "thing:x", State: ops.Began},
		{Key: "thing:x", State: ops.Same}, {Key: "thing:x", State: ops.Changed}, {Key: "thing:x", State: ops.Failed},
	} {
		f.progress(p)
	}
	if open := f.close(); open != 0 {
		t.Errorf("%d steps open", open)
	}
	f.progress(ops.Progress{Key: "thing:x", State: ops.Changed})
	r.events.close()
	if got := fmt.Sprint(n.same, n.changed, n.failed); got != "1 0 0" {
		t.Errorf("counted %s", got)
	}
	if got := s.story(StepEvent); got != "step p a thing:x began\nstep p a thing:x same\n" {
		t.Errorf("told:\n%s", got)
	}
}

func TestAnEventIsALineOfJSONWithoutWhatItDoesNotTell(t *testing.T) {
	b, err := json.Marshal(Event{Time: time.Unix(0, 0).UTC(), Type: Waiting, Target: "w", Phase: "join", For: []Ref{{"m", "serve"}}, Waited: time.Second})
	want := `{"time":"1970-01-01T00:00:00Z","type":"waiting","target":"w","phase":"join","waited":1000000000,"for":[{"target":"m","phase":"serve"}]}`
	if err != nil || strings.TrimSpace(string(b)) != want {
		t.Errorf("got %s, %v\nwant %s", b, err, want)
	}
}

func TestWhatAStepWaitsForIsToldAtOnce(t *testing.T) {
	n := &node{PlannedWork: PlannedWork{Work: Work{Target: "a", Phase: "p", Steps: []Step{{Op: thing{Name: "x"}, Why: "y"}}}}}
	s := &said{}
	r := &runner{events: newEmitter(s.emit)}
	f := newFollower(r, n)
	for _, p := range []ops.Progress{
		{Key: "thing:x", State: ops.Waits, Note: "too early"}, {Key: "thing:x", State: ops.Began},
		{Key: "thing:x", State: ops.Waits, Note: "for apt"}, {Key: "thing:x", State: ops.Changed}, {Key: "thing:x", State: ops.Waits, Note: "too late"},
	} {
		f.progress(p)
	}
	r.events.close()
	var notes []string
	for _, e := range s.events {
		if e.Type == Running {
			notes = append(notes, e.Note+" "+e.Why)
		}
	}
	if fmt.Sprint(notes) != "[for apt y]" || n.changed != 1 {
		t.Errorf("told %q, and %d changed", notes, n.changed)
	}
}
