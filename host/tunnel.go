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
	passed      atomic.Bool // one of the deadlines has closed the connection
}

func (t *tunnel) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	return n, t.explain(err)
}

func (t *tunnel) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	return n, t.explain(err)
}

// explain says of a connection that a deadline has closed why it fails. Whichever deadline it was: a read ends too when the write's is over, and
// of two at the same instant either may come first.
func (t *tunnel) explain(err error) error {
	if err != nil && t.passed.Load() {
		return os.ErrDeadlineExceeded
	}
	return err
}

func (t *tunnel) Close() error {
	t.read.stop()
	t.write.stop()
	return t.Conn.Close()
}

func (t *tunnel) SetDeadline(at time.Time) error {
	return errors.Join(t.SetReadDeadline(at), t.SetWriteDeadline(at))
}

func (t *tunnel) SetReadDeadline(at time.Time) error {
	t.read.set(at, t.expire)
	return nil
}

func (t *tunnel) SetWriteDeadline(at time.Time) error {
	t.write.set(at, t.expire)
	return nil
}

func (t *tunnel) expire() {
	t.passed.Store(true)
	t.Conn.Close()
}

// deadline is a timer that may be set again and again.
type deadline struct{ timer atomic.Pointer[time.Timer] }

func (d *deadline) set(at time.Time, expire func()) {
	if at.IsZero() {
		d.stop()
		return
	}
	if last := d.timer.Swap(time.AfterFunc(time.Until(at), expire)); last != nil {
		last.Stop()
	}
}

func (d *deadline) stop() {
	if last := d.timer.Swap(nil); last != nil {
		last.Stop()
	}
}
