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
	"sync"

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
		sum := sha256.New()
		if err := unpackAgent(sum, e.Name()); err != nil {
			return nil, err
		}
		out[arch] = host.Build{
			SHA256: hex.EncodeToString(sum.Sum(nil)),
			// Unpacked once for all hosts that lack it, and not at all where none does.
			Bytes: sync.OnceValues(func() ([]byte, error) {
				var raw bytes.Buffer
				err := unpackAgent(&raw, e.Name())
				return raw.Bytes(), err
			}),
		}
	}
	if len(out) == 0 {
		return nil, errors.New("this binary was built without the agents that hosts need; build it with make build")
	}
	return out, nil
}

func unpackAgent(w io.Writer, name string) error {
	packed, err := agents.Open("agents/" + name)
	if err != nil {
		return err
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}
