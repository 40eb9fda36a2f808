package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// StepError says where a run failed and why: control-plane: master: file:/etc/x: permission denied.
type StepError struct {
	Target string
	Phase  string  // empty if the target could not even be observed
	Key    ops.Key // empty if no step was to blame
	Why    string  // what the step was for
	Cause  error
	Last   string // the last lines that a tool or unit wrote, where there are any
	Remedy string // what to do about it, where it is known
	Unseen bool   // it could not even be looked at, so that nothing was begun
}

func (e *StepError) Error() string {
	at := ""
	for _, part := range []string{e.Phase, e.Target, string(e.Key)} {
		if part != "" {
			at += part + ": "
		}
	}
	return at + e.Cause.Error()
}

func (e *StepError) Unwrap() error { return e.Cause }

// BlockedError is the cause of a phase that was not begun, because something it waits for will not come.
type BlockedError struct {
	By    Ref
	State ops.State // how that target ended: failed, blocked or stopped
}

func (e *BlockedError) Error() string {
	how := "failed"
	if e.State != ops.Failed {
		how = "is " + string(e.State)
	}
	return fmt.Sprintf("blocked: waits for %s, which %s", e.By, how)
}

// WaitError is the cause of a phase that waited too long for others.
type WaitError struct {
	For   []Ref
	After time.Duration
}

func (e *WaitError) Error() string {
	more := ""
	if n := len(e.For) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("waited %s for %s%s", e.After, e.For[0], more)
}

// told is an error that a target described in its own words. The words are shown; the error below it can still be found.
type told struct {
	words string
	err   error
}

func (t *told) Error() string { return t.words }
func (t *told) Unwrap() error { return t.err }

// remedied is an error, or an op, that knows what to do about a failure.
type remedied interface{ Remedy() string }

func remedy(op ops.Op, err error) string {
	var r remedied
	if errors.As(err, &r) {
		return r.Remedy()
	}
	if r, ok := op.(remedied); ok {
		return r.Remedy()
	}
	return ""
}
