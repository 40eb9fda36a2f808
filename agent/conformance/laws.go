package conformance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

func (s *suite) observes(t *testing.T) {
	session := s.open(t)
	defer session.Close()
	all := wishes(s.steps())
	first := observe(t, session, all)
	for i := range all {
		if first[i].Key() != all[i].Key() {
			t.Fatalf("observation %d is of %s, not of %s", i, first[i].Key(), all[i].Key())
		}
		if ops.Equal(all[i], first[i]) {
			t.Errorf("%s is as wished before anything was done", all[i].Key())
		}
	}
	equal(t, "observed again", first, observe(t, session, all))
	equal(t, "prepared", s.prepared(), observe(t, session, s.prepared()))
}

func (s *suite) locks(t *testing.T) {
	one := s.open(t)
	defer one.Close()
	if err := one.Apply(t.Context(), "r", "p", s.steps()[:1], nil); err == nil || !strings.Contains(err.Error(), "lock") {
		t.Fatalf("a change without the lock: %v", err)
	}
	if err := one.Reset(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "lock") {
		t.Fatalf("a reset without the lock: %v", err)
	}
	if err := one.Lock(t.Context(), holder("first")); err != nil {
		t.Fatal(err)
	}
	two := s.open(t)
	defer two.Close()
	var locked *agent.LockedError
	if err := two.Lock(t.Context(), holder("second")); !errors.As(err, &locked) {
		t.Fatalf("the second run got the lock: %v", err)
	}
	if locked.Holder != holder("first") && locked.Holder.PID == 0 {
		t.Errorf("the holder is named as %+v", locked.Holder)
	}
	one.Close()
	s.session(t).Close()
}

func (s *suite) converges(t *testing.T) {
	session := s.session(t)
	defer func() { session.Close() }()
	steps := s.steps()
	first := observe(t, session, wishes(steps))
	states := apply(t, session, steps)
	for i, state := range states {
		if state != ops.Changed {
			t.Errorf("%s: %s in the first run", steps[i].Op.Key(), state)
		}
	}
	equal(t, "convergent", wishes(steps), observe(t, session, wishes(steps)))

	session.Close()
	session = s.session(t)
	if n := session.Facts().Changes; n != len(steps) {
		t.Errorf("the journal remembers %d of %d changes", n, len(steps))
	}
	for i, state := range apply(t, session, steps) {
		if state != ops.Same {
			t.Errorf("%s: %s in the second run", steps[i].Op.Key(), state)
		}
	}

	// A later run with another wish does not make reset forget how things were first.
	changed := ops.File{Path: s.root + "/existing.conf", Content: []byte("written by a later kubewright\n"), Mode: 0o600}
	apply(t, session, []ops.Step{{Op: changed, Why: "a later version"}})

	var order []ops.Key
	if err := session.Reset(t.Context(), func(p ops.Progress) {
		if p.State == ops.Began {
			order = append(order, p.Key)
		}
	}); err != nil {
		t.Fatalf("reset: %v", err)
	}
	var want []ops.Key
	for _, step := range slices.Backward(steps) {
		want = append(want, step.Op.Key())
	}
	if !slices.Equal(order, want) {
		t.Errorf("reset went\n%v\nnot\n%v", order, want)
	}
	equal(t, "reversible", first, observe(t, session, wishes(steps)))
	equal(t, "reversible", s.prepared(), observe(t, session, s.prepared()))
	state := observe(t, session, []ops.Op{ops.Dir{Path: session.Hello().StateDir, Mode: 0o700}})
	if !state[0].(ops.Dir).Absent {
		t.Error("reset left the state directory")
	}
}

// broken is a step that fails on any machine, having changed nothing.
func (s *suite) broken() ops.Step {
	return ops.Step{Op: ops.File{Path: s.root + "/never", Digest: "sha256:" + strings.Repeat("0", 64), Mode: 0o644}, Why: "it cannot be had"}
}

