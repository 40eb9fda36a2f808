package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"

	"github.com/kubewright/kubewright/ops"
)

// undoRun puts every key that the last run changed back to how it was before that run; the caller says which run it takes for the last. What was there
// before is set in the order in which the run came to it, so that a unit is restarted after the files it reads; then what the run brought goes, the
// last first. In the end the journal reads as if the run had not been. A host of which no earlier run is remembered is reset.
//
// It may be killed anywhere and repeated; and a run that comes in between continues the one that was being undone.
func (w *worker) undoRun(ctx context.Context, m ops.Machine, run string, emit func(ops.Progress)) error {
	w.journal.close()
	w.journal = nil
	if _, err := os.Lstat(w.dir); errors.Is(err, os.ErrNotExist) {
		return errNothing
	}
	j, err := openJournal(w.dir)
	if err != nil {
		return err
	}
	defer j.close()
	g := j.last
	switch {
	case g == nil || g.spent:
		return errNothing
	case g.run != run:
		return fmt.Errorf("the last run here was %s, not %s", g.run, run)
	case g.resets:
		return errors.New("a reset was begun on this host and not finished; repeat reset")
	case j.first():
		return w.reset(ctx, m, emit)
	}
	if !g.open {
		err := j.write(record{State: undoing, Time: m.Now().UTC(), Run: run})
		if err = errors.Join(err, j.sync()); err != nil {
			return err
		}
	}
	var order []*change
	var brought []*change
	for _, c := range g.changes {
		if was, err := ops.Decode(c.Was); err == nil && !wasThere(was) {
			brought = append(brought, c)
		} else {
			order = append(order, c)
		}
	}
	slices.Reverse(brought)
	var failed []*StepError
	for _, c := range append(order, brought...) {
		if fault := w.takeBack(ctx, m, c, emit); fault != nil {
			failed = append(failed, fault)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(failed) > 0 {
		return &ResetError{Failed: failed}
	}
	for _, c := range g.changes {
		if !shared(c.Key) {
			continue
		}
		// A file with several parts of ours has its bytes, and so may have its times, only now.
		if err := w.restore(m, c, true); err != nil {
			return err
		}
	}
	if err := j.rewind(m, w.dir); err != nil {
		return err
	}
	rest, _, err := readJournal(w.dir)
	if err == nil {
		w.prune(rest)
	}
	return err
}

var errNothing = errors.New("there is no run to undo: of those before the last only what reset needs is remembered")

// takeBack undoes one key of the last run and tells how that went.
func (w *worker) takeBack(ctx context.Context, m ops.Machine, c *change, emit func(ops.Progress)) *StepError {
	began := m.Now()
	emit(ops.Progress{Key: c.Key, State: ops.Began})
	state, _, err := w.putBackOne(ctx, m, c, nil)
	if err == nil {
		var again bool
		if again, err = w.startAgain(ctx, m, c, state); again {
			state = ops.Changed
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	p := ops.Progress{Key: c.Key, State: state, Took: m.Now().Sub(began)}
	var fault *StepError
	if err != nil {
		p.State, p.Error, p.Last = ops.Failed, clip(err.Error(), maxMessage), clipFront(ops.LastLines(err), maxLast)
		fault = &StepError{Phase: c.Phase, Key: c.Key, Why: c.Why, Cause: err, Last: p.Last}
	}
	emit(p)
	return fault
}

// startAgain restarts a unit that the run restarted for something that no comparison of units shows: a file that it had read before, or a digest that it
// did not have then.
func (w *worker) startAgain(ctx context.Context, m ops.Machine, c *change, state ops.State) (bool, error) {
	was, err := ops.Decode(c.Was)
	unit, ok := was.(ops.Unit)
	if err != nil || !ok || !unit.Active || state == ops.Changed {
		return false, err
	}
	switch {
	case unit.Outdated != "":
		if err := w.begin(ctx); err != nil {
			return false, err
		}
		defer w.end()
		if err := m.Units().Reload(ctx); err != nil {
			return false, err
		}
		return true, m.Units().Restart(ctx, unit.Name)
	case unit.Inputs == "":
		return false, w.renew(ctx, m, unit.Name)
	}
	return false, nil
}

// wasThere says whether an observation is of a thing that was there, in whatever state.
func wasThere(op ops.Op) bool {
	switch op := op.(type) {
	case ops.Unit:
		return op.Active
	case ops.Probe:
		return op.OK
	case ops.Claim:
		return op.Held
	}
	v := reflect.Indirect(reflect.ValueOf(op))
	for name, there := range map[string]bool{"Absent": false, "Present": true, "Loaded": true} {
		if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.Bool && f.Bool() != there {
			return false
		}
	}
	return true
}
