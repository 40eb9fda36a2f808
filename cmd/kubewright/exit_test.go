package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/inventory"
)

var (
	aLock     = &agent.LockedError{Holder: agent.Holder{User: "ada", Workstation: "desk", Run: "r", Since: time.Unix(0, 0)}}
	aHost     = &host.Error{Host: "node", Op: "connect to 10.0.0.2:22", Cause: errors.New("connection refused"), Remedy: "start it"}
	aStep     = &engine.StepError{Target: "master", Phase: "registry", Key: "unit:x", Why: "hosts fetch from it", Cause: errors.New("did not start")}
	aLost     = &engine.StepError{Target: "node", Cause: aHost}
	aWait     = &engine.StepError{Target: "node", Phase: "join", Cause: &engine.WaitError{For: []engine.Ref{{Target: "master", Phase: "api"}}, After: time.Hour}}
	aBlock    = &engine.StepError{Target: "node", Phase: "join", Cause: &engine.BlockedError{By: engine.Ref{Target: "master", Phase: "api"}, State: "failed"}}
	errStop   = fmt.Errorf("stopped: %w", context.Canceled)
	aProblem  = inventory.Problems{{File: "cluster.yaml", Line: 3, Column: 1, Path: "spec", Wrong: "is missing", Code: "KW-INV-000"}}
	anUnseen  = &engine.StepError{Target: "node", Phase: "containerd", Key: "merge:/x", Cause: errors.New("line 2, column 9: expected ']'"), Unseen: true}
	aRefusal  = coded{exitRefused, errors.New("it is there already")}
	aFinding  = coded{exitPreflight, errors.Join(errors.New("preflight: a"), errors.New("preflight: b"))}
	aRest     = &agent.ResetError{Failed: []*agent.StepError{{Phase: "host", Key: "file:/x", Cause: errors.New("is busy")}}}
	aConflict = coded{exitConflict, errors.New("it belongs to prod")}
)

// TestExitCodes is the table in docs/cli.md, and which one counts where there are several.
func TestExitCodes(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"something that nobody foresaw", errors.New("boom"), 1},
		{"a command line", usageError{errors.New("unknown flag")}, 2},
		{"an inventory", aProblem, 2},
		{"a finding", aFinding, 3},
		{"a host", aHost, 4},
		{"a host in a sentence", fmt.Errorf("reach: %w", aHost), 4},
		{"a step", aStep, 5},
		{"a step that could not be looked at", anUnseen, 3},
		{"one of several that could not be looked at", errors.Join(aLost, anUnseen), 3},
		{"a phase that waited for one that failed", aBlock, 5},
		{"a lock", aLock, 6},
		{"a lock on one of the hosts", fmt.Errorf("node: %w", aLock), 6},
		{"another cluster's host", aConflict, 7},
		{"a saved plan that does not hold", broken([]engine.Breach{{Target: "node", Key: "file:/x", Says: "is gone"}}), 7},
		{"a reset that left something", coded{exitStep, aRest}, 5},
		{"a refusal", aRefusal, 8},
		{"a wait that took too long", aWait, 9},
		{"a difference", coded{exitChanges, errors.New("there is something to do")}, 20},
		{"an interruption", errStop, 130},
		{"an interruption while connecting", &host.Error{Host: "node", Op: "log in", Cause: context.Canceled}, 130},
		{"a cluster that is not there", addons.ErrNoCluster, 1},

		{"a host and a lock", errors.Join(aHost, aLock), 6},
		{"a lock and a host", errors.Join(aLock, aHost), 6},
		{"a step and an interruption", errors.Join(aStep, errStop), 130},
		{"a step and one that waited", errors.Join(aStep, aWait), 9},
		{"a step whose host was lost", aLost, 5},
		{"a step and a host", errors.Join(aHost, aStep), 5},
		{"a finding and a host", errors.Join(aHost, aFinding), 3},
		{"another cluster's host and one that cannot be reached", errors.Join(aHost, aConflict), 7},
		{"told already", told{errors.Join(aStep, aBlock)}, 5},
		{"told already, and interrupted", told{errors.Join(aStep, errStop)}, 130},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got int
			said(t, func() { got = finish(row.err) })
			if got != row.want {
				t.Errorf("%v ends with %d, not %d", row.err, got, row.want)
			}
		})
	}
}

