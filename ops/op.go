// Package ops is a vocabulary of statements about a host. An op says how one thing should be (this file has this content, this unit
// is active); it can observe how that thing is now, and the observation is an op of the same type. So checking is
// observing and comparing, applying is setting the wish, and undoing is setting the observation.
package ops

import (
	"context"
	"strings"
	"time"
)

// Key names the one thing an op speaks about, as kind:name ("file:/etc/hosts"). It is unique per host.
type Key string

// Kind is the part of the key before the first colon.
func (k Key) Kind() string { kind, _, _ := strings.Cut(string(k), ":"); return kind }

// Name is the part of the key after the first colon.
func (k Key) Name() string { _, name, _ := strings.Cut(string(k), ":"); return name }

// Op is a statement about one thing on one host.
//
// Observe changes nothing, returns a value of the same type with the same key and fills only the fields the wish cares
// about; what it does not compare it copies from the wish, so that Equal(wish, seen) says whether there is anything to do. It never fails
// because the thing is absent.
//
// Set makes the thing so. It is atomic, and may be repeated. was is the last observation; undo is Set on an earlier
// observation.
type Op interface {
	Key() Key
	Observe(ctx context.Context, m Machine) (Op, error)
	Set(ctx context.Context, m Machine, was Op) error
}

// Step is an op and the reason for it, which plans, docs and errors show.
type Step struct {
	Op  Op
	Why string
}

// Machine is what ops may touch. The real one is the host itself; the pretend one is a temporary directory and a table of units.
type Machine interface {
	// Path turns an absolute path on the machine into one that this process can open.
	Path(p string) string
	// Units is the machine's service manager.
	Units() Units
	// Run runs an argv and returns its output; the error holds the exit status and the last lines of its stderr.
	Run(ctx context.Context, argv ...string) ([]byte, error)
	// Ask puts a question that only the workstation can answer.
	Ask(ctx context.Context, q Question) ([]byte, error)
	Now() time.Time
}

// Question is what an op may need from elsewhere while it is set. The workstation answers it only if its plan holds
// the op that asks.
type Question struct {
	Key  Key    `json:"key"`            // the op that asks
	Kind string `json:"kind"`           // one of the Ask constants
	Name string `json:"name"`           // what is asked for
	Data []byte `json:"data,omitempty"` // the CSR of a sign question
}

// The questions.
const (
	AskSign = "sign" // Name: an authority, Data: a CSR in PEM; the answer is a certificate in PEM
	AskCA   = "ca"   // Name: an authority; the answer is its certificate in PEM
	AskBlob = "blob" // Name: a digest; answered once the bytes lie in the host's blob directory
	AskPush = "push" // Name: a bundle component; answered once the registry has it
)

// Units is a service manager: systemd through D-Bus, or a table in tests.
type Units interface {
	// State tells how a unit is now; a unit that does not exist has the zero state.
	State(ctx context.Context, name string) (UnitState, error)
	Enable(ctx context.Context, name string) error
	Disable(ctx context.Context, name string) error
	// Restart starts or restarts the unit and returns when the job is done, reloading unit files first where they changed.
	Restart(ctx context.Context, name string) error
	// Reload has all unit files read again, also those that are older than what was read of them.
	Reload(ctx context.Context) error
	// Stop stops the unit and, where all is set, every process left in its control group.
	Stop(ctx context.Context, name string, all bool) error
}

// UnitState is what a service manager says of a unit.
type UnitState struct {
	Exists, Enabled, Active bool
	Unsettled               bool      // neither active nor at rest: it has failed, or is about to be tried again
	Inputs                  string    // value of InputsVar in the main process' environment
	Since                   time.Time `json:",omitzero"` // when it became active
	Replaced                bool      `json:",omitzero"` // the program that its main process runs was replaced or removed since
}

// InputsVar is the environment variable that carries the digest of what a unit read when it started. A crash between writing a file and
// restarting its reader is so seen later as a stale digest.
const InputsVar = "KUBEWRIGHT_INPUTS"
