package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// patience is how long a cancelled request is waited for, so that what it still did is told.
const patience = 10 * time.Second

// Lock takes the lock of the host for as long as the session lives. If somebody else has it, the error is a *LockedError that says who.
func (s *Session) Lock(ctx context.Context, h Holder) error {
	_, err := s.call(ctx, call{Do: doLock, Holder: &h}, nil)
	return err
}

// Observe looks at many things in one round trip, and returns them in the same order. It changes nothing and needs no lock.
func (s *Session) Observe(ctx context.Context, wishes []ops.Op) ([]ops.Op, error) {
	steps := make([]ops.Step, len(wishes))
	for i, op := range wishes {
		steps[i].Op = op
	}
	c := call{Do: doObserve}
	var err error
	if c.Steps, err = encodeSteps(steps); err != nil {
		return nil, err
	}
	r, err := s.call(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	if len(r.Ops) != len(wishes) {
		return nil, fmt.Errorf("the agent was asked for %d things and answered %d", len(wishes), len(r.Ops))
	}
	seen := make([]ops.Op, len(wishes))
	for i, raw := range r.Ops {
		if seen[i], err = ops.Decode(raw); err != nil {
			return nil, fmt.Errorf("the agent's observation of %s: %w", wishes[i].Key(), err)
		}
		if seen[i].Key() != wishes[i].Key() {
			return nil, fmt.Errorf("the agent was asked for %s and answered another thing", wishes[i].Key())
		}
	}
	return seen, nil
}

// Apply makes the steps so, in order, and stops at the first that fails with a *StepError. emit, which may be nil, hears of each as it happens, from
// the caller's goroutine. The lock must be held.
func (s *Session) Apply(ctx context.Context, run, phase string, steps []ops.Step, emit func(ops.Progress)) error {
	c := call{Do: doApply, Run: run, Phase: phase}
	var err error
	if c.Steps, err = encodeSteps(steps); err != nil {
		return err
	}
	_, err = s.call(ctx, c, emit)
	return err
}

// Reset puts back the first observation of every key, the last changed first, and removes everything of kubewright's from the host. What could not
// be put back is in a *ResetError; then Reset may be repeated. The lock must be held.
func (s *Session) Reset(ctx context.Context, emit func(ops.Progress)) error {
	_, err := s.call(ctx, call{Do: doReset}, emit)
	return err
}

// Forgetting is the run that holds a host's lock while Forget looks whether it may remove the agent.
const Forgetting = "forget"

// Forget removes the agent from a host that nothing was changed on, so that who only looked leaves no trace. On any other host it does nothing.
func (s *Session) Forget(ctx context.Context) error {
	_, err := s.call(ctx, call{Do: doForget}, nil)
	return err
}

// Sign has a CSR signed by an authority on that host, if it asks for exactly what the request says. The agent knows the authorities in its
// journal and those in the ops of this session.
func (s *Session) Sign(ctx context.Context, authority string, csr []byte, r pki.Request) ([]byte, error) {
	answer, err := s.call(ctx, call{Do: doSign, Name: authority, Data: csr, Request: &r}, nil)
	return answer.Data, err
}

// ReadCA is the certificate of an authority on that host.
func (s *Session) ReadCA(ctx context.Context, authority string) ([]byte, error) {
	answer, err := s.call(ctx, call{Do: doReadCA, Name: authority}, nil)
	return answer.Data, err
}

// call makes a request and returns its last reply; emit hears of the progress until then. A cancelled request that changes things is waited for
// a while: it stops at the next safe point and says how far it came.
func (s *Session) call(ctx context.Context, c call, emit func(ops.Progress)) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, context.Cause(ctx)
	}
	p := &pending{replies: make(chan reply, 256), gone: make(chan struct{})}
	s.mu.Lock()
	s.last++
	c.ID = s.last
	s.calls[c.ID] = p
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.calls, c.ID)
		s.mu.Unlock()
		close(p.gone)
	}()
	var at ops.Key // the step that began and did not end
	lost := func() error {
		during := c.Do
		if c.Phase != "" {
			during = c.Phase
		}
		return &LostError{During: during, Key: at, Cause: context.Cause(s.ctx)}
	}
	if err := s.say(ctx, c); err != nil {
		if s.ctx.Err() != nil {
			return reply{}, lost()
		}
		return reply{}, err
	}
	hear := func(r reply) {
		if r.Progress == nil {
			return
		}
		e := *r.Progress
		e.Key, e.Error, e.Last = ops.Key(clean(string(e.Key), maxMessage)), clean(e.Error, maxMessage), clean(e.Last, maxLast)
		e.Note = clean(e.Note, maxMessage)
		if at = ""; e.State == ops.Began || e.State == ops.Waits {
			at = e.Key
		}
		if emit != nil {
			emit(e)
		}
	}
	cancelled, enough := ctx.Done(), make(<-chan time.Time)
	for {
		select {
		case r := <-p.replies:
			if hear(r); r.Done {
				return r, since(ctx, r.Failure.err())
			}
		case <-cancelled:
			cancelled = nil
			_ = s.say(s.ctx, call{ID: c.ID, Do: doCancel})
			if c.Do != doApply && c.Do != doReset && c.Do != doUndo {
				return reply{}, context.Cause(ctx)
			}
			enough = time.After(patience)
		case <-enough:
			return reply{}, context.Cause(ctx)
		case <-s.ctx.Done():
			// What was said before the end still counts.
			for {
				select {
				case r := <-p.replies:
					if hear(r); r.Done {
						return r, since(ctx, r.Failure.err())
					}
					continue
				default:
				}
				return reply{}, lost()
			}
		}
	}
}

// since gives what a cancellation stopped its cause, which only this side knows.
func since(ctx context.Context, err error) error {
	var step *StepError
	if ctx.Err() != nil && errors.As(err, &step) && strings.Contains(step.Cause.Error(), context.Canceled.Error()) {
		step.Cause = context.Cause(ctx)
	}
	return err
}
