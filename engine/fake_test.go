package engine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// thing is the smallest op: a name with a value.
type thing struct{ Name, Value string }

func (t thing) Key() ops.Key                                         { return ops.Key("thing:" + t.Name) }
func (t thing) Observe(context.Context, ops.Machine) (ops.Op, error) { panic("observed by its target") }
func (t thing) Set(context.Context, ops.Machine, ops.Op) error       { panic("set by its target") }

// advised is a thing that knows what to do when it fails.
type advised struct{ thing }

func (advised) Remedy() string { return "turn it off and on again" }

// fake is a target in memory, on the clock of its test.
type fake struct {
	name  string
	is    map[string]string        // the values now
	takes map[string]time.Duration // how long each step of a phase takes
	fails map[ops.Key]error        // steps that fail
	lost  map[ops.Key]error        // steps during which the connection is lost: nothing is told, the error is returned
	blind error                    // why it cannot be observed
	mute  bool                     // says nothing of its steps
	gives bool                     // gives up a step when it is interrupted, instead of finishing it

	mu       sync.Mutex
	log      []string // "prepare 0s", when each phase was begun
	start    time.Time
	observed int
}

func newFake(name string) *fake {
	return &fake{name: name, is: map[string]string{}, takes: map[string]time.Duration{}, fails: map[ops.Key]error{}, lost: map[ops.Key]error{}, start: time.Now()}
}

func (f *fake) Name() string { return f.name }

func (f *fake) Observe(_ context.Context, wishes []ops.Op) ([]ops.Op, error) {
	f.observed++
	if f.blind != nil {
		return nil, f.blind
	}
	var seen []ops.Op
	for _, w := range wishes {
		switch t := w.(type) {
		case thing:
			t.Value = f.is[t.Name]
			seen = append(seen, t)
		case advised:
			t.Value = f.is[t.Name]
			seen = append(seen, t)
		}
	}
	return seen, nil
}

func (f *fake) Apply(ctx context.Context, _, phase string, steps []Step, emit func(ops.Progress)) error {
	f.mu.Lock()
	f.log = append(f.log, fmt.Sprintf("%s %s", phase, time.Since(f.start)))
	f.mu.Unlock()
	for _, s := range steps {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		key := s.Op.Key()
		if f.mute {
			continue
		}
		emit(ops.Progress{Key: key, State: ops.Began})
		select {
		case <-time.After(f.takes[phase]):
		case <-f.hasty(ctx):
			emit(ops.Progress{Key: key, State: ops.Failed, Error: "context canceled"})
			return fmt.Errorf("agent: %s: %w", key, context.Cause(ctx))
		}
		if err := f.lost[key]; err != nil {
			return err
		}
		if err := f.fails[key]; err != nil {
			emit(ops.Progress{Key: key, State: ops.Failed, Error: err.Error(), Last: "the last words", Took: f.takes[phase]})
			return fmt.Errorf("agent: %s: %w", key, err)
		}
		want := wants(s.Op)
		state := ops.Changed
		if f.is[key.Name()] == want {
			state = ops.Same
		}
		f.is[key.Name()] = want
		emit(ops.Progress{Key: key, State: state, Took: f.takes[phase]})
	}
	return nil
}

// hasty ends with ctx if the target gives up a step that is interrupted, else never.
func (f *fake) hasty(ctx context.Context) <-chan struct{} {
	if f.gives {
		return ctx.Done()
	}
	return nil
}

func wants(op ops.Op) string {
	if a, ok := op.(advised); ok {
		return a.Value
	}
	return op.(thing).Value
}

// said collects events, and shows them as a story.
type said struct {
	mu     sync.Mutex
	events []Event
}

func (s *said) emit(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *said) story(types ...EventType) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, e := range s.events {
		for _, t := range types {
			if e.Type != t {
				continue
			}
			fmt.Fprintf(&b, "%s %s %s", t, e.Phase, e.Target)
			for _, x := range []string{string(e.Key), string(e.State), e.Error} {
				if x != "" {
					b.WriteString(" " + x)
				}
			}
			if e.After != nil {
				fmt.Fprintf(&b, " after %s waited %s", e.After, e.Waited)
			}
			if e.For != nil {
				fmt.Fprintf(&b, " for %v since %s", e.For, e.Waited)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// in is what the phases of these tests are computed from.
type in struct {
	phases string // the phases a target has, "prepare,join"; empty: all
}

// phase declares a phase of one thing with its own name.
func phase(name string, after ...string) Phase[in] {
	return Phase[in]{
		Name: name, Short: "do " + name, After: after,
		On: func(i in) bool { return i.phases == "" || strings.Contains(","+i.phases+",", ","+name+",") },
		Steps: func(in) ([]Step, error) {
			return []Step{{Op: thing{Name: name, Value: "yes"}, Why: "the test wants " + name}}, nil
		},
	}
}

// world expands the phases over targets given as "name" or "name=phase,phase" and makes a fake of each.
func world(phases []Phase[in], specs ...string) (works []Work, fakes map[string]*fake, targets []Target) {
	var at []At[in]
	fakes = map[string]*fake{}
	for _, spec := range specs {
		name, has, _ := strings.Cut(spec, "=")
		at = append(at, At[in]{name, in{has}})
		fakes[name] = newFake(name)
		targets = append(targets, fakes[name])
	}
	works, err := Expand(phases, at)
	if err != nil {
		panic(err)
	}
	return works, fakes, targets
}
