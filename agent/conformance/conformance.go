// Package conformance holds the promises that an agent keeps on whatever machine it stands on. One suite runs on the pretend machine, through an SSH
// server in the same process, and on real hosts: where the pretend one lies, the real one says so.
package conformance

import (
	"errors"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// Unit is the systemd unit that the suite writes, starts and removes. It runs /bin/sleep.
const Unit = "kubewright-conformance.service"

// Open starts an agent on the machine and speaks to it. Every call is a new session with the same machine; the suite closes what it opens.
type Open func(t *testing.T) *agent.Session

// Run runs the suite below root, an absolute path on the machine that must not exist yet. Nothing else of the machine is changed but for Unit, and in
// the end nothing is left. A machine that kubewright has changed is refused, since the suite resets it.
func Run(t *testing.T, open func(t *testing.T) *agent.Session, root string) {
	s := &suite{open: open, root: path.Clean(root)}
	first := s.open(t)
	if f := first.Facts(); f.Changes > 0 || f.Cluster != "" {
		first.Close()
		t.Fatalf("this machine belongs to a cluster: the suite would undo %d changes of it", f.Changes)
	}
	if seen := observe(t, first, []ops.Op{ops.Dir{Path: s.root, Mode: 0o755}}); !seen[0].(ops.Dir).Absent {
		first.Close()
		t.Fatalf("%s is there already", s.root)
	}
	first.Close()
	s.prepare(t)
	defer s.clear(t)

	t.Run("observing changes nothing and keeps the order", s.observes)
	t.Run("one run at a time", s.locks)
	t.Run("convergent, idempotent and reversible", s.converges)
	t.Run("the last run can be undone alone", s.undoes)
	t.Run("undoing the only run is a reset", s.undoesTheFirst)
	t.Run("resumable after a failure at every step", s.resumes)
	t.Run("resumable after a cancellation at every step", s.survivesCancellation)
	t.Run("signs what was asked for and nothing else", s.signs)
	t.Run("reset of an untouched machine", s.resetsNothing)
	t.Run("an untouched machine forgets, a changed one does not", s.forgets)
}

type suite struct {
	open Open
	root string
}

// prepared is what the machine holds before kubewright comes.
func (s *suite) prepared() []ops.Op {
	return []ops.Op{
		ops.Dir{Path: s.root, Mode: 0o755},
		ops.File{Path: s.root + "/existing.conf", Content: []byte("written by the user\n"), Mode: 0o640},
		ops.File{Path: s.root + "/secret", Content: []byte("the user's own secret\n"), Mode: 0o600, Secret: true},
		ops.File{Path: s.root + "/mode.conf", Content: []byte("only the mode changes\n"), Mode: 0o600},
		ops.File{Path: s.root + "/hosts", Content: []byte("127.0.0.1 localhost\r\n# no line end here"), Mode: 0o644},
		ops.File{Path: s.root + "/shared.toml", Content: []byte("# theirs\n[a]\nb = 0x1 # one"), Mode: 0o640},
		ops.Symlink{Path: s.root + "/link", Target: "existing.conf"},
		ops.Dir{Path: s.root + "/empty", Mode: 0o700},
	}
}

// steps is a small phase that touches the machine in every way a file or a unit can be touched.
func (s *suite) steps() []ops.Step {
	unit := "[Unit]\nDescription=kubewright conformance\n[Service]\nEnvironment=" + ops.InputsVar + "=one\nExecStart=/bin/sleep infinity\n" +
		"[Install]\nWantedBy=multi-user.target\n"
	return []ops.Step{
		{Op: ops.File{Path: s.root + "/a/b/new.conf", Content: []byte("new\n"), Mode: 0o644}, Why: "a file in directories that are not there"},
		{Op: ops.File{Path: s.root + "/existing.conf", Content: []byte("written by kubewright\n"), Mode: 0o644}, Why: "a file that is there"},
		{Op: ops.File{Path: s.root + "/secret", Content: []byte("our secret\n"), Mode: 0o600, Secret: true}, Why: "a secret in place of a secret"},
		{Op: ops.File{Path: s.root + "/mode.conf", Content: []byte("only the mode changes\n"), Mode: 0o644}, Why: "only the mode"},
		{Op: ops.Block{Path: s.root + "/hosts", Name: "nodes", Lines: []string{"192.0.2.1 one", "192.0.2.2 two"}}, Why: "a block in the user's file"},
		{Op: ops.Block{Path: s.root + "/hosts", Name: "registry", Lines: []string{"192.0.2.9 registry"}}, Why: "another block in the same file"},
		{Op: ops.Merge{Path: s.root + "/shared.toml", Settings: []ops.Setting{
			{At: []string{"a", "b"}, Value: []byte("2")}, {At: []string{"a.c", "d"}, Value: []byte("true")}}}, Why: "keys in the user's file"},
		{Op: ops.Symlink{Path: s.root + "/link", Target: "a/b/new.conf"}, Why: "a link that pointed elsewhere"},
		{Op: ops.Symlink{Path: s.root + "/new-link", Target: "link"}, Why: "a link that was not there"},
		{Op: ops.Dir{Path: s.root + "/owned", Mode: 0o700, Owned: true}, Why: "a directory of our own"},
		{Op: ops.Dir{Path: s.root + "/empty", Mode: 0o750, Owned: true}, Why: "a directory that was there and empty"},
		{Op: ops.File{Path: s.root + "/owned/below/it", Content: []byte("x"), Mode: 0o600}, Why: "something below it"},
		{Op: s.authority(), Why: "an authority"},
		{Op: s.certificate(), Why: "a certificate that this host signs for itself"},
		{Op: ops.File{Path: "/etc/systemd/system/" + Unit, Content: []byte(unit), Mode: 0o644}, Why: "a unit to start"},
		{Op: ops.Unit{Name: Unit, Enabled: true, Active: true, Inputs: "one"}, Why: "it runs"},
	}
}

func (s *suite) authority() ops.Authority {
	return ops.Authority{Name: "conformance", CommonName: "conformance", Cert: s.root + "/pki/ca.crt", KeyFile: s.root + "/pki/ca.key"}
}

func (s *suite) request() pki.Request {
	return pki.Request{CommonName: "client", Organization: []string{"testers"}, Usages: []pki.Usage{pki.ClientAuth}, Days: 30}
}

func (s *suite) certificate() ops.Certificate {
	return ops.Certificate{Request: s.request(), Authority: "conformance", CACert: s.root + "/pki/ca.crt",
		Cert: s.root + "/pki/client.crt", KeyFile: s.root + "/pki/client.key"}
}

// session opens a session that holds the lock. The one before may take a moment to let go.
func (s *suite) session(t *testing.T) *agent.Session {
	t.Helper()
	session := s.open(t)
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := session.Lock(t.Context(), holder("suite"))
		var locked *agent.LockedError
		if err == nil {
			return session
		}
		if !errors.As(err, &locked) || time.Now().After(deadline) {
			session.Close()
			t.Fatalf("lock: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func holder(run string) agent.Holder {
	return agent.Holder{User: "tester", Workstation: "bench", Run: run, Since: time.Unix(1700000000, 0).UTC()}
}

// prepare makes what a user would have made. The suite reaches the machine through nothing but sessions, so that is done with ops, too, and
// then the journal is made to forget it.
func (s *suite) prepare(t *testing.T) {
	t.Helper()
	var steps []ops.Step
	for _, op := range s.prepared() {
		steps = append(steps, ops.Step{Op: op, Why: "prepared"})
	}
	s.unjournaled(t, steps)
}

// clear removes everything again, also what a failed test left.
func (s *suite) clear(t *testing.T) {
	t.Helper()
	session := s.session(t)
	reset(t, session)
	session.Close()
	s.unjournaled(t, []ops.Step{{Op: ops.Dir{Path: s.root, Mode: 0o755, Owned: true}}})
	s.unjournaled(t, []ops.Step{{Op: ops.Dir{Path: s.root, Absent: true}}})
	session = s.session(t)
	defer session.Close()
	reset(t, session)
}

// unjournaled applies steps that reset will not undo.
func (s *suite) unjournaled(t *testing.T, steps []ops.Step) {
	t.Helper()
	session := s.session(t)
	defer session.Close()
	steps = append(steps, ops.Step{Op: ops.File{Path: session.Hello().StateDir + "/journal.jsonl", Absent: true}})
	if err := session.Apply(t.Context(), "prepare", "prepare", steps, nil); err != nil {
		t.Fatalf("prepare: %v", err)
	}
}

func wishes(steps []ops.Step) (all []ops.Op) {
	for _, step := range steps {
		all = append(all, step.Op)
	}
	return all
}

func observe(t *testing.T, session *agent.Session, wishes []ops.Op) []ops.Op {
	t.Helper()
	seen, err := session.Observe(t.Context(), wishes)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	return seen
}

// equal compares observations one by one, as the engine would.
func equal(t *testing.T, when string, want, seen []ops.Op) {
	t.Helper()
	for i := range want {
		if !ops.Equal(want[i], seen[i]) {
			t.Errorf("%s: %s is not as it should be:\nwant %s\nseen %s", when, want[i].Key(), text(want[i]), text(seen[i]))
		}
	}
}

func text(op ops.Op) string { return fmt.Sprintf("%+v", ops.Masked(op)) }
