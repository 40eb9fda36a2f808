package agent_test

import (
	"context"
	"net"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/agent/conformance"
	"github.com/kubewright/kubewright/ops"
)

// bench is a pretend machine and the agents that were started on it.
type bench struct {
	root    string
	machine ops.Machine
}

func newBench(t *testing.T) *bench {
	t.Helper()
	root := t.TempDir()
	return &bench{root: root, machine: ops.NewPretend(root)}
}

// open starts an agent and speaks to it. The agent has ended when the test has.
func (b *bench) open(t *testing.T, answer agent.Answer) *agent.Session {
	t.Helper()
	here, there := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer there.Close()
		if err := agent.Serve(context.Background(), there, b.machine, agent.StateDir); err != nil {
			t.Errorf("agent: %v", err)
		}
	}()
	s, err := agent.Open(t.Context(), here, answer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); <-ended })
	return s
}

// locked is a session that may change the machine.
func (b *bench) locked(t *testing.T, answer agent.Answer) *agent.Session {
	t.Helper()
	s := b.open(t, answer)
	if err := s.Lock(t.Context(), agent.Holder{User: "u", Workstation: "w", Run: "r"}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	b := newBench(t)
	before := snapshot(t, b.root, true)
	conformance.Run(t, func(t *testing.T) *agent.Session { return b.open(t, nil) }, "/var/lib/kubewright-conformance")
	sameSnapshot(t, "after the suite", before, snapshot(t, b.root, true))
}
