package conformance

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

// undoes: after two runs an undo leads back to the end of the first, once, and a reset from there to the beginning.
func (s *suite) undoes(t *testing.T) {
	session := s.session(t)
	defer session.Close()
	first := observe(t, session, wishes(s.steps()))
	run := func(name string, steps []ops.Step) {
		t.Helper()
		if err := session.Apply(t.Context(), name, "phase", steps, nil); err != nil {
			t.Fatalf("apply: %v", err)
		}
	}
	end := func(name string) {
		t.Helper()
		if err := session.End(t.Context(), name); err != nil {
			t.Fatalf("end: %v", err)
		}
	}
	past := func() agent.Past {
		t.Helper()
		p, err := session.Past(t.Context())
		if err != nil {
			t.Fatalf("past: %v", err)
		}
		return p
	}
	run("one-cut-off", s.steps()[:3])
	run("one", s.steps())
	if p := past(); !p.Open || !p.First || p.Run != "one" || len(p.Changes) != len(s.steps()) {
		t.Errorf("the first run is remembered as %+v", p)
	}
	end("one")
	middle := observe(t, session, wishes(s.steps()))

	later := s.later()
	run("two", later)
	end("two")
	equal(t, "the second run", wishes(later), observe(t, session, wishes(later)))
	if p := past(); p.Open || p.First || p.Undone || p.Run != "two" || len(p.Changes) != len(later) {
		t.Errorf("the second run is remembered as %+v", p)
	}
	if err := session.Undo(t.Context(), "one", nil); err == nil || !strings.Contains(err.Error(), "the last run here was two, not one") {
		t.Errorf("undoing a run that is not the last: %v", err)
	}
	var undone []ops.Key
	if err := session.Undo(t.Context(), "two", func(p ops.Progress) {
		if p.State == ops.Changed {
			undone = append(undone, p.Key)
		}
	}); err != nil {
		t.Fatalf("undo: %v", err)
	}
	for _, step := range later {
		if !slices.Contains(undone, step.Op.Key()) {
			t.Errorf("%s was not undone", step.Op.Key())
		}
	}
	equal(t, "undone", wishes(s.steps()), observe(t, session, wishes(s.steps())))
	equal(t, "undone", middle, observe(t, session, wishes(s.steps())))
	if fresh := observe(t, session, wishes(later[len(later)-1:])); ops.Equal(later[len(later)-1].Op, fresh[0]) {
		t.Error("what the second run brought is still there")
	}
	if p := past(); !p.Undone || p.Run != "two" || len(p.Changes) > 0 {
		t.Errorf("the undone run is remembered as %+v", p)
	}
	for _, name := range []string{"two", "one"} {
		if err := session.Undo(t.Context(), name, nil); err == nil || !strings.Contains(err.Error(), "there is no run to undo") {
			t.Errorf("undoing %s a second time: %v", name, err)
		}
	}
	reset(t, session)
	equal(t, "undone and reset", first, observe(t, session, wishes(s.steps())))
	equal(t, "undone and reset", s.prepared(), observe(t, session, s.prepared()))
}

// undoesTheFirst: undoing the only run is a reset.
func (s *suite) undoesTheFirst(t *testing.T) {
	session := s.session(t)
	defer session.Close()
	first := observe(t, session, wishes(s.steps()))
	if err := session.Undo(t.Context(), "none", nil); err == nil || !strings.Contains(err.Error(), "there is no run to undo") {
		t.Errorf("undoing nothing: %v", err)
	}
	apply(t, session, s.steps())
	if err := session.Undo(t.Context(), "run", nil); err != nil {
		t.Fatalf("undo: %v", err)
	}
	equal(t, "undone", first, observe(t, session, wishes(s.steps())))
	equal(t, "undone", s.prepared(), observe(t, session, s.prepared()))
	dir := ops.Dir{Path: session.Hello().StateDir, Mode: 0o700}
	if seen := observe(t, session, []ops.Op{dir}); !seen[0].(ops.Dir).Absent {
		t.Error("undoing the first run left the state directory")
	}
}

// later is what another run wants otherwise, or in addition.
func (s *suite) later() []ops.Step {
	unit := "[Unit]\nDescription=kubewright conformance\n[Service]\nEnvironment=" + ops.InputsVar + "=two\nExecStart=/bin/sleep infinity\n" +
		"[Install]\nWantedBy=multi-user.target\n"
	renewed := s.certificate()
	renewed.DNSNames = []string{"also.example"}
	return []ops.Step{
		{Op: ops.File{Path: s.root + "/existing.conf", Content: []byte("written by another run\n"), Mode: 0o600}, Why: "a file that was the user's, and ours since"},
		{Op: ops.File{Path: s.root + "/secret", Content: []byte("another secret\n"), Mode: 0o600, Secret: true}, Why: "a secret in place of our secret"},
		{Op: ops.File{Path: s.root + "/mode.conf", Content: []byte("only the mode changes\n"), Mode: 0o640}, Why: "only the mode"},
		{Op: ops.Block{Path: s.root + "/hosts", Name: "nodes", Lines: []string{"192.0.2.1 one"}}, Why: "another block"},
		{Op: ops.Symlink{Path: s.root + "/link", Target: "link"}, Why: "a link that points elsewhere"},
		{Op: ops.Dir{Path: s.root + "/owned", Mode: 0o711, Owned: true}, Why: "a directory with another mode"},
		{Op: renewed, Why: "a certificate with another name"},
		{Op: ops.File{Path: "/etc/systemd/system/" + Unit, Content: []byte(unit), Mode: 0o644}, Why: "a unit that starts from something else"},
		{Op: ops.Unit{Name: Unit, Enabled: true, Active: true, Inputs: "two"}, Why: "it runs from there"},
		{Op: ops.File{Path: s.root + "/c/d/new.conf", Content: []byte("new\n"), Mode: 0o644}, Why: "a file that only this run wants"},
	}
}
