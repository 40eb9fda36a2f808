// Package engine turns phases into steps, steps into a plan, and carries a plan out on many hosts at once. It knows nothing of
// Kubernetes: a phase is a value, a target is whatever can observe and apply ops, and everything that happens is an event.
package engine

import (
	"context"

	"github.com/kubewright/kubewright/ops"
)

// Step is an op and the reason for it.
type Step = ops.Step

// Phase is one chapter of the work on a host. In is what steps are computed from; the package that declares phases chooses it.
type Phase[In any] struct {
	Name, Short, Long string
	On                func(In) bool            // which targets have this phase
	After             []string                 // phases that every other target must have finished first
	Steps             func(In) ([]Step, error) // pure: no I/O, no clock
}

// Target is something that ops are observed and applied on: a host through its agent, or the cluster through its API.
type Target interface {
	Name() string
	// Observe returns what each op's thing is now, in the same order. It changes nothing.
	Observe(ctx context.Context, wishes []ops.Op) ([]ops.Op, error)
	// Apply sets the steps in order, calls emit for each as it goes, and stops at the first that fails.
	Apply(ctx context.Context, run, phase string, steps []Step, emit func(ops.Progress)) error
}

// Work is one phase on one target, with its steps computed.
type Work struct {
	Target, Phase, Short string
	After                []string
	Steps                []Step
}
