package ops

import "time"

// Progress is what is told about a step while it is applied.
type Progress struct {
	Key   Key           `json:"key"`
	State State         `json:"state"`
	Took  time.Duration `json:"took,omitempty"`  // nanoseconds since the step began
	Error string        `json:"error,omitempty"` // with Failed: the cause, one sentence
	Last  string        `json:"last,omitempty"`  // with Failed: the last lines a tool or unit wrote, where there are any
	Note  string        `json:"note,omitempty"`  // with Waits: for what
}

// State is how far a step has come.
type State string

// The states of a step: Began, any number of Waits, then one of the others.
const (
	Began   State = "began"
	Waits   State = "waits"   // it is under way, and waits for somebody
	Same    State = "same"    // it was already so; nothing was touched
	Changed State = "changed" // it was set, and observed to be so
	Failed  State = "failed"
)

// Fault is an error that one step is to blame for.
type Fault interface {
	error
	// Fault returns the step's key, the last lines a tool or unit wrote, and the cause without the key.
	Fault() (key Key, last string, cause error)
}
