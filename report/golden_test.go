package report

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what a view wrote with a file that a reviewer can read.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// final is an op that cannot be undone.
type final struct{ Value string }

func (final) Key() ops.Key                                           { return "final:x" }
func (f final) Observe(context.Context, ops.Machine) (ops.Op, error) { return f, nil }
func (final) Set(context.Context, ops.Machine, ops.Op) error         { return nil }
func (final) OneWay() bool                                           { return true }

// examplePlan is a small cluster: one host half done, one that is as it should be, one that does not answer.
func examplePlan() *engine.Plan {
	step := func(op ops.Op, why string) engine.Step { return engine.Step{Op: op, Why: why} }
	hosts := step(ops.File{Path: "/etc/hosts.d/cluster", Content: []byte("10.0.0.1 master\n10.0.0.2 node-1\n"), Mode: 0o644}, "hosts find each other by name")
	forward := step(ops.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}, "packets of pods are routed through the host")
	link := step(ops.Symlink{Path: "/etc/systemd/system/swap.img.swap", Absent: true}, "a \x1b[2Jhost said \u202ethis")
	wipe := step(final{"y"}, "nothing of the old disk is kept")
	work := func(target, phase, short string, after []string, steps ...engine.Step) engine.Work {
		return engine.Work{Target: target, Phase: phase, Short: short, After: after, Steps: steps}
	}
	return &engine.Plan{Works: []engine.PlannedWork{
		{Work: work("master", "prepare", "make the host ready", nil, hosts, forward, link), Changes: []engine.Change{
			{Step: hosts, Was: ops.File{Path: "/etc/hosts.d/cluster", Absent: true}},
			{Step: forward, Was: ops.Sysctl{Name: "net.ipv4.ip_forward", Value: "0"}},
			{Step: link, Was: ops.Symlink{Path: "/etc/systemd/system/swap.img.swap", Target: "/dev/null"}},
		}},
		{Work: work("master", "same", "nothing of this changes", nil, forward)},
		{Work: work("master", "disk", "", []string{"prepare"}, wipe), Changes: []engine.Change{{Step: wipe, Was: final{"n"}}}},
		{Work: work("node-1", "prepare", "make the host ready", nil, forward)},
		{Work: work("node-2", "prepare", "make the host ready", nil, forward), Err: errors.New("connection refused\nby \x1b]0;the other side")},
	}}
}

