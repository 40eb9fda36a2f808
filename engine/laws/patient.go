package laws

import (
	"context"
	"errors"
	"fmt"

	"github.com/kubewright/kubewright/engine"
)

// patient: a reset that fails again and again, each time at another place, comes to its end all the same, and leaves the machines as they were.
func patient[In any](c *check[In]) error {
	f, before, err := c.installed()
	if err != nil {
		return err
	}
	// Each may make one change more than the one before, so that a thing that takes several changes comes through.
	for n := 1; ; n++ {
		for _, m := range f.machines {
			m.FailAt(n)
		}
		err := f.with(c.ctx, func(targets []engine.Target) error { return resetAll(c.ctx, targets) })
		told := false
		for _, m := range f.machines {
			told = told || m.Changes() >= n
			m.FailAt(0)
		}
		if err == nil {
			break
		}
		if !told {
			return fmt.Errorf("after %d resets that failed: %w", n-1, err)
		}
	}
	return f.with(c.ctx, func(targets []engine.Target) error { return f.resets(c.ctx, targets, before) })
}

func resetAll(ctx context.Context, targets []engine.Target) error {
	var errs []error
	for _, t := range targets {
		if err := t.(target).Reset(ctx, nil); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.Name(), err))
		}
	}
	return errors.Join(errs...)
}
