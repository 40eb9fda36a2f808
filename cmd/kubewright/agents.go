package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	"github.com/kubewright/kubewright/host"
)

//go:embed agents
var agents embed.FS

// agentBinary is what hosts are sent. Tests, whose hosts are not there, have another.
var agentBinary = embeddedAgents

// embeddedAgents is the agent for every architecture that this binary was built with.
func embeddedAgents() (host.AgentBinary, error) {
	entries, err := agents.ReadDir("agents")
	if err != nil {
		return nil, err
	}
	out := host.AgentBinary{}
	for _, e := range entries {
		arch, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".gz"), "kubewright-agent-linux-")
		if !ok {
			continue
		}
		raw, err := readAgent(e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		out[arch] = host.Build{SHA256: hex.EncodeToString(sum[:]), Bytes: func() ([]byte, error) { return readAgent(e.Name()) }}
	}
	if len(out) == 0 {
		return nil, errors.New("this binary was built without the agents that hosts need; build it with make build")
	}
	return out, nil
}

func readAgent(name string) ([]byte, error) {
	packed, err := agents.ReadFile("agents/" + name)
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
