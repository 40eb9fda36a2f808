package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/host/sshtest"
	"github.com/kubewright/kubewright/ops"
)

// greeter says hello as the agent with that hash and waits until it is told to leave.
func greeter(hash string) sshtest.Agent {
	return func(_ context.Context, conn io.ReadWriter, stderr io.Writer) int {
		json.NewEncoder(conn).Encode(map[string]any{"hello": agent.Hello{Protocol: agent.Protocol, Hash: hash, Facts: agent.Facts{Arch: runtime.GOARCH}}})
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			if strings.Contains(lines.Text(), `"shutdown"`) {
				break
			}
		}
		return 0
	}
}

// small is a binary of a few bytes for this machine, and its hash.
func small(t *testing.T) (host.AgentBinary, string) {
	t.Helper()
	const text = "the agent"
	hash := sha(text)
	return host.AgentBinary{
		runtime.GOARCH: {SHA256: hash, Bytes: func() ([]byte, error) { return []byte(text), nil }},
		"other":        {SHA256: sha("other"), Bytes: func() ([]byte, error) { return nil, errors.New("the wrong build was asked for") }},
	}, hash
}

func binaryPath(s *sshtest.Server, b host.AgentBinary) string {
	return filepath.Join(s.Root, agent.StateDir, "agent", b.ID(), "kubewright-agent")
}

func TestAgentIsSentOnce(t *testing.T) {
	bin, hash := small(t)
	for _, row := range []struct {
		name, user string
		fault      func(*sshtest.Faults)
		runs       int // commands the first time
	}{
		{name: "root", user: "root", runs: 2},
		{name: "sudo", user: "kw", runs: 4}, // the second place has the sftp-server
		{name: "sudo without sftp-server", user: "kw", fault: func(f *sshtest.Faults) { f.Sudo = sshtest.SudoBare }, runs: 10},
		{name: "one session at a time", user: "kw", fault: func(f *sshtest.Faults) { f.MaxSessions = 1 }, runs: 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{User: row.user, Agent: greeter(hash)})
			if row.fault != nil {
				s.Fault(row.fault)
			}
			c := dial(t, s)
			session, err := c.Agent(t.Context(), bin, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, strings.Join(s.Commands(), "\n"))
			}
			session.Close()
			if n := len(s.Commands()); n != row.runs {
				t.Errorf("%d programs were run, not %d:\n%s", n, row.runs, strings.Join(s.Commands(), "\n"))
			}
			file := binaryPath(s, bin)
			if got := string(read(t, file)); got != "the agent" {
				t.Errorf("the agent on the host is %q", got)
			}
			for dir, mode := filepath.Dir(file), os.FileMode(0o700); filepath.Base(dir) != "lib"; dir = filepath.Dir(dir) {
				if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != mode {
					t.Errorf("%s has mode %v", dir, fi.Mode())
				}
				if left, _ := filepath.Glob(dir + "/*.part"); left != nil {
					t.Errorf("left behind: %v", left)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(s.Root, "home/kw/.kubewright*")); left != nil {
				t.Errorf("left behind: %v", left)
			}

			before := len(s.Commands())
			c = dial(t, s)
			if session, err = c.Agent(t.Context(), bin, nil); err != nil {
				t.Fatal(err)
			}
			session.Close()
			if fast := s.Commands()[before:]; len(fast) != 1 {
				t.Errorf("the second start ran more than the agent:\n%s", strings.Join(fast, "\n"))
			}
		})
	}
}

func TestAgentStartsAfterNoise(t *testing.T) {
	bin, hash := small(t)
	s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
	s.Install(bin)
	s.Fault(func(f *sshtest.Faults) { f.Noise = "Welcome to node-1!\r\n" })
	session, err := dial(t, s).Agent(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	session.Close()

	s = sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
	s.Fault(func(f *sshtest.Faults) { f.Noise = "Welcome to \x1b[1mnode-1!\r\n" })
	_, err = dial(t, s).Agent(t.Context(), bin, nil)
	if err == nil || !strings.Contains(wantRemedy(t, err), ".bashrc") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("sftp after noise: %v", err)
	}
}

