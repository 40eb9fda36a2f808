package engine

import (
	"time"

	"github.com/kubewright/kubewright/ops"
)

// EventVersion is the version of the event stream. It is told by the first event; readers must ignore what they do not know.
const EventVersion = 1

// EventType says what an event tells.
type EventType string

// The events of a run, in the order in which they can first appear.
const (
	RunStarted    EventType = "run_started"
	PhaseStarted  EventType = "phase_started"  // After names what it had to wait for, if it had to
	StepEvent     EventType = "step"           // State: began, same, changed or failed
	Running       EventType = "running"        // the phase is still at this step, told every ten seconds and when the step has a Note on it
	Waiting       EventType = "waiting"        // the phase waits for others, told at once and every ten seconds
	PhaseFinished EventType = "phase_finished" // State: same, changed, failed, blocked or stopped
	TargetFailed  EventType = "target_failed"  // nothing more is done on this target
	Summary       EventType = "summary"
)

// How a phase, a target or a run may end, besides ops.Same, ops.Changed and ops.Failed.
const (
	Blocked ops.State = "blocked" // it waited for something that failed
	Stopped ops.State = "stopped" // the run was interrupted before it could end
)

// Event is one thing that happened in a run. Views, logs and reports are all made from these.
type Event struct {
	Version int           `json:"version,omitempty"` // of the stream; first event only
	Time    time.Time     `json:"time"`
	Type    EventType     `json:"type"`
	Run     string        `json:"run,omitempty"`
	Target  string        `json:"target,omitempty"`
	Phase   string        `json:"phase,omitempty"`
	Short   string        `json:"short,omitempty"` // the phase in a few words
	Number  int           `json:"number,omitempty"`
	Of      int           `json:"of,omitempty"` // the phase is number Number of Of on its target
	Steps   int           `json:"steps,omitempty"`
	Changes int           `json:"changes,omitempty"` // planned by run_started, made by phase_finished and summary
	Key     ops.Key       `json:"key,omitempty"`
	Why     string        `json:"why,omitempty"`
	State   ops.State     `json:"state,omitempty"`
	Took    time.Duration `json:"took,omitempty"`   // nanoseconds
	Waited  time.Duration `json:"waited,omitempty"` // nanoseconds; phase_started and waiting
	After   *Ref          `json:"after,omitempty"`  // phase_started: the last of those it had to wait for
	For     []Ref         `json:"for,omitempty"`    // waiting: what has not finished yet
	Note    string        `json:"note,omitempty"`   // running: what the step itself waits for
	Error   string        `json:"error,omitempty"`
	Last    string        `json:"last,omitempty"` // the last lines of a tool's or unit's output
	Remedy  string        `json:"remedy,omitempty"`
	Targets []Tally       `json:"targets,omitempty"` // run_started: the targets and their steps; summary: how each ended
}

// Tally counts the steps of one target by how they ended.
type Tally struct {
	Target  string        `json:"target"`
	State   ops.State     `json:"state,omitempty"` // the worst of its phases
	Phases  int           `json:"phases"`
	Steps   int           `json:"steps"`
	Changed int           `json:"changed"`
	Same    int           `json:"same"`
	Failed  int           `json:"failed"`
	Blocked int           `json:"blocked"` // never tried: something before them failed, or the run was stopped
	Took    time.Duration `json:"took,omitempty"`
}
