package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// Options say how a plan is carried out.
type Options struct {
	Run       string        // the run's name, which every target writes into its journal
	Emit      func(Event)   // sees everything that happens, one event at a time; may be nil, and may be slow
	Parallel  int           // how many targets work at the same time; 0: all of them. Waiting is not work.
	WaitLimit time.Duration // how long a phase waits for other targets before it gives up; default an hour
}

const (
	defaultWaitLimit = time.Hour
	heartbeat        = 10 * time.Second // between two waiting or running events of one phase
)

// Run carries out the plan. Every target walks its own phases, one after the other; between targets a phase waits only for those
// that its After names. What fails stops its own target and whoever waits for it, nobody else. A phase is left alone if nothing in it
// was to be changed, and nothing before it either; all others are applied, for a change before them may have changed what was seen.
//
// When ctx ends, no further phase is begun, and Run returns when those under way have: it is for the targets to stop
// after the step that they are at.
//
// The error joins what went wrong on each target: a *StepError each, and the cause of ctx's end if that came first.
func Run(ctx context.Context, plan *Plan, targets []Target, o Options) error {
	if o.WaitLimit <= 0 {
		o.WaitLimit = defaultWaitLimit
	}
	r, err := newRunner(plan, targets, o)
	if err != nil {
		return err
	}
	r.events = newEmitter(o.Emit)
	defer r.events.close()

	r.began = time.Now()
	r.events.send(Event{Version: EventVersion, Type: RunStarted, Run: o.Run, Changes: plan.Count("", ""), Targets: r.tallies(false)})
	errs := make([]error, len(r.walks))
	var wg sync.WaitGroup
	for i, w := range r.walks {
		wg.Go(func() { errs[i] = r.walk(ctx, w) })
	}
	wg.Wait()

	tallies := r.tallies(true)
	sum := Event{Type: Summary, Run: o.Run, State: ops.Same, Took: time.Since(r.began), Targets: tallies}
	stopped := false
	for _, t := range tallies {
		sum.State = worst(sum.State, t.State)
		sum.Steps += t.Steps
		sum.Changes += t.Changed
		stopped = stopped || t.State == Stopped
	}
	r.events.send(sum)
	if stopped {
		errs = append(errs, fmt.Errorf("stopped: %w", context.Cause(ctx)))
	}
	return errors.Join(errs...)
}

// runner is a run under way.
type runner struct {
	Options
	events  *emitter
	targets map[string]Target
	walks   []*walk
	slots   chan struct{} // one for each target that may work now; nil: no bound
	began   time.Time

	mu sync.Mutex // holds the states and counts of all nodes
}

// walk is one target's way through its phases.
type walk struct {
	target string
	nodes  []*node
	took   time.Duration
}

// node is one work of the run.
type node struct {
	PlannedWork
	needs   []*node       // works of other targets that must be finished first
	wakes   []*node       // works of other targets that wait for this one
	wake    chan struct{} // holds one token when something this one needs has ended
	touched bool          // something here or before it is to be changed, so it is applied
	state   ops.State     // how it ended; empty until then
	target  ops.State     // if it did not end well: how its target did
	changed int
	same    int
	failed  int
}

func newRunner(plan *Plan, targets []Target, o Options) (*runner, error) {
	r := &runner{Options: o, targets: map[string]Target{}}
	if o.Parallel > 0 {
		r.slots = make(chan struct{}, o.Parallel)
	}
	for _, t := range targets {
		r.targets[t.Name()] = t
	}
	works := make([]Work, len(plan.Works))
	nodes := make([]*node, len(plan.Works))
	for i, w := range plan.Works {
		works[i] = w.Work
		nodes[i] = &node{PlannedWork: w, wake: make(chan struct{}, 1)}
	}
	before, err := edges(works)
	if err != nil {
		return nil, err
	}
	for i, n := range nodes {
		for _, j := range before[i] {
			if nodes[j].Target != n.Target {
				n.needs = append(n.needs, nodes[j])
				nodes[j].wakes = append(nodes[j].wakes, n)
			}
		}
	}
	seen := make([]bool, len(nodes))
	for i := range nodes {
		touch(nodes, before, seen, i)
	}
	for _, name := range targetNames(works) {
		w := &walk{target: name}
		for _, n := range nodes {
			if n.Target == name {
				w.nodes = append(w.nodes, n)
			}
		}
		r.walks = append(r.walks, w)
	}
	return r, nil
}

// touch says whether a work must be applied: it has changes, or one of those before it must be. The works have no circles.
func touch(nodes []*node, before [][]int, seen []bool, i int) bool {
	n := nodes[i]
	if seen[i] {
		return n.touched
	}
	seen[i] = true
	n.touched = len(n.Changes) > 0 || n.Err != nil
	for _, j := range before[i] {
		n.touched = touch(nodes, before, seen, j) || n.touched
	}
	return n.touched
}

// end records how a work and its whole target ended, and wakes those that wait for it.
func (r *runner) end(n *node, s, target ops.State) {
	r.mu.Lock()
	n.state, n.target = s, target
	r.mu.Unlock()
	for _, w := range n.wakes {
		select {
		case w.wake <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// severity orders the ways a thing can end.
var severity = map[ops.State]int{ops.Same: 1, ops.Changed: 2, Stopped: 3, Blocked: 4, ops.Failed: 5}

func worst(a, b ops.State) ops.State {
	if severity[b] > severity[a] {
		return b
	}
	return a
}

// tallies counts every target's steps; before the end there is only their number.
func (r *runner) tallies(ended bool) []Tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Tally
	for _, w := range r.walks {
		t := Tally{Target: w.target, Phases: len(w.nodes)}
		if ended {
			t.State, t.Took = ops.Same, w.took
		}
		for _, n := range w.nodes {
			t.Steps += len(n.Steps)
			if ended {
				t.State = worst(t.State, n.state)
				t.Changed, t.Same, t.Failed = t.Changed+n.changed, t.Same+n.same, t.Failed+n.failed
			}
		}
		if ended {
			t.Blocked = t.Steps - t.Changed - t.Same - t.Failed
		}
		all = append(all, t)
	}
	return all
}