// A crash of the host may leave a file without content under the right name; a shell runs it and returns 0.
func TestAgentCutShortIsSentAgain(t *testing.T) {
	bin, hash := small(t)
	s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
	s.Install(bin)
	os.WriteFile(binaryPath(s, bin), nil, 0o700)
	session, err := dial(t, s).Agent(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
}

func TestForeignAgentIsRefused(t *testing.T) {
	bin, _ := small(t)
	s := sshtest.Start(t, sshtest.Options{Agent: greeter(sha("another"))})
	s.Install(bin)
	_, err := dial(t, s).Agent(t.Context(), bin, nil)
	if err == nil || !strings.Contains(err.Error(), "not ours") {
		t.Fatalf("got %v", err)
	}
	wantRemedy(t, err)
}

func TestPlantedDirectoryIsRefused(t *testing.T) {
	bin, hash := small(t)
	s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(s.Root, agent.StateDir)); err != nil {
		t.Fatal(err)
	}
	_, err := dial(t, s).Agent(t.Context(), bin, nil)
	if err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Fatalf("got %v", err)
	}
	wantRemedy(t, err)
	if left, _ := os.ReadDir(elsewhere); len(left) > 0 {
		t.Errorf("the link was followed: %v", left)
	}
}

func TestSudoRefuses(t *testing.T) {
	bin, hash := small(t)
	for how, want := range map[sshtest.Sudo]string{
		sshtest.SudoAsks:    "kw ALL=(root) NOPASSWD: ALL",
		sshtest.SudoForeign: "kw ALL=(root) NOPASSWD: ALL",
		sshtest.SudoTTY:     "Defaults:kw !requiretty",
		sshtest.SudoAbsent:  "install sudo",
	} {
		s := sshtest.Start(t, sshtest.Options{User: "kw", Agent: greeter(hash)})
		s.Fault(func(f *sshtest.Faults) { f.Sudo = how })
		_, err := dial(t, s).Agent(t.Context(), bin, nil)
		var refused *host.SudoError
		if !errors.As(err, &refused) || refused.User != "kw" || refused.Said == "" {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if r := wantRemedy(t, err); !strings.Contains(r, want) {
			t.Errorf("%s: the remedy is %q", how, r)
		}
		for _, command := range s.Commands() {
			if !strings.HasPrefix(command, "sudo -n ") {
				t.Errorf("%s: %q could wait for a password", how, command)
			}
		}
	}
}

func TestAgentDies(t *testing.T) {
	bin, _ := small(t)
	start := func(a sshtest.Agent) error {
		s := sshtest.Start(t, sshtest.Options{Agent: a})
		s.Install(bin)
		_, err := dial(t, s).Agent(t.Context(), bin, nil)
		return err
	}
	err := start(func(_ context.Context, _ io.ReadWriter, stderr io.Writer) int {
		fmt.Fprint(stderr, strings.Repeat("noise\n", 1<<16), "panic: \x1b]0;owned\a no space left on device\n")
		return 2
	})
	var end *host.ExitError
	if !errors.As(err, &end) || end.Status != 2 || !strings.HasSuffix(end.Last, `panic: \x1b]0;owned\x07 no space left on device`) || len(end.Last) > 4096 {
		t.Errorf("an agent that says why: %v", err)
	}
	wantRemedy(t, err)

	err = start(func(_ context.Context, conn io.ReadWriter, _ io.Writer) int {
		io.WriteString(conn, `{"hello":{"protocol":99}}`+"\n")
		return 0
	})
	if err == nil || !strings.Contains(err.Error(), "protocol") {
		t.Errorf("another protocol: %v", err)
	}
	wantRemedy(t, err)
}

func TestAgentDiesLater(t *testing.T) {
	bin, hash := small(t)
	die := make(chan struct{})
	s := sshtest.Start(t, sshtest.Options{Agent: func(ctx context.Context, conn io.ReadWriter, stderr io.Writer) int {
		go greeter(hash)(ctx, conn, stderr)
		<-die
		fmt.Fprintln(stderr, "out of memory")
		return 137
	}})
	s.Install(bin)
	session, err := dial(t, s).Agent(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	time.AfterFunc(50*time.Millisecond, func() { close(die) })
	_, err = session.Observe(t.Context(), nil)
	var end *host.ExitError
	if !errors.As(err, &end) || end.Status != 137 || end.Last != "out of memory" {
		t.Errorf("got %v", err)
	}
}

// What it costs to have a host's agent say hello, when the agent is there already.
func BenchmarkConnect(b *testing.B) {
	root := b.TempDir()
	s := sshtest.Start(b, sshtest.Options{Root: root, Agent: sshtest.ServeOn(ops.NewPretend(root))})
	s.Install(sshtest.Binary())
	a := s.Address("node-1")
	for b.Loop() {
		c, err := host.Dial(b.Context(), a)
		if err != nil {
			b.Fatal(err)
		}
		session, err := c.Agent(b.Context(), sshtest.Binary(), nil)
		if err != nil {
			b.Fatal(err)
		}
		session.Close()
		c.Close()
	}
}
