package agent_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

// otherwise is what a second run wants of what files makes, and one thing more.
func otherwise() []ops.Step {
	steps := files()
	cert := steps[len(steps)-1].Op.(ops.Certificate)
	cert.DNSNames = []string{"another.example"}
	return []ops.Step{
		{Op: ops.File{Path: "/etc/a/b/new", Content: []byte("newer\n"), Mode: 0o600}},
		{Op: ops.File{Path: "/etc/existing", Absent: true}},
		{Op: ops.File{Path: "/etc/secret", Content: []byte("our other secret\n"), Mode: 0o600, Secret: true}},
		{Op: ops.File{Path: "/etc/mode", Content: []byte("same\n"), Mode: 0o644}},
		{Op: ops.Block{Path: "/etc/hosts", Name: "nodes", Lines: []string{"192.0.2.1 one", "192.0.2.3 three"}}},
		{Op: ops.Block{Path: "/etc/hosts", Name: "registry", Lines: []string{"192.0.2.9 nine"}}},
		{Op: ops.Symlink{Path: "/etc/link", Target: "existing"}},
		{Op: ops.Symlink{Path: "/etc/was-a-file", Absent: true}},
		{Op: ops.Dir{Path: "/var/lib/ours", Mode: 0o700, Owned: true}},
		{Op: ops.Dir{Path: "/var/lib/more", Mode: 0o700, Owned: true}},
		{Op: ops.File{Path: "/var/lib/more/of/it", Content: []byte("x"), Mode: 0o600}},
		{Op: cert},
	}
}

func mustApply(t *testing.T, s *agent.Session, run string, steps []ops.Step) {
	t.Helper()
	if err := s.Apply(t.Context(), run, "phase", steps, nil); err != nil {
		t.Fatal(err)
	}
}

func mustEnd(t *testing.T, s *agent.Session, run string) {
	t.Helper()
	if err := s.End(t.Context(), run); err != nil {
		t.Fatal(err)
	}
}

// The nth change of an undo fails, for every n: the next undo comes to what the first run came to, times included, and reset to where all began.
func TestUndoFailingAtEveryChange(t *testing.T) {
	for n, through := 0, false; !through; n++ {
		b := newBench(t)
		furnish(t, b.root)
		first := snapshot(t, b.root, true)
		frail := &frail{Machine: b.machine}
		b.machine = frail
		s := b.locked(t, nil)
		mustApply(t, s, "one", files())
		mustEnd(t, s, "one")
		middle := without(snapshot(t, b.root, true), agent.StateDir)
		mustApply(t, s, "two", otherwise())
		mustEnd(t, s, "two")

		frail.left.Store(int64(n))
		err := s.Undo(t.Context(), "two", nil)
		through = n > 0 && err == nil
		var failed *agent.ResetError
		if err != nil && !errors.As(err, &failed) {
			t.Fatalf("undo failing at change %d: %v", n, err)
		}
		frail.left.Store(0)
		if !through && n > 0 {
			if p, err := s.Past(t.Context()); err != nil || !p.Open || p.Run != "two" {
				t.Fatalf("undo failing at change %d left %+v, %v", n, p, err)
			}
			if err := s.Undo(t.Context(), "two", nil); err != nil {
				t.Fatalf("undo after failing at change %d: %v", n, err)
			}
		}
		sameSnapshot(t, fmt.Sprintf("undo after failing at change %d", n), middle, without(snapshot(t, b.root, true), agent.StateDir))
		if err := s.Reset(t.Context(), nil); err != nil {
			t.Fatalf("reset after an undo that failed at change %d: %v", n, err)
		}
		s.Close()
		sameSnapshot(t, fmt.Sprintf("reset after an undo that failed at change %d", n), first, snapshot(t, b.root, true))
		if t.Failed() || n > 500 {
			t.FailNow()
		}
	}
}

// An agent that is killed in the middle of an undo leaves one that can be repeated, and a reset that is as complete as any.
func TestUndoKilledAtEveryChange(t *testing.T) {
	for n, through := 1, false; !through; n += stride() {
		root := t.TempDir()
		furnish(t, root)
		first := snapshot(t, root, true)
		s, p := start(t, root, 0)
		mustApply(t, s, "one", files())
		mustEnd(t, s, "one")
		middle := without(snapshot(t, root, true), agent.StateDir)
		mustApply(t, s, "two", otherwise())
		mustEnd(t, s, "two")
		s.Close()
		p.wait()

		s, p = start(t, root, n)
		err := s.Undo(t.Context(), "two", nil)
		through = err == nil
		var lost *agent.LostError
		if err != nil && !errors.As(err, &lost) {
			t.Fatalf("undo killed at change %d: %v", n, err)
		}
		s.Close()
		p.wait()

		s, p = start(t, root, 0)
		if !through && n%2 == 0 {
			if err := s.Undo(t.Context(), "two", nil); err != nil {
				t.Fatalf("undo after being killed at change %d: %v", n, err)
			}
		}
		if through || n%2 == 0 {
			sameSnapshot(t, fmt.Sprintf("undo killed at change %d", n), middle, without(snapshot(t, root, true), agent.StateDir))
		}
		if err := s.Reset(t.Context(), nil); err != nil {
			t.Fatalf("reset after an undo killed at change %d: %v", n, err)
		}
		s.Close()
		p.wait()
		sameSnapshot(t, fmt.Sprintf("reset after an undo killed at change %d", n), first, snapshot(t, root, true))
		if t.Failed() || n > 500 {
			t.FailNow()
		}
	}
}

