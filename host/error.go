package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Error is what went wrong between us and one host.
type Error struct {
	Host   string // its name
	Op     string // what we were doing: "connect to 10.0.0.1:22"
	Cause  error  // one cause; a *KeyError, *LoginError, *SudoError or *ExitError where it is one of these
	Remedy string // what to do next, for a person
	Lost   bool   // the connection is gone, and everything that goes through it with it
}

// Severed says that nothing more will come through this connection, for those who would ask again.
func (e *Error) Severed() bool { return e.Lost }

func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Host, e.Op, e.Cause) }

func (e *Error) Unwrap() error { return e.Cause }

func (a Address) fail(op string, cause error, remedy string) *Error {
	return &Error{Host: a.Name, Op: op, Cause: cause, Remedy: remedy}
}

var errSilent = errors.New("the host gave no sign of life")

// KeyProblem is what is wrong with a host's key.
type KeyProblem string

// The problems.
const (
	KeyUnknown     KeyProblem = "unknown"     // we know no key of this host
	KeyChanged     KeyProblem = "changed"     // we know another key of this host
	KeyRevoked     KeyProblem = "revoked"     // known_hosts says that this key must not be believed
	KeyCertificate KeyProblem = "certificate" // the certificate that came with it is not valid here
)

// KeyError says why a host's key was not believed. No login was tried.
type KeyError struct {
	Problem KeyProblem
	Seen    []Key    // what the host showed
	Want    []string // the fingerprints that would have been believed
	Source  string   // where those are written down
	Why     error    // with KeyCertificate: what is wrong with it
}

func (e *KeyError) Error() string {
	var seen []string
	for _, k := range e.Seen {
		seen = append(seen, k.Type+" "+k.Fingerprint)
	}
	shown := strings.Join(seen, ", ")
	switch {
	case e.Problem == KeyUnknown:
		return fmt.Sprintf("the host shows the key %s, and %s has none of this host", shown, e.Source)
	case e.Problem == KeyRevoked:
		return fmt.Sprintf("the host shows the key %s, which %s revokes", shown, e.Source)
	case e.Problem == KeyCertificate:
		return fmt.Sprintf("the host shows the key %s with a certificate that is not valid here: %v", shown, e.Why)
	case len(e.Seen) == 0:
		return fmt.Sprintf("the host has no key of a type that we accept; %s wants %s", e.Source, strings.Join(e.Want, ", "))
	}
	return fmt.Sprintf("the host shows the key %s, but %s has %s", shown, e.Source, strings.Join(e.Want, ", "))
}

// LoginError says that the host did not let us in.
type LoginError struct {
	User    string
	Tried   []string // the keys that were offered, in order
	Skipped []string // the keys that could not be, each with the reason
	Accepts []string // the ways to log in that the host would still accept
}

func (e *LoginError) Error() string {
	s := "the host refused user " + e.User
	if len(e.Tried) > 0 {
		s += "; keys tried: " + strings.Join(e.Tried, ", ")
	} else {
		s += "; no key was tried"
	}
	if len(e.Skipped) > 0 {
		s += "; not tried: " + strings.Join(e.Skipped, ", ")
	}
	if len(e.Accepts) > 0 {
		s += "; it accepts " + strings.Join(e.Accepts, ", ")
	}
	return s
}

// SudoError says that a login other than root could not become root.
type SudoError struct {
	User string
	Said string // what sudo wrote, made printable
}

func (e *SudoError) Error() string {
	if e.Said == "" {
		return "sudo did not let " + e.User + " become root"
	}
	return "sudo did not let " + e.User + " become root: " + e.Said
}

// ExitError says how a program on the host ended when it should not have.
type ExitError struct {
	Status int    // its exit status; -1 when there is none
	Signal string // the signal that killed it, without SIG
	Last   string // the last lines it wrote to stderr, bounded and made printable
}

func (e *ExitError) Error() string {
	s := "the program ended"
	switch {
	case e.Signal != "":
		s += " by signal " + Printable(e.Signal)
	case e.Status > 0:
		s += fmt.Sprintf(" with status %d", e.Status)
	case e.Status == 0:
		s += " by itself"
	}
	if e.Last != "" {
		s += ": " + e.Last
	}
	return s
}

// lost is the error of a connection that ended while it was needed.
func lost(a Address, err error) error {
	if err == nil || dropped(err) || errors.Is(err, net.ErrClosed) {
		err = errors.New("the connection was closed")
	}
	return a.gone(plain(err), "run the same command again; it continues where it stopped")
}

func (a Address) gone(cause error, remedy string) *Error {
	e := a.fail("keep the connection", cause, remedy)
	e.Lost = true
	return e
}

// plain takes away what package net repeats about addresses that the error already names.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return timedOut{err}
	}
	return err
}

// timedOut reads as a sentence and is still the timeout it was.
type timedOut struct{ error }

func (timedOut) Error() string   { return "timed out" }
func (t timedOut) Unwrap() error { return t.error }