func TestACommandThatWasRunSpeaksForItself(t *testing.T) {
	err := exec.Command("go", "no-such-command").Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if code := exitCode(err); code != exitBug {
		t.Errorf("a tool of our own that failed ends with %d", code)
	}
	var code int
	if text := said(t, func() { code = finish(fmt.Errorf("lab exec: %w", spoken(err))) }); text != "" || code != exit.ExitCode() {
		t.Errorf("it ended with %d and %q, not %d", code, text, exit.ExitCode())
	}
}

// TestWhatIsSaid: a line for each failure, each with what to do; nothing twice, and nothing that a host could draw with.
func TestWhatIsSaid(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"nothing", nil, ""},
		{"two hosts", errors.Join(aHost, fmt.Errorf("master: %w", aLock)),
			"error: node: connect to 10.0.0.2:22: connection refused\n  what to do: start it\n" +
				"error: master: another run holds the lock of this host: ada@desk, run r, since 1970-01-01T00:00:00Z\n" +
				"  what to do: wait until it is done; the lock goes with the process that holds it\n"},
		{"two findings", aFinding, "error: preflight: a\nerror: preflight: b\n"},
		{"joined in joined", errors.Join(errors.Join(aRefusal, aRefusal), aHost),
			"error: it is there already\nerror: it is there already\nerror: node: connect to 10.0.0.2:22: connection refused\n  what to do: start it\n"},
		{"an inventory", aProblem, "cluster.yaml:3:1: spec: is missing [KW-INV-000]\n"},
		{"a step", aStep, "error: registry: master: unit:x: did not start\n  the step: hosts fetch from it\n" +
			"  what to do: mend the cause and run the same command again: it continues from there\n"},
		{"a step with its last lines", &engine.StepError{Target: "node", Cause: errors.New("x"), Last: "one\n\x1b[2Jtwo\n", Remedy: "do this"},
			"error: node: x\n  its last lines:\n    one\n    \\x1b[2Jtwo\n  what to do: do this\n"},
		{"a saved plan that does not hold", broken([]engine.Breach{{Target: "node", Key: "file:/x", Says: "value was 0, is 1 now", Diff: "--- a\n+++ b\n@@ -1 +1 @@\n-0\n+1\x1b\n"}}),
			"node: file:/x: value was 0, is 1 now\n    @@ -1 +1 @@\n    -0\n    +1\\x1b\n" +
				"error: 1 thing is not as the plan says; nothing was changed: look at it, and make the plan anew with kubewright plan\n"},
		{"a reset that left something", fmt.Errorf("reset: node: %w", aRest),
			"error: reset: node: could not be put back: host: file:/x: is busy\n" +
				"  what to do: mend the cause and repeat the command; until then the journal stays in /var/lib/kubewright on the host\n"},
		{"words of a host", errors.New("a \x1b[31mred\x1b[0m\nword"), `error: a \x1b[31mred\x1b[0m\nword` + "\n"},
		{"told already", told{aStep}, ""},
		{"a difference, which the plan has shown", coded{exitChanges, errors.New("there is something to do")}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := said(t, func() { finish(row.err) }); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

// Whatever kept a run from its end, its last line says how it goes on.
func TestHowARunGoesOn(t *testing.T) {
	lost := &agent.LostError{During: "registry", Cause: errors.New("the program ended by signal KILL")}
	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"a step":          {aStep, "mend the cause and run the same command again: it continues from there"},
		"an interruption": {errors.Join(aStep, errStop), "run the same command again: it continues from there"},
		"a lost host":     {errors.Join(aBlock, &engine.StepError{Target: "node", Cause: lost}), "run the same command again once the host can be reached; it continues where it stopped"},
	} {
		if got := resumption(row.err); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

// said is what do writes to stderr.
func said(t *testing.T, do func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = w
	do()
	os.Stderr = old
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestResetWantsTheName(t *testing.T) {
	c := &inventory.Cluster{Metadata: inventory.Metadata{Name: "lab"}}
	for _, row := range []struct{ yes, in, want string }{
		{"lab", "", ""},
		{"", "lab\n", "say --yes=lab"}, // nobody at a terminal
		{"Lab", "", "called lab, not Lab"},
		{"lab ", "", "called lab, not lab "},
		{"x\x1b[2J", "", `not x\x1b[2J`},
	} {
		err := confirm(strings.NewReader(row.in), io.Discard, c, row.yes, "reset takes the cluster off its hosts", "")
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || exitCode(err) != exitRefused) {
			t.Errorf("--yes=%q: %v", row.yes, err)
		}
	}
}
