package host

import (
	"context"
	"net"
	"time"
)

// Option changes how a connection is made.
type Option func(*options)

type options struct {
	limits          *Limits
	dial            func(ctx context.Context, network, addr string) (net.Conn, error)
	reach, login    time.Duration // to connect by TCP; to exchange keys and log in
	every, patience time.Duration // a sign of life is asked for this often, and awaited this long
	hello           time.Duration // from the start of a program on the host to its first words
}

func defaults() options {
	return options{
		dial:     new(net.Dialer).DialContext,
		reach:    10 * time.Second,
		login:    20 * time.Second,
		every:    10 * time.Second,
		patience: 20 * time.Second, // with every: a dead host is noticed after 30 s at most
		hello:    30 * time.Second,
	}
}

// WithLimits makes the connection share the limits of other hosts' connections.
func WithLimits(l *Limits) Option { return func(o *options) { o.limits = l } }

// WithKeepalive sets how often a sign of life is asked for and how long it is awaited; the defaults are 10 s and 20 s.
func WithKeepalive(every, patience time.Duration) Option {
	return func(o *options) { o.every, o.patience = every, patience }
}

// WithTimeout sets how long a TCP connection may take (10 s), and each of: key exchange with login (20 s), the agent's hello (30 s).
func WithTimeout(reach, answer time.Duration) Option {
	return func(o *options) { o.reach, o.login, o.hello = reach, answer, answer }
}

// Through reaches the host by way of another one. Both hosts' keys are verified by the same rules.
func Through(jump *Conn) Option {
	return func(o *options) {
		o.dial = func(ctx context.Context, _, addr string) (net.Conn, error) { return jump.DialTCP(ctx, addr) }
	}
}

// Limits bounds what connections to many hosts do at the same time. Handshakes cost the workstation's processor, uploads its uplink.
type Limits struct {
	handshakes, uploads chan struct{}
}

// NewLimits allows so many handshakes and so many uploads at a time.
func NewLimits(handshakes, uploads int) *Limits {
	return &Limits{handshakes: make(chan struct{}, max(handshakes, 1)), uploads: make(chan struct{}, max(uploads, 1))}
}

func (l *Limits) handshake(ctx context.Context) (release func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	return take(ctx, l.handshakes)
}

func (l *Limits) upload(ctx context.Context) (release func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	return take(ctx, l.uploads)
}

func take(ctx context.Context, places chan struct{}) (release func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
