//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// edge is a place in a run at which something can be cut off: a step of a host begins there, or has ended.
type edge struct {
	Target, Phase, Key string
	Ended              bool
}

func (e edge) String() string {
	if e.Ended {
		return e.Target + " " + e.Phase + ": after " + e.Key
	}
	return e.Target + " " + e.Phase + ": at the beginning of " + e.Key
}

// happening is an edge that a run has come to.
type happening struct {
	edge
	state string
	took  time.Duration
}

// leg is one run of a command, to its end or to where it was cut off.
type leg struct {
	result
	killed bool // by us, or told to stop
	took   time.Duration
	after  time.Duration // how long it took from the signal to its end
}

// never is for see, where a run is to come to its end.
const never = syscall.Signal(0)

// ride starts up with an inventory and shows what happens in it to see, which says when to send it which signal: SIGKILL to the whole process group,
// at that instant, others to the program alone.
func ride(t *testing.T, file string, see func(happening) syscall.Signal) leg {
	t.Helper()
	events := filepath.Join(t.TempDir(), "events")
	if err := syscall.Mkfifo(events, 0o600); err != nil {
		t.Fatal(err)
	}
	// Opened for reading and writing, so that neither opening waits for a program that may never write, nor reading ends with it.
	pipe, err := os.OpenFile(events, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := inLab(ctx, "kubewright", "up", "--events", events, "-f", file)
	send := make(chan syscall.Signal, 1)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			h, ok := happens(lines.Bytes())
			if !ok {
				continue
			}
			if sig := see(h); sig != never {
				send <- sig
				return
			}
		}
	}()
	l := goOn(t, cmd, send)
	pipe.Close() // ends the reading
	<-watched
	return l
}

// happens reads an event, if it is about a step's beginning or end.
func happens(line []byte) (h happening, ok bool) {
	var e struct {
		Type, Target, Phase, Key, State string
		Took                            time.Duration
	}
	if json.Unmarshal(line, &e) != nil || e.Type != "step" {
		return h, false
	}
	return happening{edge{e.Target, e.Phase, e.Key, e.State != "began"}, e.State, e.Took}, true
}

// goOn runs a command in a process group of its own until it ends or is to get a signal.
func goOn(t *testing.T, cmd *exec.Cmd, send <-chan syscall.Signal) leg {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l := leg{}
	select {
	case sig := <-send:
		pid := -cmd.Process.Pid
		if sig != syscall.SIGKILL {
			pid = childOf(cmd.Process.Pid) // lab exec hands signals on, and it would come twice
		}
		signalled := time.Now()
		l.killed = syscall.Kill(pid, sig) == nil
		<-ended
		l.after = time.Since(signalled)
	case <-ended:
	}
	l.took = time.Since(began)
	l.stdout, l.stderr, l.code = stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
	if l.took >= patience {
		t.Errorf("%s did not end within %s:\n%s", brief(cmd.Args[1:]), patience, lastOf(l.stderr))
	}
	return l
}

// childOf is the process that a process has started, or itself.
func childOf(pid int) int {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range threads {
		b, err := os.ReadFile(file)
		if f := strings.Fields(string(b)); err == nil && len(f) > 0 {
			if child, err := strconv.Atoi(f[0]); err == nil {
				return child
			}
		}
	}
	return pid
}

// lastOf is the end of what a command said.
func lastOf(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}
