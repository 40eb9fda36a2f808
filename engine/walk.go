package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// walk takes one target through its phases until one of them fails. It returns nil where the run was merely stopped.
func (r *runner) walk(ctx context.Context, w *walk) error {
	for i, n := range w.nodes {
		fault := r.phase(ctx, n, i+1, len(w.nodes))
		w.took = time.Since(r.began)
		if fault == nil {
			continue
		}
		left := Blocked
		if n.state == Stopped {
			left = Stopped
		}
		for _, rest := range w.nodes[i+1:] {
			r.end(rest, left, n.state)
		}
		if n.state == Stopped {
			return nil
		}
		r.events.send(Event{Type: TargetFailed, Target: w.target, Phase: fault.Phase, Key: fault.Key, Why: fault.Why, State: n.state,
			Error: fault.Cause.Error(), Last: fault.Last, Remedy: fault.Remedy})
		return fault
	}
	return nil
}

// phase does one work: waits for what it needs, applies it unless nothing is to be done, and says how it ended.
func (r *runner) phase(ctx context.Context, n *node, number, of int) *StepError {
	e := Event{Target: n.Target, Phase: n.Phase, Short: n.Short, Number: number, Of: of, Steps: len(n.Steps)}
	finish := func(s ops.State, took time.Duration) {
		r.end(n, s, s)
		e.Type, e.State, e.Took, e.Changes = PhaseFinished, s, took, n.changed
		r.events.send(e)
	}
	if n.Err != nil {
		r.end(n, ops.Failed, ops.Failed)
		return &StepError{Target: n.Target, Cause: n.Err, Remedy: remedy(nil, n.Err)}
	}
	if ctx.Err() != nil {
		r.end(n, Stopped, Stopped)
		return &StepError{Target: n.Target, Phase: n.Phase, Cause: context.Cause(ctx)}
	}
	if !n.touched {
		n.same = len(n.Steps)
		finish(ops.Same, 0)
		return nil
	}

	waited, after, err := r.await(ctx, n)
	if err == nil {
		err = r.enter(ctx)
	}
	if err != nil {
		s := ops.Failed
		if blocked, ok := err.(*BlockedError); ok && blocked.State != Stopped {
			s = Blocked
		} else if ok || ctx.Err() != nil {
			s = Stopped
		}
		finish(s, 0)
		return &StepError{Target: n.Target, Phase: n.Phase, Cause: err}
	}
	defer r.leave()

	begun := e
	begun.Type, begun.Waited, begun.After = PhaseStarted, waited, after
	r.events.send(begun)
	start := time.Now()
	fault := r.apply(ctx, n)
	took := time.Since(start)
	switch {
	case fault == nil && n.changed > 0:
		finish(ops.Changed, took)
	case fault == nil:
		finish(ops.Same, took)
	case ctx.Err() != nil && (n.failed == 0 || errors.Is(fault, ctx.Err()) || errors.Is(fault, context.Cause(ctx))):
		n.failed = 0 // a step that was interrupted has not failed
		finish(Stopped, took)
	default:
		if fault.Key != "" {
			n.failed = 1 // even where the connection was lost before the target could say so
		}
		finish(ops.Failed, took)
	}
	return fault
}

// enter takes a slot among those who work at the same time.
func (r *runner) enter(ctx context.Context) error {
	if r.slots == nil {
		return nil
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *runner) leave() {
	if r.slots != nil {
		<-r.slots
	}
}

// await waits until everything the work needs is done. It returns how long that took and, where it took any time, what came last.
func (r *runner) await(ctx context.Context, n *node) (time.Duration, *Ref, error) {
	start := time.Now()
	var tick, limit <-chan time.Time
	var last *Ref
	for {
		missing, err := r.missing(n)
		if err != nil {
			return 0, nil, err
		}
		if len(missing) == 0 {
			return time.Since(start), last, nil
		}
		last = &missing[len(missing)-1]
		tell := func() {
			r.events.send(Event{Type: Waiting, Target: n.Target, Phase: n.Phase, Short: n.Short, For: missing, Waited: time.Since(start)})
		}
		if tick == nil {
			ticker := time.NewTicker(heartbeat)
			defer ticker.Stop()
			timer := time.NewTimer(r.WaitLimit)
			defer timer.Stop()
			tick, limit = ticker.C, timer.C
			tell()
		}
		select {
		case <-n.wake:
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		case <-tick:
			tell()
		case <-limit:
			return 0, nil, &WaitError{For: missing, After: r.WaitLimit}
		}
	}
}

// missing names what the work still waits for; the error says that some of it will never come.
func (r *runner) missing(n *node) ([]Ref, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var refs []Ref
	for _, need := range n.needs {
		switch need.state {
		case ops.Same, ops.Changed:
		case "":
			refs = append(refs, need.Ref())
		default:
			return nil, &BlockedError{By: need.Ref(), State: need.target}
		}
	}
	return refs, nil
}

// apply sends the work's steps to its target and follows them. n's counts are its own until it ends.
func (r *runner) apply(ctx context.Context, n *node) *StepError {
	if len(n.Steps) == 0 {
		return nil
	}
	f := newFollower(r, n)
	t := r.targets[n.Target]
	if t == nil {
		return f.fault(errors.New("not connected"))
	}
	stop := f.beat()
	err := t.Apply(ctx, r.Run, n.Phase, n.Steps, f.progress)
	stop()
	open := f.close()
	if err == nil && n.failed == 0 {
		if open == 0 {
			return nil
		}
		err = fmt.Errorf("the target did not say how %d of %d steps ended", open, len(n.Steps))
	}
	return f.fault(err)
}
