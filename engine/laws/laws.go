// Package laws checks a list of phases against what every such list promises, on pretend machines and through real agents: that it is
// explained, pure, convergent, idempotent, reversible, resumable and patient. Who declares phases gets these tests for a list of inputs.
package laws

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

// World is what surrounds the phases in a check.
type World struct {
	// Prepare makes a machine as it is before the first run: its files, units, and what may be run on it. It may be nil.
	Prepare func(target string, m *ops.Pretend) error
	// Answer answers what is asked beyond signatures and CA certificates, which the machines that hold the authorities
	// give: blobs and pushes. It may be nil.
	Answer func(ctx context.Context, target string, m *ops.Pretend, q ops.Question) ([]byte, error)
	// Every asks for an interruption at every single change. Without it they are at each of the first few and then ever rarer.
	Every bool
}

// Check holds the phases against all laws, with the given targets as one fleet.
func Check[In any](t *testing.T, w World, phases []engine.Phase[In], targets ...engine.At[In]) {
	t.Helper()
	for _, law := range all[In]() {
		t.Run(law.name, func(t *testing.T) {
			c := &check[In]{World: w, phases: phases, targets: targets, ctx: t.Context(), tmp: func() string { return scratch(t) }}
			if err := law.holds(c); err != nil {
				t.Error(err)
			}
		})
	}
}

// scratch is a new directory, in memory where there is such a place: the agents sync every record to the disk, and here no disk can
// lose its power.
func scratch(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "kubewright-laws-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// check is one law being checked.
type check[In any] struct {
	World
	phases  []engine.Phase[In]
	targets []engine.At[In]
	ctx     context.Context
	tmp     func() string // a new directory
}

type law[In any] struct {
	name  string
	holds func(*check[In]) error
}

func all[In any]() []law[In] {
	return []law[In]{
		{"explained", explained[In]},
		{"pure", pure[In]},
		{"convergent", convergent[In]},
		{"idempotent", idempotent[In]},
		{"reversible", reversible[In]},
		{"resumable", resumable[In]},
		{"patient", patient[In]},
	}
}

// explained: every phase and every step has its words.
func explained[In any](c *check[In]) error {
	var errs []error
	for _, p := range c.phases {
		if p.Short == "" || p.Long == "" {
			errs = append(errs, fmt.Errorf("%s: the phase needs a short and a long text", p.Name))
		}
		if strings.ContainsRune(p.Short, '\n') || strings.HasSuffix(p.Short, ".") {
			errs = append(errs, fmt.Errorf("%s: the short text is a line without a full stop, not %q", p.Name, p.Short))
		}
	}
	_, err := engine.Expand(c.phases, c.targets)
	return errors.Join(append(errs, err)...)
}

// pure: the same input gives the same steps.
func pure[In any](c *check[In]) error {
	first, err := engine.Expand(c.phases, c.targets)
	if err != nil {
		return err
	}
	for range 3 { // a map's order may happen to be the same once
		again, err := engine.Expand(c.phases, c.targets)
		if err != nil {
			return err
		}
		if len(again) != len(first) {
			return fmt.Errorf("the same inputs gave %d works, then %d", len(first), len(again))
		}
		for i, w := range first {
			if reflect.DeepEqual(w, again[i]) {
				continue
			}
			for k, s := range w.Steps {
				if k >= len(again[i].Steps) || !reflect.DeepEqual(s, again[i].Steps[k]) {
					return fmt.Errorf("%s: the same input gave another step %d: %s", w.Ref(), k+1, s.Op.Key())
				}
			}
			return fmt.Errorf("%s: the same input gave other steps", w.Ref())
		}
	}
	return nil
}

// convergent: after a run every observation equals its wish.
func convergent[In any](c *check[In]) error {
	f, err := c.fleet()
	if err != nil {
		return err
	}
	return f.with(c.ctx, func(targets []engine.Target) error {
		if err := f.run(c.ctx, targets); err != nil {
			return err
		}
		return f.settled(c.ctx, targets)
	})
}

// idempotent: applying everything a second time changes nothing.
func idempotent[In any](c *check[In]) error {
	f, err := c.fleet()
	if err != nil {
		return err
	}
	if err := f.up(c.ctx); err != nil {
		return err
	}
	before, err := f.snapshot()
	if err != nil {
		return err
	}
	var errs []error
	err = f.with(c.ctx, func(targets []engine.Target) error {
		for _, w := range f.works {
			for _, t := range targets {
				if t.Name() != w.Target || len(w.Steps) == 0 {
					continue
				}
				err := t.Apply(c.ctx, "again", w.Phase, w.Steps, func(p ops.Progress) {
					if p.State == ops.Changed {
						errs = append(errs, fmt.Errorf("%s: %s: was changed a second time", w.Ref(), p.Key))
					}
				})
				if err != nil {
					return fmt.Errorf("%s: %w", w.Ref(), err)
				}
			}
		}
		return nil
	})
	after, shot := f.snapshot()
	return errors.Join(err, errors.Join(errs...), shot, differ(before, after))
}

// reversible: a run and a reset leave the machines as they were.
func reversible[In any](c *check[In]) error {
	f, before, err := c.installed()
	if err != nil {
		return err
	}
	return f.with(c.ctx, func(targets []engine.Target) error { return f.resets(c.ctx, targets, before) })
}

// resumable: whichever change of whichever machine fails, another run ends as an uninterrupted one does, and a reset leads back to the
// beginning, be it after that other run or without it.
func resumable[In any](c *check[In]) error {
	whole, err := c.fleet()
	if err != nil {
		return err
	}
	before, err := whole.snapshot()
	if err != nil {
		return err
	}
	if err := whole.up(c.ctx); err != nil {
		return err
	}
	want, err := whole.snapshot()
	if err != nil {
		return err
	}
	for _, at := range c.targets {
		for n, cuts := 1, 0; ; n, cuts = c.next(n), cuts+1 {
			cut, err := c.cut(at.Name, n)
			if err != nil {
				return err
			}
			if cut == nil {
				break // there is no such change any more
			}
			err = cut.with(c.ctx, func(targets []engine.Target) error {
				if err := cut.resumes(c.ctx, targets, want); err != nil {
					return fmt.Errorf("another run: %w", err)
				}
				if err := cut.resets(c.ctx, targets, before); err != nil {
					return fmt.Errorf("another run and a reset: %w", err)
				}
				return nil
			})
			if err == nil && (cuts%3 == 0 || c.Every) {
				if cut, err = c.cut(at.Name, n); err != nil {
					return err
				}
				err = cut.with(c.ctx, func(targets []engine.Target) error {
					if err := cut.resets(c.ctx, targets, before); err != nil {
						return fmt.Errorf("a reset: %w", err)
					}
					return nil
				})
			}
			if err != nil {
				return fmt.Errorf("after a failure at change %d of %s and %w", n, at.Name, err)
			}
		}
	}
	return nil
}

// next is the change to fail at after n.
func (c *check[In]) next(n int) int {
	if c.Every {
		return n + 1
	}
	return n + 1 + n/8
}

// cut makes a fleet whose run failed at change n of a machine. It returns nil if there are fewer changes.
func (c *check[In]) cut(target string, n int) (*fleet, error) {
	f, err := c.fleet()
	if err != nil {
		return nil, err
	}
	m := f.machines[target]
	m.FailAt(n)
	err = f.up(c.ctx)
	m.FailAt(0)
	if err == nil {
		return nil, nil
	}
	return f, nil
}