// A run that comes after an undo which was cut off continues what that was undoing: undoing both leads back before the two.
func TestARunAfterHalfAnUndo(t *testing.T) {
	b := newBench(t)
	furnish(t, b.root)
	frail := &frail{Machine: b.machine}
	b.machine = frail
	s := b.locked(t, nil)
	mustApply(t, s, "one", files())
	mustEnd(t, s, "one")
	middle := without(snapshot(t, b.root, true), agent.StateDir)
	mustApply(t, s, "two", otherwise())
	mustEnd(t, s, "two")
	frail.left.Store(12)
	if err := s.Undo(t.Context(), "two", nil); err == nil {
		t.Fatal("the undo did not fail")
	}
	frail.left.Store(0)
	third := append(otherwise(), ops.Step{Op: ops.File{Path: "/etc/third", Content: []byte("3"), Mode: 0o644}})
	mustApply(t, s, "three", third)
	mustEnd(t, s, "three")
	if err := s.Undo(t.Context(), "three", nil); err != nil {
		t.Fatal(err)
	}
	sameSnapshot(t, "both undone", middle, without(snapshot(t, b.root, true), agent.StateDir))
}

// Of a file that many runs change, the first original and what the last run replaced lie aside, and no more.
func TestAtMostTwoOriginalsAreKept(t *testing.T) {
	b := newBench(t)
	furnish(t, b.root)
	first := snapshot(t, b.root, true)
	s := b.locked(t, nil)
	var before map[string]string
	for _, run := range []string{"one", "two", "three", "four"} {
		before = without(snapshot(t, b.root, true), agent.StateDir)
		mustApply(t, s, run, []ops.Step{
			{Op: ops.File{Path: "/etc/existing", Content: []byte(run), Mode: 0o644}},
			{Op: ops.File{Path: "/etc/new", Content: []byte(run), Mode: 0o644}},
		})
		mustEnd(t, s, run)
	}
	aside := func() (texts []string) {
		names, err := filepath.Glob(filepath.Join(b.root, agent.StateDir, "kept", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		slices.Sort(texts)
		return texts
	}
	if got := aside(); !slices.Equal(got, []string{"the user's\n", "three", "three"}) {
		t.Errorf("aside lie %q", got)
	}
	if err := s.Undo(t.Context(), "four", nil); err != nil {
		t.Fatal(err)
	}
	sameSnapshot(t, "undone", before, without(snapshot(t, b.root, true), agent.StateDir))
	if got := aside(); !slices.Equal(got, []string{"the user's\n"}) {
		t.Errorf("after the undo aside lie %q", got)
	}
	mustApply(t, s, "five", []ops.Step{{Op: ops.File{Path: "/etc/existing", Content: []byte("five"), Mode: 0o644}}})
	mustEnd(t, s, "five")
	if err := s.Undo(t.Context(), "five", nil); err != nil {
		t.Fatal(err)
	}
	sameSnapshot(t, "undone again", before, without(snapshot(t, b.root, true), agent.StateDir))
	if err := s.Reset(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.Close()
	sameSnapshot(t, "reset", first, snapshot(t, b.root, true))
}

// A reset that was begun must be finished: what the runs were is no longer known.
func TestNoUndoAfterHalfAReset(t *testing.T) {
	b := newBench(t)
	furnish(t, b.root)
	frail := &frail{Machine: b.machine}
	b.machine = frail
	s := b.locked(t, nil)
	mustApply(t, s, "one", files())
	mustEnd(t, s, "one")
	frail.left.Store(5)
	if err := s.Reset(t.Context(), nil); err == nil {
		t.Fatal("the reset did not fail")
	}
	frail.left.Store(0)
	if err := s.Undo(t.Context(), "one", nil); err == nil || err.Error() != "a reset was begun on this host and not finished; repeat reset" {
		t.Errorf("undo after half a reset: %v", err)
	}
}

// A note belongs to the run that it was written in, and begins it.
func TestNotes(t *testing.T) {
	b := newBench(t)
	furnish(t, b.root)
	s := b.locked(t, nil)
	mustApply(t, s, "one", files())
	mustEnd(t, s, "one")
	middle := without(snapshot(t, b.root, true), agent.StateDir)
	for _, text := range []string{`{"a":1}`, `["b"]`} {
		if err := s.Note(t.Context(), "two", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Note(t.Context(), "two", []byte("{")); err == nil {
		t.Error("what is no JSON was noted")
	}
	mustApply(t, s, "two", otherwise())
	mustEnd(t, s, "two")
	p, err := s.Past(t.Context())
	if err != nil || p.First || p.Run != "two" || fmt.Sprintf("%s", p.Notes) != `[{"a":1} ["b"]]` {
		t.Errorf("remembered is %+v, %v", p, err)
	}
	if err := s.Undo(t.Context(), "two", nil); err != nil {
		t.Fatal(err)
	}
	sameSnapshot(t, "undone", middle, without(snapshot(t, b.root, true), agent.StateDir))
	if p, err := s.Past(t.Context()); err != nil || len(p.Notes) > 0 {
		t.Errorf("undone, there is %+v, %v", p, err)
	}
}
