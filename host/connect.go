package host

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// What is offered for the key exchange and the cipher: nothing with SHA-1, CBC or encrypt-and-MAC. AES-GCM comes first because its
// packets cannot be cut out unnoticed even where the server knows no strict key exchange.
var (
	exchanges = []string{
		ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
		ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521, ssh.KeyExchangeDH16SHA512,
	}
	ciphers = []string{
		ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305, ssh.CipherAES256CTR, ssh.CipherAES128CTR,
	}
	macs = []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM}
)

// busyTries is how often a connection is made again that sshd dropped before it showed a key, as it does past MaxStartups.
const busyTries = 5

// connect makes the connection, asking for other types of host key where that can still show the one that is pinned.
func (o options) connect(ctx context.Context, a Address, b belief, keys *login) (*ssh.Client, error) {
	algos, busy := b.algorithms(), 0
	var refused *KeyError // the host's key that was not believed
	for {
		try := &attempt{believed: b, keys: keys, algorithms: algos}
		client, err := o.handshake(ctx, a, try)
		if err == nil {
			return client, nil
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		var none *ssh.AlgorithmNegotiationError
		switch bad := try.verdict; {
		case bad != nil:
			if refused != nil {
				bad.Seen = append(refused.Seen, bad.Seen...)
			}
			if refused = bad; len(b.pins) == 0 {
				return nil, a.fail("verify its key", bad, keyRemedy(bad, a))
			}
			// A pin does not say which type of key it is of: ask for the types that the host has not shown yet.
			if algos = without(algos, bad.Seen[len(bad.Seen)-1].Type); len(algos) > 0 {
				continue
			}
			return nil, a.fail("verify its key", bad, keyRemedy(bad, a))
		case errors.As(err, &none) && none.What == "host key":
			if refused == nil && !slices.Equal(algos, modern()) {
				algos = modern() // the host has none of the known types any more; see what it has, to name it
				continue
			}
			if refused == nil {
				refused = &KeyError{Problem: KeyChanged, Want: b.want(), Source: b.source}
			}
			return nil, a.fail("verify its key", refused, keyRemedy(refused, a))
		case !try.shown && dropped(err) && busy < busyTries:
			if busy++; pause(ctx, busy) == nil {
				continue
			}
		}
		return nil, o.explain(a, try, keys, err)
	}
}

// attempt is one handshake and what was learned by it.
type attempt struct {
	believed   belief
	keys       *login
	algorithms []string

	tcp     *watchedTCP // nil as long as TCP is not connected
	shown   bool        // the host showed a key
	verdict *KeyError   // what was wrong with that key
	bar     *LoginError // how the login was refused
}

func (o options) handshake(ctx context.Context, a Address, t *attempt) (*ssh.Client, error) {
	reach, cancel := context.WithTimeout(ctx, o.reach)
	defer cancel()
	tcp, err := o.dial(reach, "tcp", a.endpoint())
	if err != nil {
		return nil, err
	}
	t.tcp = &watchedTCP{Conn: tcp}
	release, err := o.limits.handshake(ctx) // after TCP, so that dead hosts take no places
	if err != nil {
		tcp.Close()
		return nil, err
	}
	defer release()
	login, cancel := context.WithTimeout(ctx, o.login)
	defer cancel()
	stop := context.AfterFunc(login, func() { tcp.Close() })
	cfg := &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: exchanges, Ciphers: ciphers, MACs: macs},
		User:              a.User,
		HostKeyAlgorithms: t.algorithms,
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			t.shown = true
			if t.verdict = t.believed.check(remote, key); t.verdict != nil {
				return t.verdict
			}
			return nil // and not a nil *KeyError, which would be an error
		},
		AuthCallback:  t.authenticate,
		ClientVersion: "SSH-2.0-kubewright",
	}
	conn, chans, reqs, err := ssh.NewClientConn(t.tcp, a.endpoint(), cfg)
	if !stop() {
		if err == nil {
			conn.Close()
		}
		return nil, login.Err()
	}
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(conn, chans, reqs), nil
}

// authenticate offers our keys once and then stops, so that no account is locked by us.
func (t *attempt) authenticate(s *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	if slices.Contains(s.AllowedMethods, "publickey") && !slices.Contains(s.TriedMethods, "publickey") && len(s.PartialSuccessMethods) == 0 {
		return ssh.PublicKeys(t.keys.signers...), nil
	}
	if t.tcp.broken.Load() || len(s.AllowedMethods) == 0 {
		return nil, nil // the host did not answer; it is not that it refused
	}
	t.bar = t.keys.refused(s.AllowedMethods)
	if !slices.Contains(s.TriedMethods, "publickey") && len(s.PartialSuccessMethods) == 0 {
		t.bar.Tried = nil
	}
	return nil, t.bar
}

// explain makes one sentence and a remedy of a handshake that failed for no reason of the host's key.
func (o options) explain(a Address, t *attempt, keys *login, err error) error {
	var none *ssh.AlgorithmNegotiationError
	switch {
	case t.bar != nil:
		return a.fail("log in", t.bar, "append the public key to ~"+a.User+"/.ssh/authorized_keys on the host (ssh-copy-id), or name the right user and key with ssh.user and ssh.keyFile")
	case t.tcp == nil:
		return a.fail("connect to "+a.endpoint(), plain(err), "check the address and port, that the host runs and that its sshd is reachable from here")
	case errors.As(err, &none):
		return a.fail("agree on encryption with "+a.endpoint(), errors.New(Printable(none.Error())), "update the host's OpenSSH, or allow AES-GCM and curve25519 in its sshd_config")
	case errors.Is(err, context.DeadlineExceeded):
		return a.fail("log in", timedOut{err}, "the host answers TCP but not SSH in time: look at its load and at its sshd")
	case !t.shown:
		return a.fail("speak SSH with "+a.endpoint(), handshakeCause(err), "run the same command again; where it stays so, check that this port is sshd's, and raise MaxStartups in its sshd_config")
	}
	return a.fail("log in", handshakeCause(err), "run the same command again; where it stays so, look at sshd's log on the host; with MaxAuthTries, name one key with ssh.keyFile")
}

// handshakeCause is the innermost error, printable because a host's own words may be in it.
func handshakeCause(err error) error {
	if dropped(err) {
		return errors.New("the host closed the connection")
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return errors.New(Printable(err.Error()))
}

// dropped tells whether the other end is gone, in the words of each layer.
func dropped(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, sftp.ErrSSHFxConnectionLost)
}

// pause waits before the n-th new try: 0.1 s, 0.2 s, 0.4 s ..., each up to half longer so that many hosts' tries spread.
func pause(ctx context.Context, n int) error {
	d := 100 * time.Millisecond << (n - 1)
	select {
	case <-time.After(d + rand.N(d/2)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func without(algos []string, keyType string) []string {
	gone := algorithmsFor(keyType)
	return slices.DeleteFunc(slices.Clone(algos), func(a string) bool { return slices.Contains(gone, a) })
}

// watchedTCP remembers that the connection broke, which the SSH library mistakes for a refused login.
type watchedTCP struct {
	net.Conn
	broken atomic.Bool
}

func (w *watchedTCP) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil {
		w.broken.Store(true)
	}
	return n, err
}
