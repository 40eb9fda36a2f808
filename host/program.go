package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxHello bounds what a program may write before it has said who it is: a login script that prints, or an endless stream.
const maxHello = 4 << 20

// program runs on the host and is spoken to through its stdin and stdout. Once it has ended, Read says why: its exit status and the last
// lines of its stderr, or what became of the connection.
type program struct {
	conn    *Conn
	channel ssh.Channel
	stderr  tail

	exited chan struct{} // closed when the program has ended
	exit   *exit         // how; to be read after exited is closed, and nil when the host did not say

	heard    atomic.Int64 // bytes read from it
	trusted  atomic.Bool  // it has said who it is
	finished atomic.Bool  // its output ended before we closed it
	closed   atomic.Bool
	closing  sync.Once
	writing  sync.Mutex // a channel must not be written to while its writing side is closed
}

// exit is what sshd says of a program that has ended (RFC 4254, 6.10).
type exit struct {
	status int
	signal string
}

// run starts a program. The command is one of our few constant lines: nothing in it comes from an inventory or from a host, apart
// from a hex digest of ours.
func (c *Conn) run(ctx context.Context, command string) (*program, error) {
	return c.start(ctx, "exec", command)
}

// subsystem starts what sshd itself offers under a name.
func (c *Conn) subsystem(ctx context.Context, name string) (*program, error) {
	return c.start(ctx, "subsystem", name)
}

func (c *Conn) start(ctx context.Context, request, what string) (*program, error) {
	type result struct {
		p   *program
		err error
	}
	done := make(chan result, 1)
	go func() {
		p, err := c.begin(ctx, request, what)
		done <- result{p, err}
	}()
	select {
	case r := <-done:
		return r.p, r.err
	case <-ctx.Done():
		// A host that does not answer is dead or lying; what it may still start is closed as soon as it is there.
		go func() {
			if r := <-done; r.p != nil {
				r.p.channel.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// begin asks for one program. It speaks the channel's requests itself, because ssh.Session neither drains the stderr of a subsystem nor
// tells when that has ended.
func (c *Conn) begin(ctx context.Context, request, what string) (*program, error) {
	c, channel, requests, err := c.session(ctx)
	if err != nil {
		return nil, err
	}
	p := &program{conn: c, channel: channel, exited: make(chan struct{})}
	go p.follow(requests)
	ok, err := channel.SendRequest(request, true, ssh.Marshal(struct{ What string }{what}))
	if err == nil && !ok {
		err = errors.New("sshd does not offer it")
	}
	if err != nil {
		channel.Close()
		return nil, c.because(err)
	}
	return p, nil
}

// follow reads what the program says beside its stdout, until it has ended.
func (p *program) follow(requests <-chan *ssh.Request) {
	var both sync.WaitGroup
	both.Go(func() { io.Copy(&p.stderr, p.channel.Stderr()) })
	var e *exit
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var m struct{ Status uint32 }
			if ssh.Unmarshal(r.Payload, &m) == nil {
				e = &exit{status: int(m.Status)}
			}
		case "exit-signal":
			var m struct {
				Signal string
				Core   bool
				Error  string
				Lang   string
			}
			if ssh.Unmarshal(r.Payload, &m) == nil {
				e = &exit{status: -1, signal: m.Signal}
			}
		}
		if r.WantReply {
			r.Reply(false, nil)
		}
	}
	both.Wait()
	p.exit = e
	close(p.exited)
}

// session opens a session, and says on which connection: a second one where the host allows no more sessions on this (MaxSessions).
func (c *Conn) session(ctx context.Context) (*Conn, ssh.Channel, <-chan *ssh.Request, error) {
	ch, reqs, err := c.client.OpenChannel("session", nil)
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return c, ch, reqs, c.because(err)
	}
	c.spareMu.Lock()
	defer c.spareMu.Unlock()
	if c.spare == nil || c.spare.Err() != nil {
		if c.spare, err = Dial(ctx, c.addr, func(o *options) { *o = c.opts }); err != nil {
			return nil, nil, nil, err
		}
	}
	if ch, reqs, err = c.spare.client.OpenChannel("session", nil); errors.As(err, &refused) {
		return nil, nil, nil, c.addr.fail("open a session", errors.New(Printable(refused.Error())), "raise MaxSessions in the host's sshd_config; the default of 10 is enough")
	}
	return c.spare, ch, reqs, c.spare.because(err)
}

// because prefers the reason for which the connection ended to what an operation on it noticed.
func (c *Conn) because(err error) error {
	if err == nil {
		return nil
	}
	if dropped(err) {
		// The reader and the watcher learn of the end at the same moment.
		select {
		case <-c.over:
		case <-time.After(100 * time.Millisecond):
		}
	}
	if why := c.Err(); why != nil {
		return why
	}
	return err
}

func (p *program) Write(b []byte) (int, error) {
	p.writing.Lock()
	n, err := p.channel.Write(b)
	p.writing.Unlock()
	if err != nil {
		err = p.why(err)
	}
	return n, err
}

func (p *program) Read(b []byte) (int, error) {
	n, err := p.channel.Read(b)
	if heard := p.heard.Add(int64(n)); heard > maxHello && !p.trusted.Load() {
		p.channel.Close()
		return 0, fmt.Errorf("the host sent more than %d MiB instead of the program's first words", maxHello>>20)
	}
	if err != nil {
		if !p.closed.Load() {
			p.finished.Store(true)
		}
		err = p.why(err)
	}
	return n, err
}

// why turns the end of the stream into its reason; io.EOF stays for a program that ended well.
func (p *program) why(err error) error {
	select {
	case <-p.exited:
	case <-p.conn.over:
		return p.conn.err
	case <-time.After(3 * time.Second): // it closed its stdout and lives on
		return err
	}
	switch {
	case p.closed.Load():
		return io.EOF
	case p.exit == nil: // a connection that breaks ends its programs first
		if lost := p.conn.because(io.EOF); lost != io.EOF {
			return lost
		}
	case p.exit.status == 0:
		return io.EOF
	}
	return p.ended()
}

// ended describes a program that has ended.
func (p *program) ended() *ExitError {
	e := &ExitError{Status: -1, Last: p.stderr.lines()}
	if p.exit != nil {
		e.Status, e.Signal = p.exit.status, p.exit.signal
	}
	return e
}

// gone tells whether the program ended by itself, and not because the connection did.
func (p *program) gone() bool {
	if !p.finished.Load() {
		return false
	}
	select {
	case <-p.exited:
		return p.exit != nil && p.conn.Err() == nil
	case <-time.After(time.Second):
		return false
	}
}

// Close ends the program's stdin, which tells it to leave, and gives one that we know a moment to do so.
func (p *program) Close() error {
	p.closing.Do(func() {
		p.closed.Store(true)
		polite := p.trusted.Load()
		// A write that hangs, because the host takes nothing more, leaves no way to be polite.
		if p.writing.TryLock() {
			p.channel.CloseWrite()
			p.writing.Unlock()
		} else {
			polite = false
		}
		if polite {
			select {
			case <-p.exited:
			case <-p.conn.over:
			case <-time.After(5 * time.Second):
			}
		}
		p.channel.Close()
	})
	return nil
}
