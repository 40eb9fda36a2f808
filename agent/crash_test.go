package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// The environment of a test binary that is to be an agent: the root of its machine, and before which change it dies.
const (
	agentRoot = "KUBEWRIGHT_TEST_AGENT_ROOT"
	agentDies = "KUBEWRIGHT_TEST_AGENT_DIES"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(agentRoot); root != "" {
		n, _ := strconv.ParseInt(os.Getenv(agentDies), 10, 64)
		err := agent.Serve(context.Background(), struct {
			io.Reader
			io.Writer
		}{os.Stdin, os.Stdout}, &mortal{Machine: ops.NewPretend(root), left: n}, agent.StateDir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mortal is a machine whose agent is killed just before its nth change: no deferred function runs, nothing is flushed.
type mortal struct {
	ops.Machine
	left int64
}

func (m *mortal) Unwrap() ops.Machine { return m.Machine }

func (m *mortal) Changing(string) error {
	if atomic.AddInt64(&m.left, -1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	}
	return nil
}

// process is an agent of its own, as on a host.
type process struct {
	io.WriteCloser
	io.Reader
	cmd *exec.Cmd
}

func (p *process) Close() error { return p.WriteCloser.Close() }

// start starts an agent that dies before its nth change, or not at all.
func start(t *testing.T, root string, n int) (*agent.Session, *process) {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	// The race detector sleeps for a second at every exit unless it is told not to.
	p.cmd.Env = append(os.Environ(), agentRoot+"="+root, agentDies+"="+strconv.Itoa(n), "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = os.Stderr
	var errIn, errOut error
	p.WriteCloser, errIn = p.cmd.StdinPipe()
	p.Reader, errOut = p.cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, p.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	s, err := agent.Open(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Lock(t.Context(), agent.Holder{User: "u", Workstation: "w", Run: "r"}); err != nil {
		t.Fatal(err)
	}
	return s, p
}

func (p *process) wait() { _ = p.cmd.Wait() }

// files are the steps of a phase that writes files in every way. They leave out units, since a pretend machine's die with it.
func files() []ops.Step {
	ca := ops.Authority{Name: "test", CommonName: "test", Cert: "/etc/pki/ca.crt", KeyFile: "/etc/pki/ca.key"}
	return []ops.Step{
		{Op: ops.File{Path: "/etc/a/b/new", Content: []byte("new\n"), Mode: 0o644}},
		{Op: ops.File{Path: "/etc/existing", Content: []byte("ours\n"), Mode: 0o600}},
		{Op: ops.File{Path: "/etc/secret", Content: []byte("our secret\n"), Mode: 0o600, Secret: true}},
		{Op: ops.File{Path: "/etc/mode", Content: []byte("same\n"), Mode: 0o640}},
		{Op: ops.Block{Path: "/etc/hosts", Name: "nodes", Lines: []string{"192.0.2.1 one"}}},
		{Op: ops.Block{Path: "/etc/hosts", Name: "registry", Lines: []string{"192.0.2.2 two"}}},
		{Op: ops.Block{Path: "/etc/new/fresh", Name: "x", Lines: []string{"y"}}},
		{Op: ops.Fstab{Type: "swap", Off: true}},
		{Op: ops.Merge{Path: "/etc/theirs.toml", Settings: []ops.Setting{{At: []string{"a", "b"}, Value: []byte("2")}, {At: []string{"c", "d"}, Value: []byte("true")}}}},
		{Op: ops.Merge{Path: "/etc/mine/new.json", Settings: []ops.Setting{{At: []string{"a"}, Value: []byte("2")}, {At: []string{"l"}, Elements: []json.RawMessage{[]byte("1")}}}}},
		{Op: ops.Symlink{Path: "/etc/link", Target: "a/b/new"}},
		{Op: ops.Symlink{Path: "/etc/was-a-file", Target: "existing"}},
		{Op: ops.Dir{Path: "/var/lib/ours", Mode: 0o711, Owned: true}},
		{Op: ops.Dir{Path: "/var/lib/empty", Mode: 0o755, Owned: true}},
		{Op: ops.File{Path: "/var/lib/empty/deep/er", Content: []byte("x"), Mode: 0o600}},
		{Op: ca},
		{Op: ops.Certificate{Request: pki.Request{CommonName: "c", Usages: []pki.Usage{pki.ClientAuth}, Days: 10},
			Cert: "/etc/pki/c.crt", KeyFile: "/etc/pki/c.key", Authority: "test", CACert: ca.Cert}},
	}
}

// furnish makes the machine as a user left it.
func furnish(t *testing.T, root string) {
	t.Helper()
	ops.NewPretend(root) // makes the directories that every machine has
	old := time.Date(2020, 2, 3, 4, 5, 6, 789, time.UTC)
	for name, content := range map[string]string{
		"/etc/existing": "the user's\n", "/etc/secret": "the user's secret\n", "/etc/mode": "same\n", "/etc/hosts": "127.0.0.1 localhost\r\n# end",
		"/etc/fstab": "/dev/sda1 / ext4 rw 0 1\n/dev/sda2 none swap sw 0 0", "/etc/theirs.toml": "# mine\r\n[a]\r\nb = 0x1 # one", "/etc/was-a-file": "a file\n", "/etc/untouched": "untouched\n",
	} {
		path := filepath.Join(root, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o604), os.Chmod(path, 0o604), os.Chtimes(path, old, old))
		if err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Symlink("untouched", filepath.Join(root, "etc/link")), os.MkdirAll(filepath.Join(root, "var/lib/empty"), 0o750))
	if err != nil {
		t.Fatal(err)
	}
}

// stable is a snapshot without what differs from run to run: keys and certificates are made anew on each machine.
func stable(all map[string]string) map[string]string {
	all = without(all, agent.StateDir, "/run")
	for _, name := range []string{"/etc/pki/ca.crt", "/etc/pki/ca.key", "/etc/pki/c.crt", "/etc/pki/c.key"} {
		if text, ok := all[name]; ok {
			all[name] = text[:len("-rw-r--r--")]
		}
	}
	return all
}

// stride leaves out most of the deaths where time is short.
func stride() int {
	if testing.Short() {
		return 9
	}
	return 1
}

// The agent is killed before its first change, then before its second, and so on until a run comes through. After each
// death the next agent finds the lock free and comes to what an uninterrupted run comes to; and reset, killed in the same way, ends
// where it all began.
func TestKilledAtEveryChange(t *testing.T) {
	uninterrupted := t.TempDir()
	furnish(t, uninterrupted)
	s, p := start(t, uninterrupted, 0)
	if err := s.Apply(t.Context(), "run", "phase", files(), nil); err != nil {
		t.Fatal(err)
	}
	s.Close()
	p.wait()
	want := stable(snapshot(t, uninterrupted, false))

	for n, through := 1, false; !through; n += stride() {
		root := t.TempDir()
		furnish(t, root)
		first := snapshot(t, root, true)

		s, p := start(t, root, n)
		err := s.Apply(t.Context(), "run", "phase", files(), nil)
		var lost *agent.LostError
		through = err == nil
		if !through && (!errors.As(err, &lost) || lost.During != "phase" || lost.Key == "") {
			t.Fatalf("killed at change %d: %v", n, err)
		}
		s.Close()
		p.wait()

		s, p = start(t, root, 0)
		if err := s.Apply(t.Context(), "run", "phase", files(), nil); err != nil {
			t.Fatalf("after being killed at change %d: %v", n, err)
		}
		s.Close()
		p.wait()
		sameSnapshot(t, fmt.Sprintf("killed at change %d", n), want, stable(snapshot(t, root, false)))

		s, p = start(t, root, n)
		err = s.Reset(t.Context(), nil)
		if err != nil && !errors.As(err, &lost) {
			t.Fatalf("reset killed at change %d: %v", n, err)
		}
		s.Close()
		p.wait()
		s, p = start(t, root, 0)
		if err := s.Reset(t.Context(), nil); err != nil {
			t.Fatalf("reset after being killed at change %d: %v", n, err)
		}
		s.Close()
		p.wait()
		sameSnapshot(t, fmt.Sprintf("reset killed at change %d", n), first, snapshot(t, root, true))
		if t.Failed() {
			return
		}
		if n > 500 {
			t.Fatal("the run never came through")
		}
	}
}

// An agent that was killed in the middle of a change leaves a reset as complete as any.
func TestResetAfterKill(t *testing.T) {
	for n := 1; ; n += stride() {
		root := t.TempDir()
		furnish(t, root)
		first := snapshot(t, root, true)
		s, p := start(t, root, n)
		err := s.Apply(t.Context(), "run", "phase", files(), nil)
		s.Close()
		p.wait()
		if err == nil {
			return
		}
		s, p = start(t, root, 0)
		if err := s.Reset(t.Context(), nil); err != nil {
			t.Fatalf("reset after being killed at change %d: %v", n, err)
		}
		s.Close()
		p.wait()
		sameSnapshot(t, fmt.Sprintf("reset after being killed at change %d", n), first, snapshot(t, root, true))
		if t.Failed() {
			return
		}
	}
}
