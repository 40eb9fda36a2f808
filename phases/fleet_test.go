package phases_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
)

// fleet is a cluster's hosts as the program has them: an agent on each, a session with each, and Answers for what they ask.
type fleet struct {
	*world
	t       *testing.T
	works   []engine.Work
	targets []engine.Target
	before  map[string]string // what each machine was at first
}

type target struct {
	*agent.Session
	name string
}

func (t target) Name() string { return t.name }

func newFleet(t *testing.T, c *inventory.Cluster, facts map[string]agent.Facts) *fleet {
	t.Helper()
	in := hosts(phases.Inputs(c, facts, lock(), nil))
	works, err := engine.Expand(phases.Up(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range works {
		for i, s := range w.Steps {
			if p, ok := s.Op.(ops.Probe); ok {
				p.Within = 5 // a pretend server answers at once or never
				w.Steps[i].Op = p
			}
		}
	}
	f := &fleet{world: newWorld(c, facts, works), t: t, works: works, before: map[string]string{}}
	f.sessions = map[string]*agent.Session{}
	var mu sync.Mutex
	var opening sync.WaitGroup
	for _, at := range in {
		m := ops.NewPretend(scratch(t))
		if err := f.prepare(at.Name, m); err != nil {
			t.Fatal(err)
		}
		if f.before[at.Name], err = m.Snapshot(); err != nil {
			t.Fatal(err)
		}
		opening.Go(func() {
			s, err := f.start(at.Name, m)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			f.sessions[at.Name] = s
		})
	}
	opening.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, at := range in {
		f.targets = append(f.targets, target{f.sessions[at.Name], at.Name})
	}
	return f
}

// start starts an agent on a machine and takes the host's lock.
func (f *fleet) start(name string, m *ops.Pretend) (*agent.Session, error) {
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() {
		defer far.Close()
		served <- agent.Serve(context.Background(), far, m, agent.StateDir)
	}()
	s, err := agent.Open(f.t.Context(), near, func(ctx context.Context, q ops.Question) ([]byte, error) {
		return f.answers.Answer(ctx, name, q)
	})
	if err != nil {
		return nil, err
	}
	f.t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			f.t.Errorf("%s: agent: %v", name, err)
		}
	})
	return s, s.Lock(f.t.Context(), agent.Holder{User: "test", Workstation: "here", Run: "test"})
}

func (f *fleet) up() error {
	plan, err := engine.Observe(f.t.Context(), f.works, f.targets)
	if err != nil {
		return err
	}
	return engine.Run(f.t.Context(), plan, f.targets, engine.Options{Run: "test"})
}

// settled wants a look at everything that the works say to find nothing to do.
func (f *fleet) settled(when string, works []engine.Work) {
	f.t.Helper()
	plan, err := engine.Observe(f.t.Context(), works, f.targets)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, w := range plan.Works {
		for _, c := range w.Changes {
			f.t.Errorf("%s: %s: %s is not as it should be:\n%s", when, w.Ref(), c.Op.Key(), c.Diff())
		}
	}
}

// laterFacts is what the hosts say of themselves after a run.
func (f *fleet) laterFacts() map[string]agent.Facts {
	out := map[string]agent.Facts{}
	for name, facts := range f.facts {
		facts.Swaps = nil
		if h, _ := f.cluster.Host(name); h.Has(inventory.ControlPlane) {
			facts.Listening = []agent.Listener{{Port: 2379}, {Port: 6443}}
		}
		facts.Authorities = map[string]string{}
		for _, authority := range []string{phases.KubernetesCA, "registry"} {
			holder, ok := phases.AuthorityHost(f.cluster, authority)
			if !ok || holder.Name != name {
				continue
			}
			pem, err := f.sessions[name].ReadCA(f.t.Context(), authority)
			if err != nil {
				f.t.Fatal(err)
			}
			facts.Authorities[authority] = string(pem)
		}
		out[name] = facts
	}
	return out
}

