package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/aymanbagabas/go-udiff"

	"github.com/kubewright/kubewright/ops"
)

// Plan is what would be done: all works, each with what is to be changed. A plan with nothing to change is the proof that the
// targets are as they should be.
type Plan struct {
	Works []PlannedWork
}

// PlannedWork is a work after a look at its target.
type PlannedWork struct {
	Work
	Seen    []ops.Op // how each step's thing is now
	Changes []Change // the steps whose things are not as they should be
	Err     error    // why the target could not be looked at; then Changes is unknown
}

// Change is a step that is not so yet.
type Change struct {
	Step
	Was  ops.Op // how it is now
	Note string // what is known of how it came to be so
}

// Diff shows the change as a unified diff of the two statements, without secrets.
func (c Change) Diff() string { return c.between("now", "wanted") }

// between is the diff with other words for its two sides.
func (c Change) between(then, later string) string {
	side := func(op ops.Op, when string) (label, text string) {
		if !present(op) {
			return string(op.Key()) + " (absent)", ""
		}
		return string(op.Key()) + " (" + when + ")", ops.Text(op)
	}
	is, was := side(c.Was, then)
	wanted, wish := side(c.Op, later)
	return udiff.Unified(is, wanted, was, wish)
}

// Empty says that every target was looked at and nothing is to be done.
func (p *Plan) Empty() bool {
	for _, w := range p.Works {
		if w.Err != nil || len(w.Changes) > 0 {
			return false
		}
	}
	return true
}

// Count is the number of changes on a target in a phase; an empty name stands for all of them.
func (p *Plan) Count(target, phase string) int {
	n := 0
	for _, w := range p.Works {
		if (target == "" || w.Target == target) && (phase == "" || w.Phase == phase) {
			n += len(w.Changes)
		}
	}
	return n
}

// Targets names the targets in their order.
func (p *Plan) Targets() []string {
	works := make([]Work, len(p.Works))
	for i, w := range p.Works {
		works[i] = w.Work
	}
	return targetNames(works)
}

func targetNames(works []Work) []string {
	var names []string
	seen := map[string]bool{}
	for _, w := range works {
		if !seen[w.Target] {
			seen[w.Target] = true
			names = append(names, w.Target)
		}
	}
	return names
}

// Observe looks at every target once, all at the same time, and returns the plan. It changes nothing. A target that cannot be
// looked at, or that is missing, does not hide the others: its works say so, and the error names it.
func Observe(ctx context.Context, works []Work, targets []Target) (*Plan, error) {
	plan := &Plan{Works: make([]PlannedWork, len(works))}
	mine := map[string][]int{} // a target's works
	for i, w := range works {
		plan.Works[i].Work = w
		mine[w.Target] = append(mine[w.Target], i)
	}
	byName := map[string]Target{}
	for _, t := range targets {
		byName[t.Name()] = t
	}

	names := targetNames(works)
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for n, name := range names {
		wg.Go(func() {
			err := observe(ctx, plan, mine[name], byName[name])
			if err == nil {
				return
			}
			for _, i := range mine[name] {
				plan.Works[i].Err = err
			}
			errs[n] = err
		})
	}
	wg.Wait()
	for n, err := range errs { // only now: it goes through all the works, which the others were writing
		if err != nil {
			errs[n] = plan.blame(names[n], err)
		}
	}
	return plan, errors.Join(errs...)
}

// blame says which step of which phase could not be looked at, where the error knows.
func (p *Plan) blame(target string, err error) *StepError {
	e := &StepError{Target: target, Cause: err, Remedy: remedy(nil, err)}
	var fault ops.Fault
	if !errors.As(err, &fault) {
		return e
	}
	e.Unseen = true
	e.Key, e.Last, e.Cause = fault.Fault()
	for _, w := range p.Works {
		for _, s := range w.Steps {
			if w.Target == target && s.Op.Key() == e.Key {
				e.Phase, e.Why, e.Remedy = w.Phase, s.Why, remedy(s.Op, err)
			}
		}
	}
	return e
}

// observe fills in the changes of one target's works.
func observe(ctx context.Context, plan *Plan, mine []int, t Target) error {
	if t == nil {
		return errors.New("not connected")
	}
	var wishes []ops.Op
	for _, i := range mine {
		for _, s := range plan.Works[i].Steps {
			wishes = append(wishes, s.Op)
		}
	}
	if len(wishes) == 0 {
		return nil
	}
	seen, err := t.Observe(ctx, wishes)
	if err != nil {
		return err
	}
	if len(seen) != len(wishes) {
		return fmt.Errorf("was asked about %d things and answered about %d", len(wishes), len(seen))
	}
	for i, is := range seen {
		if reflect.TypeOf(is) != reflect.TypeOf(wishes[i]) || is.Key() != wishes[i].Key() {
			return fmt.Errorf("was asked about %s and answered about something else", wishes[i].Key())
		}
	}
	for _, i := range mine {
		w := &plan.Works[i]
		for _, s := range w.Steps {
			w.Seen = append(w.Seen, seen[0])
			if !ops.Equal(s.Op, seen[0]) {
				w.Changes = append(w.Changes, Change{Step: s, Was: seen[0]})
			}
			seen = seen[1:]
		}
	}
	return nil
}

// Verb says in one word what the change does: create, change or remove.
func (c Change) Verb() string {
	switch wished, was := present(c.Op), present(c.Was); {
	case wished && !was:
		return "create"
	case was && !wished:
		return "remove"
	}
	return "change"
}

// present says whether an op states that its thing is there. Kinds whose thing can be missing say so in a field named Absent, Present
// or Loaded; of all others the thing is always there, in some state.
func present(op ops.Op) bool {
	v := reflect.Indirect(reflect.ValueOf(op))
	if v.Kind() != reflect.Struct {
		return true
	}
	for name, there := range map[string]bool{"Absent": false, "Present": true, "Loaded": true} {
		if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.Bool {
			return f.Bool() == there
		}
	}
	return true
}
