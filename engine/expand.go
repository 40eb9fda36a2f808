package engine

import (
	"errors"
	"fmt"

	"github.com/kubewright/kubewright/ops"
)

// At is one target's name and what its steps are computed from.
type At[In any] struct {
	Name string
	In   In
}

// Expand computes the work: for every target, in the order given, the phases it has, in the order declared. It is pure. Whatever is
// wrong with the declarations is told at once: a target named twice, a need for a phase that nobody declared, two steps that
// speak about the same thing on one target, a step that does not say why, works that wait for each other.
func Expand[In any](phases []Phase[In], targets []At[In]) ([]Work, error) {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	declared := map[string]bool{}
	for _, p := range phases {
		if p.Name == "" {
			fail("a phase has no name")
		} else if declared[p.Name] {
			fail("%s: the phase is declared twice", p.Name)
		}
		declared[p.Name] = true
	}
	for _, p := range phases {
		for _, need := range p.After {
			if !declared[need] {
				fail("%s: comes after %q, which is not a phase", p.Name, need)
			}
		}
		if p.Steps == nil {
			fail("%s: the phase has no steps function", p.Name)
		}
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}

	var works []Work
	named := map[string]bool{}
	for _, t := range targets {
		if t.Name == "" {
			fail("a target has no name")
		} else if named[t.Name] {
			fail("%s: the target is named twice", t.Name)
		}
		named[t.Name] = true
		spoken := map[ops.Key]string{} // which phase speaks about a key
		for _, p := range phases {
			if p.On != nil && !p.On(t.In) {
				continue
			}
			steps, err := p.Steps(t.In)
			if err != nil {
				fail("%s: %s: %w", p.Name, t.Name, err)
				continue
			}
			for i, s := range steps {
				if s.Op == nil {
					fail("%s: %s: step %d has no op", p.Name, t.Name, i+1)
					continue
				}
				key := s.Op.Key()
				if s.Why == "" {
					fail("%s: %s: %s: the step does not say why", p.Name, t.Name, key)
				}
				if other, twice := spoken[key]; twice {
					fail("%s: %s: %s: already stated by phase %s", p.Name, t.Name, key, other)
				}
				spoken[key] = p.Name
			}
			works = append(works, Work{Target: t.Name, Phase: p.Name, Short: p.Short, After: p.After, Steps: steps})
		}
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	if _, err := edges(works); err != nil {
		return nil, err
	}
	return works, nil
}
