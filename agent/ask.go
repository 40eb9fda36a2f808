package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// asker is a machine that answers the questions of one op.
type asker struct {
	ops.Machine
	op  ops.Op // nil while things are only looked at
	ask func(ctx context.Context, op ops.Op, q ops.Question) ([]byte, error)
	say func(ops.Progress) // nil where nobody listens
}

// Tell passes on what the op waits for.
func (a *asker) Tell(what string) {
	if a.op != nil && a.say != nil {
		a.say(ops.Progress{Key: a.op.Key(), State: ops.Waits, Note: clip(what, maxMessage)})
	}
}

func (a *asker) Ask(ctx context.Context, q ops.Question) ([]byte, error) {
	if a.op == nil {
		return nil, errors.New("nothing may be asked while looking")
	}
	// An op speaks for itself only.
	q.Key = a.op.Key()
	return a.ask(ctx, a.op, q)
}

// Unwrap lets ops find what the machine below offers beyond Machine.
func (a *asker) Unwrap() ops.Machine { return a.Machine }

// asking is the machine as the given op may use it.
func asking(m ops.Machine, op ops.Op) ops.Machine {
	if a, ok := m.(*asker); ok {
		return &asker{Machine: a.Machine, op: op, ask: a.ask, say: a.say}
	}
	return m
}

// refusing is that machine where nothing may be asked.
func refusing(m ops.Machine, op ops.Op) ops.Machine {
	r := &asker{Machine: m, op: op, ask: refuse}
	if a, ok := m.(*asker); ok {
		r.say = a.say
	}
	return r
}

// authorities are the CAs that this host is known to hold, so that their questions need not travel.
type authorities struct {
	mu    sync.Mutex
	known map[string]ops.Authority
}

// learn remembers an authority from an op that names its files.
func (a *authorities) learn(op ops.Op) {
	if ca, ok := op.(ops.Authority); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.known == nil {
			a.known = map[string]ops.Authority{}
		}
		a.known[ca.Name] = ca
	}
}

func (a *authorities) find(name string) (ops.Authority, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ca, ok := a.known[name]
	return ca, ok
}

// certificate is the public part of an authority on this host.
func (a *authorities) certificate(m ops.Machine, name string) ([]byte, error) {
	ca, ok := a.find(name)
	if !ok {
		return nil, fmt.Errorf("this host has no authority %q", name)
	}
	return os.ReadFile(m.Path(ca.Cert))
}

// sign signs a CSR with an authority on this host, if it asks for exactly what the request says. Only what the request says goes into the
// certificate.
func (a *authorities) sign(m ops.Machine, name string, csr []byte, r pki.Request, now time.Time) ([]byte, error) {
	ca, ok := a.find(name)
	if !ok {
		return nil, fmt.Errorf("this host has no authority %q", name)
	}
	cert, err := os.ReadFile(m.Path(ca.Cert))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(m.Path(ca.KeyFile))
	if err != nil {
		return nil, err
	}
	if err := pki.CheckAuthority(cert, key, now); err != nil {
		return nil, fmt.Errorf("authority %q: %w", name, err)
	}
	if err := pki.CheckCSR(csr, r); err != nil {
		return nil, err
	}
	return pki.Sign(cert, key, csr, r, now)
}

// local answers a question on this host where it can. The request comes from the op in the plan, not from the question.
func (a *authorities) local(m ops.Machine, op ops.Op, q ops.Question) (answer []byte, ok bool, err error) {
	ca, known := a.find(q.Name)
	if !known {
		return nil, false, nil
	}
	if _, err := os.Lstat(m.Path(ca.Cert)); err != nil {
		return nil, false, nil // it is in the plan, but not made yet, or not here
	}
	switch q.Kind {
	case ops.AskCA:
		answer, err = a.certificate(m, q.Name)
		return answer, true, err
	case ops.AskSign:
		if _, err := os.Lstat(m.Path(ca.KeyFile)); err != nil {
			return nil, false, nil
		}
		authority, request, ok := wanted(op)
		if !ok || authority != q.Name {
			return nil, true, fmt.Errorf("%s does not ask for a certificate of %q", op.Key(), q.Name)
		}
		answer, err = a.sign(m, q.Name, q.Data, request, m.Now())
		return answer, true, err
	}
	return nil, false, nil
}

// wanted is the certificate that an op asks for, and of whom.
func wanted(op ops.Op) (authority string, r pki.Request, ok bool) {
	switch op := op.(type) {
	case ops.Certificate:
		return op.Authority, op.Request, true
	case ops.Kubeconfig:
		return op.Authority, op.Request, op.ClientFile == ""
	}
	return "", r, false
}
