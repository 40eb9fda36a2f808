package host

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// DialTCP connects from the host to an address that it can reach, its own loopback included, through the SSH connection. It has the
// form that rest.Config.Dial and http.Transport want, but for the network.
func (c *Conn) DialTCP(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := c.client.DialContext(ctx, "tcp", addr)
	if err == nil {
		return &tunnel{Conn: conn}, nil
	}
	op := "connect from the host to " + addr
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
		return nil, c.addr.fail(op, errors.New("sshd does not forward TCP"), "set AllowTcpForwarding local in the host's sshd_config")
	case errors.As(err, &refused):
		return nil, c.addr.fail(op, errors.New(Printable(refused.Message)), "look at what should listen there")
	}
	if why := c.because(err); why != err {
		return nil, why
	}
	return nil, c.addr.fail(op, plain(err), "look at what should listen there")
}

// tunnel gives a forwarded connection the deadlines that it lacks and that TLS, HTTP and websocket clients set. A deadline that passes
// closes it: SSH cannot interrupt a read otherwise.
type tunnel struct {
	net.Conn
	read, write deadline
}

func (t *tunnel) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	return n, t.read.explain(err)
}

func (t *tunnel) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	return n, t.write.explain(err)
}

func (t *tunnel) Close() error {
	t.read.set(time.Time{}, nil)
	t.write.set(time.Time{}, nil)
	return t.Conn.Close()
}

func (t *tunnel) SetDeadline(at time.Time) error {
	return errors.Join(t.SetReadDeadline(at), t.SetWriteDeadline(at))
}

func (t *tunnel) SetReadDeadline(at time.Time) error {
	t.read.set(at, t.Conn)
	return nil
}

func (t *tunnel) SetWriteDeadline(at time.Time) error {
	t.write.set(at, t.Conn)
	return nil
}

type deadline struct {
	timer  atomic.Pointer[time.Timer]
	passed atomic.Bool
}

func (d *deadline) set(at time.Time, c net.Conn) {
	var next *time.Timer
	if !at.IsZero() {
		next = time.AfterFunc(time.Until(at), func() {
			d.passed.Store(true)
			c.Close()
		})
	}
	if last := d.timer.Swap(next); last != nil {
		last.Stop()
	}
}

func (d *deadline) explain(err error) error {
	if err != nil && d.passed.Load() {
		return os.ErrDeadlineExceeded
	}
	return err
}
