package host_test

import (
	"os"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/agent/conformance"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/host/sshtest"
	"github.com/kubewright/kubewright/ops"
)

// The same promises that the agent keeps over a pipe, kept through an SSH server: sent, started, spoken to, and gone after a reset.
func TestConformance(t *testing.T) {
	for _, user := range []string{"root", "kw"} {
		t.Run(user, func(t *testing.T) {
			root := t.TempDir()
			s := sshtest.Start(t, sshtest.Options{Root: root, User: user, Agent: sshtest.ServeOn(ops.NewPretend(root))})
			c, err := host.Dial(t.Context(), s.Address("node-1"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			bin := sshtest.Binary()
			conformance.Run(t, func(t *testing.T) *agent.Session {
				t.Helper()
				session, err := c.Agent(t.Context(), bin, nil)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { session.Close() })
				return session
			}, "/var/lib/kubewright-conformance")
			if left, err := os.ReadDir(root + "/var/lib"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