// clock0 is when the example run begins.
var clock0 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// exampleRun is the stream of a run in which a node fails and another is blocked.
func exampleRun() []engine.Event {
	at := func(secs float64, e engine.Event) engine.Event {
		e.Time = clock0.Add(time.Duration(secs * float64(time.Second)))
		return e
	}
	sec := time.Second
	began := func(s float64, target, phase string, number, of, steps int) engine.Event {
		return at(s, engine.Event{Type: engine.PhaseStarted, Target: target, Phase: phase, Short: "do it", Number: number, Of: of, Steps: steps})
	}
	step := func(s float64, target, phase string, key ops.Key, state ops.State, took time.Duration) engine.Event {
		return at(s, engine.Event{Type: engine.StepEvent, Target: target, Phase: phase, Key: key, Why: "it is needed", State: state, Took: took})
	}
	ended := func(s float64, target, phase string, number, of, steps, changes int, state ops.State, took time.Duration) engine.Event {
		return at(s, engine.Event{Type: engine.PhaseFinished, Target: target, Phase: phase, Number: number, Of: of, Steps: steps, Changes: changes, State: state, Took: took})
	}
	serve := engine.Ref{Target: "master", Phase: "serve"}
	joined := began(75, "node-1", "join", 2, 2, 1)
	joined.After, joined.Waited = &serve, 70*sec
	return []engine.Event{
		at(0, engine.Event{Version: 1, Type: engine.RunStarted, Run: "r1", Changes: 5, Targets: []engine.Tally{
			{Target: "master", Phases: 2, Steps: 3}, {Target: "node-1", Phases: 2, Steps: 2}, {Target: "node-2", Phases: 2, Steps: 2}, {Target: "idle"}}}),
		ended(0, "node-2", "prepare", 1, 2, 1, 0, ops.Same, 0),
		began(0, "master", "prepare", 1, 2, 1),
		step(0, "master", "prepare", "file:/etc/a", ops.Began, 0),
		began(0, "node-1", "prepare", 1, 2, 1),
		step(0, "node-1", "prepare", "file:/etc/a", ops.Began, 0),
		step(2, "master", "prepare", "file:/etc/a", ops.Changed, 2*sec),
		ended(2, "master", "prepare", 1, 2, 1, 1, ops.Changed, 2*sec),
		began(2, "master", "serve", 2, 2, 2),
		step(2, "master", "serve", "unit:kubelet.service", ops.Began, 0),
		step(5, "node-1", "prepare", "file:/etc/a", ops.Same, 5*sec),
		ended(5, "node-1", "prepare", 1, 2, 1, 0, ops.Same, 5*sec),
		at(5, engine.Event{Type: engine.Waiting, Target: "node-1", Phase: "join", For: []engine.Ref{serve}}),
		step(6, "master", "serve", "unit:kubelet.service", ops.Changed, 4*sec),
		step(6, "master", "serve", "probe:api", ops.Began, 0),
		at(12, engine.Event{Type: engine.Running, Target: "master", Phase: "serve", Key: "probe:api", Why: "the API server answers", Took: 6 * sec}),
		at(15, engine.Event{Type: engine.Waiting, Target: "node-1", Phase: "join", For: []engine.Ref{serve}, Waited: 10 * sec}),
		at(25, engine.Event{Type: engine.Waiting, Target: "node-1", Phase: "join", For: []engine.Ref{serve}, Waited: 20 * sec}),
		at(32, engine.Event{Type: engine.Running, Target: "master", Phase: "serve", Key: "probe:api", Why: "the API server answers", Took: 26 * sec}),
		at(45, engine.Event{Type: engine.Waiting, Target: "node-1", Phase: "join", For: []engine.Ref{serve, {Target: "m2", Phase: "serve"}}, Waited: 40 * sec}),
		step(75, "master", "serve", "probe:api", ops.Changed, 69*sec),
		ended(75, "master", "serve", 2, 2, 2, 2, ops.Changed, 73*sec),
		joined,
		step(75, "node-1", "join", "kubeconfig:/etc/kubernetes/kubelet.conf", ops.Began, 0),
		at(76.5, engine.Event{Type: engine.StepEvent, Target: "node-1", Phase: "join", Key: "kubeconfig:/etc/kubernetes/kubelet.conf", State: ops.Failed,
			Error: "no space left on device", Took: 1500 * time.Millisecond}),
		ended(76.5, "node-1", "join", 2, 2, 1, 0, ops.Failed, 1500*time.Millisecond),
		at(76.5, engine.Event{Type: engine.TargetFailed, Target: "node-1", Phase: "join", Key: "kubeconfig:/etc/kubernetes/kubelet.conf", State: ops.Failed,
			Why: "the kubelet speaks to the API server", Error: "no space left on device", Last: "write: \x1b[31mENOSPC\n\tgiving up\n", Remedy: "free some space below /etc,\nthen run up again"}),
		ended(76.5, "node-2", "join", 2, 2, 1, 0, engine.Blocked, 0),
		at(76.5, engine.Event{Type: engine.TargetFailed, Target: "node-2", Phase: "join", State: engine.Blocked, Error: "blocked: waits for join on node-1, which failed"}),
		at(76.5, engine.Event{Type: engine.Summary, Run: "r1", State: ops.Failed, Steps: 7, Changes: 3, Took: 76500 * time.Millisecond, Targets: []engine.Tally{
			{Target: "master", State: ops.Changed, Phases: 2, Steps: 3, Changed: 3, Took: 75 * sec},
			{Target: "node-1", State: ops.Failed, Phases: 2, Steps: 2, Same: 1, Failed: 1, Took: 76500 * time.Millisecond},
			{Target: "node-2", State: engine.Blocked, Phases: 2, Steps: 2, Same: 1, Blocked: 1, Took: 76500 * time.Millisecond},
			{Target: "idle", State: ops.Same}}}),
	}
}