func (s *suite) resumes(t *testing.T) {
	steps := s.steps()
	for n := range len(steps) + 1 {
		session := s.session(t)
		first := observe(t, session, wishes(steps))
		bad := s.broken()
		err := session.Apply(t.Context(), "run", "phase", slices.Insert(slices.Clone(steps), n, bad), nil)
		var failed *agent.StepError
		if !errors.As(err, &failed) || failed.Key != bad.Op.Key() || failed.Why != bad.Why || failed.Phase != "phase" {
			t.Fatalf("failing at step %d: %v", n, err)
		}
		seen := observe(t, session, wishes(steps))
		equal(t, "before the failure", wishes(steps)[:n], seen[:n])
		session.Close()

		session = s.session(t)
		apply(t, session, steps)
		equal(t, "resumed", wishes(steps), observe(t, session, wishes(steps)))
		reset(t, session)
		equal(t, "resumed and reset", first, observe(t, session, wishes(steps)))
		equal(t, "resumed and reset", s.prepared(), observe(t, session, s.prepared()))
		session.Close()
	}
}

func (s *suite) survivesCancellation(t *testing.T) {
	steps := s.steps()
	for n := range steps {
		session := s.session(t)
		first := observe(t, session, wishes(steps))
		ctx, cancel := context.WithCancel(t.Context())
		began := 0
		err := session.Apply(ctx, "run", "phase", steps, func(p ops.Progress) {
			if p.State == ops.Began {
				if began++; began == n+1 {
					cancel()
				}
			}
		})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled at step %d: %v", n, err)
		}
		session.Close()

		session = s.session(t)
		apply(t, session, steps)
		equal(t, "resumed", wishes(steps), observe(t, session, wishes(steps)))
		reset(t, session)
		equal(t, "resumed and reset", first, observe(t, session, wishes(steps)))
		session.Close()
	}
}

func (s *suite) signs(t *testing.T) {
	session := s.session(t)
	defer session.Close()
	if _, err := session.ReadCA(t.Context(), "conformance"); err == nil {
		t.Error("an authority that nobody made was read")
	}
	apply(t, session, []ops.Step{{Op: s.authority(), Why: "an authority"}})
	ca, err := session.ReadCA(t.Context(), "conformance")
	if err != nil || !pki.IsAuthority(ca, "conformance") {
		t.Fatalf("read the authority: %v\n%s", err, ca)
	}
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := pki.NewCSR(key, s.request())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := session.Sign(t.Context(), "conformance", csr, s.request())
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	if why := pki.Stale(cert, key, ca, s.request(), session.Facts().Now.Add(time.Minute)); why != "" {
		t.Errorf("the certificate is not what was asked for: %s", why)
	}
	greedy := s.request()
	greedy.Organization = []string{"system:masters"}
	if _, err := session.Sign(t.Context(), "conformance", csr, greedy); err == nil {
		t.Error("a CSR was signed that asks for something else than the request")
	}
	if csr, err = pki.NewCSR(key, greedy); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Sign(t.Context(), "conformance", csr, s.request()); err == nil {
		t.Error("a CSR was signed that asks for more than the request")
	}
	if _, err := session.Sign(t.Context(), "another", csr, greedy); err == nil {
		t.Error("an authority signed that is not there")
	}
	reset(t, session)
}

func (s *suite) resetsNothing(t *testing.T) {
	session := s.session(t)
	defer session.Close()
	reset(t, session)
	reset(t, session)
	equal(t, "reset", s.prepared(), observe(t, session, s.prepared()))
}

func (s *suite) forgets(t *testing.T) {
	session := s.session(t)
	defer session.Close()
	if err := session.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := ops.Dir{Path: session.Hello().StateDir, Mode: 0o700}
	if seen := observe(t, session, []ops.Op{dir}); !seen[0].(ops.Dir).Absent {
		t.Errorf("%s is still there: %+v", dir.Path, seen[0])
	}
	changed := s.steps()[:1]
	apply(t, session, changed)
	if err := session.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen := observe(t, session, []ops.Op{dir}); seen[0].(ops.Dir).Absent {
		t.Error("a host that was changed was forgotten")
	}
	reset(t, session)
	equal(t, "reset", s.prepared(), observe(t, session, s.prepared()))
}

func apply(t *testing.T, session *agent.Session, steps []ops.Step) (states []ops.State) {
	t.Helper()
	err := session.Apply(t.Context(), "run", "phase", steps, func(p ops.Progress) {
		if p.State != ops.Began {
			states = append(states, p.State)
		}
	})
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	if len(states) != len(steps) {
		t.Fatalf("%d steps ended, of %d", len(states), len(steps))
	}
	return states
}

func reset(t *testing.T, session *agent.Session) {
	t.Helper()
	if err := session.Reset(t.Context(), nil); err != nil {
		t.Fatalf("reset: %v", err)
	}
}
