package sshtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/ops"
)

// Agent is what the host's agent does when it is started. It returns its exit status.
type Agent func(ctx context.Context, conn io.ReadWriter, stderr io.Writer) int

// ServeOn is the real agent, at work on a machine of the test. It gives the hash of Binary as its own, so that nobody has to send
// the megabytes of a test's executable to and fro.
func ServeOn(m ops.Machine) Agent {
	return func(ctx context.Context, conn io.ReadWriter, stderr io.Writer) int {
		if err := agent.Serve(ctx, &disguise{ReadWriter: conn}, m, agent.StateDir); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
}

// disguise changes the hash in the first line that is written, the hello.
type disguise struct {
	io.ReadWriter
	done bool
}

func (d *disguise) Write(line []byte) (int, error) {
	if d.done {
		return d.ReadWriter.Write(line)
	}
	d.done = true
	var m struct {
		Hello agent.Hello `json:"hello"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return 0, err
	}
	m.Hello.Hash = binaryHash()
	other, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	_, err = d.ReadWriter.Write(append(other, '\n'))
	return len(line), err
}

// Binary stands for the agent's binary: a few bytes for this architecture.
func Binary() host.AgentBinary {
	return host.AgentBinary{runtime.GOARCH: {SHA256: binaryHash(), Bytes: func() ([]byte, error) { return elfHeader(), nil }}}
}

func binaryHash() string {
	h := sha256.Sum256(elfHeader())
	return hex.EncodeToString(h[:])
}

// Install puts the agent on the host as an earlier run would have left it, without the time that an upload takes. Its bytes are never
// looked at here.
func (s *Server) Install(b host.AgentBinary) {
	s.tb.Helper()
	file := s.path(agent.StateDir + "/agent/" + b.ID() + "/kubewright-agent")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		s.tb.Fatal(err)
	}
	if err := os.WriteFile(file, elfHeader(), 0o700); err != nil {
		s.tb.Fatal(err)
	}
}

// elfHeader is the beginning of a program for this machine.
func elfHeader() []byte {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	h[18] = 62
	if runtime.GOARCH == "arm64" {
		h[18] = 183
	}
	return h
}
