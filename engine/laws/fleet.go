package laws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// fleet is a pretend machine for each target, and the works to be done there.
type fleet struct {
	World
	works    []engine.Work
	names    []string
	machines map[string]*ops.Pretend
	sessions map[string]*agent.Session // while they are open
}

func (c *check[In]) fleet() (*fleet, error) {
	works, err := engine.Expand(c.phases, c.targets)
	if err != nil {
		return nil, err
	}
	f := &fleet{World: c.World, works: works, machines: map[string]*ops.Pretend{}}
	for _, at := range c.targets {
		m := ops.NewPretend(c.tmp())
		for _, dir := range []string{"/etc", "/run", "/tmp", "/var/lib"} { // as on every machine
			if err := os.MkdirAll(m.Path(dir), 0o755); err != nil {
				return nil, err
			}
		}
		if c.Prepare != nil {
			if err := c.Prepare(at.Name, m); err != nil {
				return nil, fmt.Errorf("%s: cannot be prepared: %w", at.Name, err)
			}
		}
		f.names = append(f.names, at.Name)
		f.machines[at.Name] = m
	}
	return f, nil
}

// installed is a fleet after a run, and what it was before.
func (c *check[In]) installed() (*fleet, snapshot, error) {
	f, err := c.fleet()
	if err != nil {
		return nil, nil, err
	}
	before, err := f.snapshot()
	if err != nil {
		return nil, nil, err
	}
	return f, before, f.up(c.ctx)
}

// target is a machine through its agent.
type target struct {
	*agent.Session
	name string
}

func (t target) Name() string { return t.name }

// with starts an agent on every machine, opens a session to each and takes the locks, calls do, and ends them all.
func (f *fleet) with(ctx context.Context, do func([]engine.Target) error) (err error) {
	var agents sync.WaitGroup
	var served sync.Mutex
	var targets []engine.Target
	f.sessions = map[string]*agent.Session{}
	defer func() {
		for _, s := range f.sessions {
			s.Close()
		}
		agents.Wait()
	}()
	for _, name := range f.names {
		near, far := net.Pipe()
		agents.Go(func() {
			defer far.Close()
			if e := agent.Serve(ctx, far, f.machines[name], agent.StateDir); e != nil {
				served.Lock()
				err = errors.Join(err, fmt.Errorf("%s: agent: %w", name, e))
				served.Unlock()
			}
		})
		s, e := agent.Open(ctx, near, func(ctx context.Context, q ops.Question) ([]byte, error) { return f.answer(ctx, name, q) })
		if e != nil {
			return fmt.Errorf("%s: %w", name, e)
		}
		f.sessions[name] = s
		if e := s.Lock(ctx, agent.Holder{User: "laws", Workstation: "test", Run: "laws"}); e != nil {
			return fmt.Errorf("%s: %w", name, e)
		}
		targets = append(targets, target{s, name})
	}
	return do(targets)
}

// up plans and runs everything.
func (f *fleet) up(ctx context.Context) error {
	return f.with(ctx, func(targets []engine.Target) error { return f.run(ctx, targets) })
}

func (f *fleet) run(ctx context.Context, targets []engine.Target) error {
	plan, err := engine.Observe(ctx, f.works, targets)
	if err != nil {
		return err
	}
	return engine.Run(ctx, plan, targets, engine.Options{Run: "laws"})
}

// settled looks at everything and tells what is not as it should be.
func (f *fleet) settled(ctx context.Context, targets []engine.Target) error {
	plan, err := engine.Observe(ctx, f.works, targets)
	if err != nil {
		return err
	}
	var errs []error
	for _, w := range plan.Works {
		for _, c := range w.Changes {
			errs = append(errs, fmt.Errorf("%s: %s: is not so after a run:\n%s", w.Ref(), c.Op.Key(), c.Diff()))
		}
	}
	return errors.Join(errs...)
}

// resumes runs once more and expects the machines as wanted.
func (f *fleet) resumes(ctx context.Context, targets []engine.Target, want snapshot) error {
	if err := f.run(ctx, targets); err != nil {
		return err
	}
	if err := f.settled(ctx, targets); err != nil {
		return err
	}
	got, err := f.snapshot()
	if err != nil {
		return err
	}
	return differ(want.plain(), got.plain())
}

// resets resets every machine and expects them as they were.
func (f *fleet) resets(ctx context.Context, targets []engine.Target, want snapshot) error {
	if err := resetAll(ctx, targets); err != nil {
		return err
	}
	got, err := f.snapshot()
	if err != nil {
		return err
	}
	for _, name := range f.names {
		if trace := got.state(name); trace != "" {
			return fmt.Errorf("%s is left", trace)
		}
	}
	return differ(want, got)
}

// answer answers an op on a machine: if the works hold that op, and it is what it asks for.
func (f *fleet) answer(ctx context.Context, from string, q ops.Question) ([]byte, error) {
	var asks ops.Op
	holder := ""
	for _, w := range f.works {
		for _, s := range w.Steps {
			if w.Target == from && s.Op.Key() == q.Key {
				asks = s.Op
			}
			if ca, ok := s.Op.(ops.Authority); ok && ca.Name == q.Name {
				holder = w.Target
			}
		}
	}
	if asks == nil {
		return nil, fmt.Errorf("%s: no step asks on %s", q.Key, from)
	}
	switch {
	case (q.Kind == ops.AskSign || q.Kind == ops.AskCA) && holder == "":
		return nil, fmt.Errorf("%s: nobody holds the authority %q", q.Key, q.Name)
	case q.Kind == ops.AskCA:
		return f.sessions[holder].ReadCA(ctx, q.Name)
	case q.Kind == ops.AskSign:
		request, ok := request(asks)
		if !ok {
			return nil, fmt.Errorf("%s: is not a certificate", q.Key)
		}
		return f.sessions[holder].Sign(ctx, q.Name, q.Data, request)
	case f.Answer != nil:
		return f.Answer(ctx, from, f.machines[from], q)
	}
	return nil, fmt.Errorf("%s: the test answers no %q questions", q.Key, q.Kind)
}

func request(op ops.Op) (pki.Request, bool) {
	switch op := op.(type) {
	case ops.Certificate:
		return op.Request, true
	case ops.Kubeconfig:
		return op.Request, true
	}
	return pki.Request{}, false
}