// again applies every step whether there is anything to do or not, and wants nothing changed.
func (f *fleet) again() {
	f.t.Helper()
	for _, w := range f.works {
		err := f.sessions[w.Target].Apply(f.t.Context(), "again", w.Phase, w.Steps, func(p ops.Progress) {
			if p.State == ops.Changed {
				f.t.Errorf("%s: %s was changed a second time", w.Ref(), p.Key)
			}
		})
		if err != nil {
			f.t.Errorf("%s: %v", w.Ref(), err)
		}
	}
}

// reset takes everything off the hosts and wants them as they were.
func (f *fleet) reset(when string) {
	f.t.Helper()
	for _, t := range f.targets {
		if err := f.sessions[t.Name()].Reset(f.t.Context(), nil); err != nil {
			f.t.Errorf("%s: reset: %s: %v", when, t.Name(), err)
		}
		m := f.machines[t.Name()]
		after, err := m.Snapshot()
		if err != nil {
			f.t.Fatal(err)
		}
		if d := differences(f.before[t.Name()], after); d != "" {
			f.t.Errorf("%s: reset leaves %s another than it was:\n%s", when, t.Name(), d)
		}
		if there(m, agent.StateDir) {
			f.t.Errorf("%s: reset leaves %s on %s", when, agent.StateDir, t.Name())
		}
	}
	if f.t.Failed() {
		f.t.FailNow() // the next run would begin elsewhere
	}
}

// differences are the lines that only one of two snapshots has. The agent's lock goes with a reboot.
func differences(before, after string) string {
	var out []string
	only := func(sign, a, b string) {
		have := map[string]bool{}
		for line := range strings.Lines(b) {
			have[line] = true
		}
		for line := range strings.Lines(a) {
			if !have[line] && !strings.HasPrefix(line, "/run/kubewright.lock ") {
				out = append(out, sign+line)
			}
		}
	}
	only("-", before, after)
	only("+", after, before)
	return strings.Join(out, "")
}

// scratch is a directory in memory where there is such a place: agents sync every record to the disk.
func scratch(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "kubewright-phases-")
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

// TestUpAndReset carries everything out on pretend hosts, again, and takes it off again; and then does so after a failure at a few of the
// changes. TestLaws fails at many more.
func TestUpAndReset(t *testing.T) {
	for _, row := range worlds(t) {
		t.Run(row.name, func(t *testing.T) {
			f := newFleet(t, row.cluster, row.facts)
			for _, m := range f.machines {
				m.FailAt(0) // counts from here
			}
			if err := f.up(); err != nil {
				t.Fatal(err)
			}
			changes := map[string]int{}
			for name, m := range f.machines {
				changes[name] = m.Changes()
			}
			f.settled("after a run", f.works)
			later, err := engine.Expand(phases.Up(), hosts(phases.Inputs(row.cluster, f.laterFacts(), lock(), nil)))
			if err != nil {
				t.Fatal(err)
			}
			f.settled("the next day", later)
			f.again()
			f.reset("after a run")
			for i := range row.cuts {
				host := f.targets[i%len(f.targets)].Name()
				f.cut(host, changes[host]*(i+1)/(row.cuts+1))
			}
			for _, p := range f.problems {
				t.Error(p)
			}
		})
	}
}

// cut fails at a change of a host, runs again and resets.
func (f *fleet) cut(host string, n int) {
	f.t.Helper()
	when := fmt.Sprintf("after a failure at change %d of %s", n, host)
	m := f.machines[host]
	m.FailAt(n)
	if err := f.up(); err == nil {
		f.t.Fatalf("change %d of %s did not fail", n, host)
	}
	m.FailAt(0)
	if err := f.up(); err != nil {
		f.t.Fatalf("%s: %v", when, err)
	}
	f.settled(when, f.works)
	f.reset(when)
}
