package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/kubewright/kubewright/ops"
)

// worker changes one host. It does one thing at a time; Serve sees to that.
type worker struct {
	dir     string // the state directory, as this process can open it
	journal *journal
	log     func(format string, args ...any)
	// change is held from just before a change until it is recorded, so that whoever ends the agent can wait for a safe point.
	change chan struct{}
}

// observe looks at many things at once, and returns them in the order they were asked for.
func (w *worker) observe(ctx context.Context, m ops.Machine, steps []ops.Step) ([]ops.Op, error) {
	seen := make([]ops.Op, len(steps))
	errs := make([]error, len(steps))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, step := range steps {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			seen[i], errs[i] = w.look(ctx, m, step.Op)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, &StepError{Key: steps[i].Op.Key(), Why: steps[i].Why, Cause: err, Last: ops.LastLines(err)}
		}
	}
	return seen, nil
}

// apply makes the steps so, one after the other, and stops at the first that fails. emit is told what becomes of each.
func (w *worker) apply(ctx context.Context, m ops.Machine, run, phase string, steps []ops.Step, emit func(ops.Progress)) error {
	for _, step := range steps {
		key, began := step.Op.Key(), m.Now()
		emit(ops.Progress{Key: key, State: ops.Began})
		state, err := w.step(ctx, m, run, phase, step)
		p := ops.Progress{Key: key, State: state, Took: m.Now().Sub(began)}
		if err != nil {
			p.State, p.Error, p.Last = ops.Failed, clip(err.Error(), maxMessage), clipFront(ops.LastLines(err), maxLast)
			emit(p)
			return &StepError{Phase: phase, Key: key, Why: step.Why, Cause: err, Last: p.Last}
		}
		emit(p)
	}
	if err := ops.SaveDigests(m); err != nil {
		w.log("%v", err)
	}
	return nil
}

func (w *worker) step(ctx context.Context, m ops.Machine, run, phase string, step ops.Step) (state ops.State, err error) {
	defer w.caught(step.Op, &err)
	m = asking(m, step.Op)
	was, err := w.look(ctx, m, step.Op)
	if err != nil {
		return "", err
	}
	if ops.Equal(step.Op, was) {
		return ops.Same, nil
	}
	if err := w.begin(ctx); err != nil {
		return "", err
	}
	defer w.end()
	if w.journal == nil {
		if w.journal, err = openJournal(w.dir); err != nil {
			return "", ops.Room(m, StateDir, 0, err)
		}
	}
	rec := record{State: intent, Time: m.Now().UTC(), Run: run, Phase: phase, Key: step.Op.Key(), Why: step.Why}
	if rec.Wish, err = ops.Encode(ops.Masked(step.Op)); err != nil {
		return "", err
	}
	if rec.Was, err = ops.Encode(ops.Masked(was)); err != nil {
		return "", err
	}
	if rec.Kept, rec.Aside, err = keep(m, w.dir, w.journal, step.Op); err != nil {
		return "", ops.Room(m, StateDir, 0, err)
	}
	another := w.journal.last == nil || !w.journal.last.open
	if err := w.journal.write(rec); err != nil {
		return "", ops.Room(m, StateDir, 0, err)
	}
	if another {
		w.prune(w.journal) // the run before this one cannot be undone any more
	}
	if err := w.set(ctx, m, step.Op, was); err != nil {
		return "", err
	}
	now, err := w.look(ctx, m, step.Op)
	if err != nil {
		return "", fmt.Errorf("was set, but cannot be observed: %w", err)
	}
	if !ops.Equal(step.Op, now) {
		return "", fmt.Errorf("was set, but %s", difference(step.Op, now))
	}
	// The change is made and seen: a journal that cannot be continued now stops the next change, not this one.
	if err := w.journal.write(record{State: done, Time: m.Now().UTC(), Run: run, Phase: phase, Key: rec.Key}); err != nil {
		w.log("%s: %v", rec.Key, err)
	}
	return ops.Changed, nil
}

// begin waits for the right to change something. Once the agent is ending nobody gets it.
func (w *worker) begin(ctx context.Context) error {
	select {
	case w.change <- struct{}{}:
		if ctx.Err() == nil {
			return nil
		}
		w.end()
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}

func (w *worker) end() { <-w.change }

func (w *worker) look(ctx context.Context, m ops.Machine, op ops.Op) (seen ops.Op, err error) {
	defer w.caught(op, &err)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	seen, err = op.Observe(ctx, m)
	if err == nil && seen == nil {
		err = errors.New("was observed to be nothing (a bug in kubewright)")
	}
	return seen, err
}

func (w *worker) set(ctx context.Context, m ops.Machine, op, was ops.Op) (err error) {
	defer w.caught(op, &err)
	return op.Set(ctx, m, was)
}

// caught turns a panic in an op into that step's failure: the other steps, the lock and the journal have no part in it.
func (w *worker) caught(op ops.Op, err *error) {
	if r := recover(); r != nil {
		w.log("panic at %s: %v\n%s", op.Key(), r, debug.Stack())
		*err = fmt.Errorf("panic: %v (a bug in kubewright)", r)
	}
}
