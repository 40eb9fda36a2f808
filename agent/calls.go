package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"runtime/debug"

	"github.com/kubewright/kubewright/ops"
)

// hear does what can be done at once, and starts what cannot.
func (s *server) hear(ctx context.Context, c call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.Do {
	case doAnswer:
		if to, ok := s.asked[c.Ask]; ok {
			delete(s.asked, c.Ask)
			to <- c
		}
		return
	case doCancel:
		if stop, ok := s.running[c.ID]; ok {
			stop(context.Canceled)
		}
		return
	}
	if _, ok := s.running[c.ID]; ok || len(s.running) >= maxCalls {
		go func() {
			_ = s.write(reply{ID: c.ID, Done: true, Failure: &failure{Message: "too many requests are under way"}})
		}()
		return
	}
	ctx, stop := context.WithCancelCause(ctx)
	s.running[c.ID] = stop
	go func() {
		r := reply{}
		err := s.safely(ctx, c, &r)
		r.ID, r.Done, r.Failure = c.ID, true, wireFailure(err)
		s.mu.Lock()
		delete(s.running, c.ID)
		s.mu.Unlock()
		stop(errDone)
		if err := s.write(r); err != nil {
			// Most likely the answer was too long for a line; if the connection is gone, this goes nowhere as well.
			_ = s.write(reply{ID: c.ID, Done: true, Failure: &failure{Message: clip(err.Error(), maxMessage)}})
		}
	}()
}

func (s *server) safely(ctx context.Context, c call, r *reply) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Printf("panic in %s: %v\n%s", c.Do, p, debug.Stack())
			err = fmt.Errorf("%s: panic: %v (a bug in kubewright)", c.Do, p)
		}
	}()
	return s.do(ctx, c, r)
}

func (s *server) do(ctx context.Context, c call, r *reply) error {
	switch c.Do {
	case doPing:
		return nil
	case doLock:
		return s.take(c.Holder)
	case doObserve:
		steps, err := s.steps(c)
		if err != nil {
			return err
		}
		select {
		case s.looks <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		seen, err := s.work.observe(ctx, s.machine(c.ID), steps)
		<-s.looks
		if err != nil {
			return err
		}
		r.Ops = make([]json.RawMessage, len(seen))
		for i, op := range seen {
			if r.Ops[i], err = ops.Encode(op); err != nil {
				return err
			}
		}
		return nil
	case doApply:
		steps, err := s.steps(c)
		if err != nil {
			return err
		}
		return s.alone(ctx, func() error {
			return s.work.apply(ctx, s.machine(c.ID), c.Run, c.Phase, steps, s.tell(c.ID))
		})
	case doReset:
		return s.alone(ctx, func() error { return s.work.reset(ctx, s.machine(c.ID), s.tell(c.ID)) })
	case doSurvey:
		if c.Survey == nil {
			return errors.New("a survey has to say what it asks")
		}
		answer, err := s.survey(ctx, *c.Survey)
		r.Survey = answer
		return err
	case doUndo:
		return s.alone(ctx, func() error { return s.work.undoRun(ctx, s.machine(c.ID), c.Run, s.tell(c.ID)) })
	case doNote:
		if !json.Valid(c.Data) {
			return errors.New("a note is JSON")
		}
		return s.alone(ctx, func() error { return s.work.jot(s.m, c.Run, c.Data) })
	case doEnd:
		return s.alone(ctx, func() error { return s.work.close(s.m, c.Run) })
	case doPast:
		return s.answer(r, func(j *journal) any { return j.past() })
	case doLast:
		return s.answer(r, func(j *journal) any { return j.memories(c.Keys) })
	case doForget:
		return s.forget()
	case doReadCA:
		cert, err := s.authorities.certificate(s.m, c.Name)
		r.Data = cert
		return err
	case doSign:
		if c.Request == nil {
			return errors.New("a CSR is signed only together with what it must say")
		}
		cert, err := s.authorities.sign(s.m, c.Name, c.Data, *c.Request, s.m.Now())
		r.Data = cert
		return err
	}
	return fmt.Errorf("the agent does not know how to %q", clip(c.Do, maxName))
}

// answer puts what the journal says into a reply.
func (s *server) answer(r *reply, say func(*journal) any) error {
	j, _, err := readJournal(s.work.dir)
	if err != nil {
		return err
	}
	r.Data, err = json.Marshal(say(j))
	return err
}

func (s *server) steps(c call) ([]ops.Step, error) {
	steps, err := decodeSteps(c.Steps)
	for _, step := range steps {
		if step.Op != nil {
			s.authorities.learn(step.Op)
		}
	}
	return steps, err
}

// alone runs what changes the host: one at a time, and only with the lock.
func (s *server) alone(ctx context.Context, change func() error) error {
	s.mu.Lock()
	locked := s.lock != nil
	s.mu.Unlock()
	if !locked {
		return errors.New("this session does not hold the lock of the host")
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		return change()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// forget removes the agent and its directory from a host that nothing was changed on. Whoever has the lock is about to need them.
func (s *server) forget() error {
	s.mu.Lock()
	mine := s.lock != nil
	s.mu.Unlock()
	if !mine {
		l, err := acquire(s.m.Path(lockPath), Holder{Run: Forgetting})
		if locked := (*LockedError)(nil); errors.As(err, &locked) {
			return nil
		}
		if err != nil {
			return err
		}
		defer l.release()
	}
	if j, _, err := readJournal(s.work.dir); err != nil || len(j.changes) > 0 {
		return err
	}
	if readText(filepath.Join(s.work.dir, "cluster")) != "" {
		return nil // a cluster says that this host is its own, whatever became of the journal
	}
	return s.work.leave()
}

func (s *server) take(h *Holder) error {
	if h == nil {
		return errors.New("the lock needs the name of its holder")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errDone
	}
	if s.lock != nil {
		return s.lock.name(*h)
	}
	l, err := acquire(s.m.Path(lockPath), *h)
	if err == nil {
		s.lock = l
		sweepUploads(s.dir)
	}
	return err
}

// tell reports on a request. Nobody hearing it must not keep us from going on.
func (s *server) tell(id int64) func(ops.Progress) {
	return func(p ops.Progress) { _ = s.write(reply{ID: id, Progress: &p}) }
}

// machine is the host as one request may use it.
func (s *server) machine(id int64) ops.Machine {
	return &asker{Machine: s.m, ask: func(ctx context.Context, op ops.Op, q ops.Question) ([]byte, error) {
		if answer, ok, err := s.authorities.local(s.m, op, q); ok {
			return answer, err
		}
		return s.ask(ctx, id, q)
	}, say: s.tell(id)}
}

// ask puts a question to the workstation and waits for the answer.
func (s *server) ask(ctx context.Context, id int64, q ops.Question) ([]byte, error) {
	answer := make(chan call, 1)
	s.mu.Lock()
	s.asks++
	n := s.asks
	s.asked[n] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.asked, n)
		s.mu.Unlock()
	}()
	if err := s.write(reply{ID: id, Ask: n, Question: &q}); err != nil {
		return nil, err
	}
	select {
	case c := <-answer:
		if c.Error != "" {
			return nil, errors.New(c.Error)
		}
		return c.Data, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
