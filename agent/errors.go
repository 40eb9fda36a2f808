package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kubewright/kubewright/ops"
)

// LockedError says that somebody else is changing the host.
type LockedError struct{ Holder Holder }

func (e *LockedError) Error() string {
	h := e.Holder
	if h.User == "" && h.Run == "" {
		return "another run holds the lock of this host"
	}
	text := fmt.Sprintf("another run holds the lock of this host: %s@%s, run %s, since %s",
		h.User, h.Workstation, h.Run, h.Since.UTC().Format(time.RFC3339))
	if h.Cluster != "" {
		text += ", for cluster " + h.Cluster
	}
	return text
}

// StepError is the step that failed and why. Nothing after it was tried.
type StepError struct {
	Phase string
	Key   ops.Key
	Why   string // the reason the step is in the plan
	Cause error
	Last  string // the last lines a tool or unit wrote, where there are any
}

func (e *StepError) Error() string { return describe(e.Phase, e.Key) + ": " + e.Cause.Error() }
func (e *StepError) Unwrap() error { return e.Cause }

// Fault implements ops.Fault.
func (e *StepError) Fault() (ops.Key, string, error) { return e.Key, e.Last, e.Cause }

// ResetError holds every key that could not be put back. The journal is still on the host, so reset may be repeated.
type ResetError struct{ Failed []*StepError }

func (e *ResetError) Error() string {
	first := e.Failed[0].Error()
	if len(e.Failed) == 1 {
		return "could not be put back: " + first
	}
	return fmt.Sprintf("%d things could not be put back; the first: %s", len(e.Failed), first)
}

// LostError says that the connection ended while something was under way, and how far that was known to have come.
type LostError struct {
	During string  // what was asked: "observe", or the name of the phase being applied
	Key    ops.Key // the step that had begun, if any
	Cause  error
}

func (e *LostError) Error() string {
	at := ""
	if e.Key != "" {
		at = " at " + string(e.Key)
	}
	return fmt.Sprintf("connection to the agent lost during %s%s: %v", e.During, at, e.Cause)
}
func (e *LostError) Unwrap() error { return e.Cause }

// Remedy says what to do: nothing is lost with a connection or an agent but time.
func (e *LostError) Remedy() string {
	return "run the same command again once the host can be reached; it continues where it stopped"
}

// failure is an error on the wire.
type failure struct {
	Message string        `json:"message,omitempty"`
	Locked  *Holder       `json:"locked,omitempty"`
	Step    *stepFailure  `json:"step,omitempty"`
	Reset   []stepFailure `json:"reset,omitempty"`
}

type stepFailure struct {
	Phase string  `json:"phase,omitempty"`
	Key   ops.Key `json:"key"`
	Why   string  `json:"why,omitempty"`
	Cause string  `json:"cause"`
	Last  string  `json:"last,omitempty"`
}

func wireFailure(err error) *failure {
	var locked *LockedError
	var step *StepError
	var reset *ResetError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &locked):
		return &failure{Locked: &locked.Holder}
	case errors.As(err, &reset):
		f := &failure{}
		for _, s := range reset.Failed {
			f.Reset = append(f.Reset, wireStep(s))
		}
		return f
	case errors.As(err, &step):
		s := wireStep(step)
		return &failure{Step: &s}
	}
	return &failure{Message: clip(err.Error(), maxMessage)}
}

func wireStep(e *StepError) stepFailure {
	return stepFailure{Phase: e.Phase, Key: e.Key, Why: e.Why, Cause: clip(e.Cause.Error(), maxMessage), Last: clipFront(e.Last, maxLast)}
}

func (f *failure) err() error {
	switch {
	case f == nil:
		return nil
	case f.Locked != nil:
		return &LockedError{Holder: cleanHolder(*f.Locked)}
	case f.Step != nil:
		return f.Step.err()
	case len(f.Reset) > 0:
		e := &ResetError{}
		for _, s := range f.Reset {
			e.Failed = append(e.Failed, s.err())
		}
		return e
	}
	return errors.New(clean(f.Message, maxMessage))
}

func (s *stepFailure) err() *StepError {
	return &StepError{Phase: clean(s.Phase, maxName), Key: ops.Key(clean(string(s.Key), maxMessage)), Why: clean(s.Why, maxMessage),
		Cause: errors.New(clean(s.Cause, maxMessage)), Last: clean(s.Last, maxLast)}
}

// What may be said in words, in bytes.
const (
	maxName    = 256
	maxMessage = 4 << 10
	maxLast    = 8 << 10
)

// clean makes what a host sent fit to be shown: bounded, valid UTF-8, and without control characters, which could rewrite a terminal.
func clean(s string, limit int) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return utf8.RuneError
		}
		return r
	}, clip(s, limit))
}

func cleanHolder(h Holder) Holder {
	h.User, h.Workstation = clean(h.User, maxName), clean(h.Workstation, maxName)
	h.Run, h.Cluster = clean(h.Run, maxName), clean(h.Cluster, maxName)
	return h
}

// clip keeps the beginning of a text, where a sentence says what it is about.
func clip(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit-len("...")] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// clipFront keeps the end of a text, where a tool says why it gave up.
func clipFront(s string, limit int) string {
	if len(s) > limit {
		s = "..." + s[len(s)-limit+len("..."):]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
