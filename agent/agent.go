// Package agent is kubewright's hand on a host: it runs ops on the machine it stands on, in batches, and keeps the three promises that one
// op alone cannot: a record is on disk before anything changes, what a change would destroy is put aside first, and one run at a
// time may change a host. It listens on nothing; Serve speaks over the two pipes it was started with, and Session is the other end.
package agent

import (
	"time"

	"github.com/kubewright/kubewright/ops"
)

// Version is what the agent calls itself in its hello; the build sets it.
var Version = "dev"

// Protocol is the version of the words spoken between Session and Serve. Both ends come from one build (the host package sends the
// agent and checks its hash), so any difference is an error.
const Protocol = 1

// StateDir is where the journal, the kept originals, uploaded blobs and the agent itself lie on a host.
const StateDir = ops.StateDir

// lockPath lies outside the state directory, so that reset can remove that directory while it still holds the lock, and below
// /run, where only root can make a file and nothing outlives a reboot.
const lockPath = "/run/kubewright.lock"

// Hello is the first thing an agent says, unasked.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
	Hash     string `json:"hash,omitempty"` // sha256 of the running executable, in hex
	StateDir string `json:"stateDir"`
	Open     bool   `json:"open,omitempty"` // a run changed this host and has not come to its end
	Facts    Facts  `json:"facts"`
}

// Holder says who may change a host just now.
type Holder struct {
	User        string    `json:"user"`
	Workstation string    `json:"workstation"`
	Run         string    `json:"run"`
	PID         int       `json:"pid,omitempty"`
	Since       time.Time `json:"since"`
	Cluster     string    `json:"cluster,omitempty"`
}

// The times that bound a session. Both ends speak at least every beat; an end that hears nothing for silence takes the connection for dead, so
// that a workstation which lost its power does not hold a host's lock for hours.
const (
	beat    = 15 * time.Second
	silence = 60 * time.Second
	// grace is how long an agent that lost its workstation waits for the change it is in the middle of.
	grace = 30 * time.Second
)

// parallel is how many things are observed at once.
const parallel = 8

// describe is the phase and key of a step, as far as they are known.
func describe(phase string, key ops.Key) string {
	switch {
	case phase == "":
		return string(key)
	case key == "":
		return phase
	}
	return phase + ": " + string(key)
}
