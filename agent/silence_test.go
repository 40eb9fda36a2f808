package agent_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

// A workstation that lost its power closes no connection. Its host is free again after a minute.
func TestTheAgentLeavesASilentWorkstation(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		began := time.Now()
		go func() { _, _ = bufio.NewReader(here).ReadString('\n') }()
		err := agent.Serve(t.Context(), there, b.machine, agent.StateDir)
		there.Close()
		if err == nil || !strings.Contains(err.Error(), "nothing was heard from the workstation") || time.Since(began) != time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// The same the other way round: whoever waits for a dead host is told within a minute.
func TestTheSessionLeavesASilentAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		go func() {
			_, _ = io.WriteString(there, hello)
			_, _ = io.Copy(io.Discard, there)
		}()
		s, err := agent.Open(t.Context(), here, nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = s.Observe(t.Context(), []ops.Op{ops.File{Path: "/x"}})
		var lost *agent.LostError
		if !errors.As(err, &lost) || lost.During != "observe" || time.Since(began) > time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		s.Close()
	})
}

// An idle session stays: its beat is heard.
func TestAnIdleSessionStays(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		ended := make(chan error, 1)
		go func() {
			ended <- agent.Serve(context.Background(), there, b.machine, agent.StateDir)
			there.Close()
		}()
		s, err := agent.Open(t.Context(), here, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := s.Observe(t.Context(), []ops.Op{ops.File{Path: "/x"}}); err != nil {
			t.Errorf("after an hour: %v", err)
		}
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("the agent ended with %v", err)
		}
	})
}
