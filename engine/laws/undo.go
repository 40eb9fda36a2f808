package laws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
)

// CheckUndo holds the phases against the law of undo, with the same targets and two inputs for each: a run with the first, a run with the second
// and an undo, which may fail at any change and be repeated, lead to where the first run led; and from there a reset leads to the beginning.
func CheckUndo[In any](t *testing.T, w World, phases []engine.Phase[In], first, second []engine.At[In]) {
	t.Helper()
	c := &check[In]{World: w, phases: phases, targets: first, ctx: t.Context(), tmp: func() string { return scratch(t) }}
	if err := undoable(c, second); err != nil {
		t.Error(err)
	}
}

func undoable[In any](c *check[In], second []engine.At[In]) error {
	works, err := engine.Expand(c.phases, second)
	if err != nil {
		return err
	}
	if err := c.undoes(works, "", 0); err != nil {
		return err
	}
	for _, at := range c.targets {
		for n := 1; ; n = c.next(n) {
			err := c.undoes(works, at.Name, n)
			if errors.Is(err, errThrough) {
				break
			}
			if err != nil {
				return fmt.Errorf("after an undo that failed at change %d of %s: %w", n, at.Name, err)
			}
		}
	}
	return nil
}

// errThrough says that an undo has fewer changes than the one at which it was to fail.
var errThrough = errors.New("the undo came through")

// undoes makes both runs, has an undo fail at change n of a machine, if n is not 0, and repeats it.
func (c *check[In]) undoes(second []engine.Work, failing string, n int) error {
	f, err := c.fleet()
	if err != nil {
		return err
	}
	before, err := f.snapshot()
	if err != nil {
		return err
	}
	return f.with(c.ctx, func(targets []engine.Target) error {
		if err := f.finish(c.ctx, targets, "first"); err != nil {
			return err
		}
		want, err := f.snapshot()
		if err != nil {
			return err
		}
		one := f.works
		f.works = second
		if err := f.finish(c.ctx, targets, "second"); err != nil {
			return fmt.Errorf("the second run: %w", err)
		}
		f.works = one
		if n > 0 {
			f.machines[failing].FailAt(n)
			err := f.undo(c.ctx, targets, "second")
			f.machines[failing].FailAt(0)
			if err == nil {
				return errThrough
			}
		}
		if err := f.undo(c.ctx, targets, "second"); err != nil {
			return fmt.Errorf("undo: %w", err)
		}
		got, err := f.snapshot()
		if err != nil {
			return err
		}
		if err := differ(want.stateless(), got.stateless()); err != nil {
			return fmt.Errorf("undo: %w", err)
		}
		if err := f.settled(c.ctx, targets); err != nil {
			return fmt.Errorf("undo: %w", err)
		}
		if err := f.resets(c.ctx, targets, before); err != nil {
			return fmt.Errorf("undo and a reset: %w", err)
		}
		return nil
	})
}

// finish makes a run and ends it.
func (f *fleet) finish(ctx context.Context, targets []engine.Target, run string) error {
	plan, err := engine.Observe(ctx, f.works, targets)
	if err == nil {
		err = engine.Run(ctx, plan, targets, engine.Options{Run: run})
	}
	for _, t := range targets {
		if err == nil {
			err = t.(target).End(ctx, run)
		}
	}
	return err
}

// undo undoes a run where it changed anything.
func (f *fleet) undo(ctx context.Context, targets []engine.Target, run string) error {
	var errs []error
	for _, t := range targets {
		past, err := t.(target).Past(ctx)
		if err == nil && past.Run == run && !past.Undone {
			err = t.(target).Undo(ctx, run, nil)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// stateless is the snapshot without the journals and what lies beside them.
func (s snapshot) stateless() snapshot {
	p := snapshot{}
	for at, what := range s {
		_, path, _ := strings.Cut(at, ":")
		if path != agent.StateDir && !strings.HasPrefix(path, agent.StateDir+"/") {
			p[at] = what
		}
	}
	return p
}
