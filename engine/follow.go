package engine

import (
	"errors"
	"sync"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// follower hears what a target tells about the steps of one work, counts it and passes it on as events. What is told about
// unknown steps, twice, or after the end, is not heard: a target is not trusted with the counts.
type follower struct {
	r *runner
	n *node

	mu    sync.Mutex
	steps map[ops.Key]Step // those that have not ended
	at    ops.Key          // the step that began last
	since time.Time        // when it did
	worst ops.Progress     // the failure, if there was one
	deaf  bool
}

func newFollower(r *runner, n *node) *follower {
	f := &follower{r: r, n: n, steps: map[ops.Key]Step{}}
	for _, s := range n.Steps {
		f.steps[s.Op.Key()] = s
	}
	return f
}

// progress hears one thing about one step.
func (f *follower) progress(p ops.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	step, open := f.steps[p.Key]
	if !open || f.deaf {
		return
	}
	e := Event{Type: StepEvent, Target: f.n.Target, Phase: f.n.Phase, Key: p.Key, Why: step.Why, State: p.State, Took: p.Took, Error: p.Error, Last: p.Last}
	switch p.State {
	case ops.Began:
		f.at, f.since = p.Key, time.Now()
		f.r.events.send(e)
		return
	case ops.Waits:
		if f.at == p.Key {
			f.r.events.send(Event{Type: Running, Target: f.n.Target, Phase: f.n.Phase, Key: p.Key, Why: step.Why, Took: time.Since(f.since), Note: p.Note})
		}
		return
	case ops.Same:
		f.n.same++
	case ops.Changed:
		f.n.changed++
	case ops.Failed:
		f.n.failed++
		if f.worst.Key == "" {
			f.worst = p // what fails after it is often only stopped because of it
		}
		e.Remedy = remedy(step.Op, nil)
	default:
		return
	}
	delete(f.steps, p.Key)
	f.r.events.send(e)
}

// beat tells every now and then which step the target is at, until stop is called.
func (f *follower) beat() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			f.mu.Lock()
			if s, open := f.steps[f.at]; open {
				f.r.events.send(Event{Type: Running, Target: f.n.Target, Phase: f.n.Phase, Key: f.at, Why: s.Why, Took: time.Since(f.since)})
			}
			f.mu.Unlock()
		}
	})
	return func() { close(done); wg.Wait() }
}

// close stops hearing and returns how many steps have not ended.
func (f *follower) close() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deaf = true
	return len(f.steps)
}

// fault describes what went wrong, after close. The step that the target blames is named; where it blames none, the one that
// it was at.
func (f *follower) fault(err error) *StepError {
	e := &StepError{Target: f.n.Target, Phase: f.n.Phase, Cause: err}
	var op ops.Op
	name := func(key ops.Key) {
		for _, s := range f.n.Steps {
			if s.Op.Key() == key {
				e.Key, e.Why, op = key, s.Why, s.Op
			}
		}
	}
	if f.n.failed > 0 {
		name(f.worst.Key)
		e.Last = f.worst.Last
		switch {
		case err == nil:
			e.Cause = errors.New(f.worst.Error)
		case f.worst.Error != "":
			e.Cause = &told{words: f.worst.Error, err: err}
		}
	} else if _, open := f.steps[f.at]; open {
		name(f.at)
	}
	e.Remedy = remedy(op, err)
	return e
}
