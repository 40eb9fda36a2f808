//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/agent/conformance"
	"github.com/kubewright/kubewright/host"
)

// inLabVar tells the test binary that it has been started again inside the lab's network.
const inLabVar = "KUBEWRIGHT_IN_LAB"

// TestConformance runs, on a real host, the suite that the pretend machine and the in-process SSH server pass.
func TestConformance(t *testing.T) {
	for _, user := range []string{"root", "admin"} {
		t.Run(user, func(t *testing.T) {
			if os.Getenv(inLabVar) == "" {
				again(t)
				return
			}
			conformance.Run(t, open(t, user), "/var/lib/kubewright-conformance")
		})
	}
}

// again runs this test inside the lab's network.
func again(t *testing.T) {
	t.Helper()
	cmd := inLab(bounded(t), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inLabVar+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// open starts the real agent on a host that has no cluster on it.
func open(t *testing.T, user string) conformance.Open {
	t.Helper()
	h, _ := cluster.Host("node-0001")
	conn, err := host.Dial(t.Context(), host.Address{
		Name: h.Name, Addr: h.SSH.Address, Port: h.SSH.Port, User: user, KeyFile: h.SSH.KeyFile, HostKeys: h.SSH.HostKeys,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	bin := agentBinary(t)
	return func(t *testing.T) *agent.Session {
		t.Helper()
		s, err := conn.Agent(t.Context(), bin, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
}

// agentBinary is the agent as make build leaves it beside the program.
func agentBinary(t *testing.T) host.AgentBinary {
	t.Helper()
	path := filepath.Join(filepath.Dir(program), "kubewright-agent-linux-amd64")
	sum, err := exec.Command("sha256sum", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return host.AgentBinary{"amd64": host.Build{SHA256: string(sum[:64]), Bytes: func() ([]byte, error) { return os.ReadFile(path) }}}
}
