package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

// lap is one phase that was carried out on one target.
type lap struct {
	engine.Ref
	began, ended time.Time
	waited       time.Duration
	after        *engine.Ref // what it had to wait for
	previous     *lap        // on the same target
	critical     bool
}

// step is one step that took time.
type step struct {
	engine.Ref
	key  ops.Key
	took time.Duration
}

// Timing writes where the time of a finished run went: every phase of every target, the chain of phases that made the run as
// long as it was, and the slowest steps.
func Timing(w io.Writer, events []engine.Event) error {
	laps, steps, start, total := collect(events)
	path := critical(laps)
	out := quiet{w: w}
	fmt.Fprintf(&out, "where the time went: %s\n\n", span(total))
	rows := [][]string{{"target", "phase", "began", "waited", "took", ""}}
	last := ""
	for _, l := range laps {
		row := []string{"", l.Phase, span(l.began.Sub(start)), "", span(l.ended.Sub(l.began)), ""}
		if l.Target != last {
			row[0], last = Escape(l.Target), l.Target
		}
		if l.after != nil {
			row[3] = span(l.waited)
		}
		if l.critical {
			row[5] = "critical"
		}
		rows = append(rows, row)
	}
	table(&out, "", rows, 2, 3, 4)

	if len(path) > 0 {
		var sum time.Duration
		var names []string
		for _, l := range path {
			sum += l.ended.Sub(l.began)
			names = append(names, fmt.Sprintf("%s %s", Escape(l.Ref.String()), span(l.ended.Sub(l.began))))
		}
		fmt.Fprintf(&out, "\ncritical path: %s of %s\n  %s\n", span(sum), span(total), strings.Join(names, "\n  "))
	}
	if len(steps) > 0 {
		fmt.Fprintf(&out, "\nslowest steps\n")
		rows = nil
		for _, s := range steps[:min(10, len(steps))] {
			rows = append(rows, []string{span(s.took), Escape(s.Target), s.Phase, Escape(string(s.key))})
		}
		table(&out, "  ", rows, 0)
	}
	return out.err
}

// collect reads the laps, target by target, and the steps, slowest first.
func collect(events []engine.Event) (laps []*lap, steps []step, start time.Time, total time.Duration) {
	last := map[string]*lap{}
	var order []string
	for _, e := range events {
		at := engine.Ref{Target: e.Target, Phase: e.Phase}
		switch e.Type {
		case engine.RunStarted:
			start = e.Time
		case engine.PhaseStarted:
			l := &lap{Ref: at, began: e.Time, ended: e.Time, waited: e.Waited, after: e.After, previous: last[e.Target]}
			if l.previous == nil {
				order = append(order, e.Target)
			}
			laps = append(laps, l)
			last[e.Target] = l
		case engine.PhaseFinished:
			if l := last[e.Target]; l != nil && l.Ref == at {
				l.ended = e.Time
			}
		case engine.StepEvent:
			if e.State != ops.Began && e.Took > 0 {
				steps = append(steps, step{at, e.Key, e.Took})
			}
		case engine.Summary:
			total = e.Took
		}
	}
	slices.SortStableFunc(laps, func(a, b *lap) int { return slices.Index(order, a.Target) - slices.Index(order, b.Target) })
	slices.SortStableFunc(steps, func(a, b step) int { return int(b.took - a.took) })
	return laps, steps, start, total
}

// critical marks and returns the chain that ends with what ended last: before each phase comes what it waited for or, if it
// did not have to wait, the one before it on its target.
func critical(laps []*lap) []*lap {
	byRef := map[engine.Ref]*lap{}
	var at *lap
	for _, l := range laps {
		byRef[l.Ref] = l
		if at == nil || l.ended.After(at.ended) {
			at = l
		}
	}
	var path []*lap
	for at != nil && !at.critical {
		at.critical = true
		path = append(path, at)
		before := at.previous
		if at.after != nil && byRef[*at.after] != nil {
			before = byRef[*at.after]
		}
		at = before
	}
	slices.Reverse(path)
	return path
}
