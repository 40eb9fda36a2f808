// Package host is a machine we reach: one verified SSH connection, and over it the agent's session, files written as root
// and TCP connections made from there. Nothing is sent to a host whose key is not known, and nothing that a host sends is
// believed to be short, well formed or fit for a terminal.
package host

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Address says where a host is, who logs in and which key it must show.
type Address struct {
	Name           string // what people call it; every error begins with it
	Addr           string // an IP address or a DNS name
	Port           int    // 0: 22
	User           string // "": root; any other user needs sudo without a password
	KeyFile        string // a private key; "": the SSH agent, then ~/.ssh/id_ed25519, id_ecdsa and id_rsa
	KnownHostsFile string // "": ~/.ssh/known_hosts

	// HostKeys are fingerprints (SHA256:...). When there are any, nothing else is believed, known_hosts included.
	HostKeys []string
}

func (a Address) withDefaults() Address {
	if a.Port == 0 {
		a.Port = 22
	}
	if a.User == "" {
		a.User = "root"
	}
	if a.Name == "" {
		a.Name = a.Addr
	}
	return a
}

// endpoint is host:port, for dialling and for known_hosts.
func (a Address) endpoint() string { return net.JoinHostPort(a.Addr, strconv.Itoa(a.Port)) }

// Conn is one SSH connection to one host. It is safe for concurrent use.
type Conn struct {
	addr   Address
	opts   options
	client *ssh.Client

	over chan struct{} // closed once the connection has ended
	err  error         // why it ended; to be read after over is closed

	filesMu sync.Mutex
	files   *files // opened when first needed

	spareMu sync.Mutex
	spare   *Conn // a second connection, for hosts that allow too few sessions on one

	pathsMu sync.Mutex
	paths   map[string]*sync.Mutex // one upload of a path at a time
}

// Dial connects to a host, checks its key and logs in. Whatever goes wrong is an *Error; its cause is a *KeyError when the host's key
// is not the one we know (then no login was tried) and a *LoginError when the host refused us.
func Dial(ctx context.Context, a Address, opts ...Option) (*Conn, error) {
	a = a.withDefaults()
	o := defaults()
	for _, set := range opts {
		set(&o)
	}
	believed, err := believe(a)
	if err != nil {
		return nil, err
	}
	keys, err := findLogin(a)
	if err != nil {
		return nil, err
	}
	defer keys.close() // the SSH agent is needed for the login only, and is never forwarded
	client, err := o.connect(ctx, a, believed, keys)
	if err != nil {
		return nil, err
	}
	c := &Conn{addr: a, opts: o, client: client, over: make(chan struct{}), paths: map[string]*sync.Mutex{}}
	go c.watch()
	return c, nil
}

// Name is what people call the host.
func (c *Conn) Name() string { return c.addr.Name }

// Done is closed once the connection has ended; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.over }

// Err says why the connection ended, and is nil as long as it has not.
func (c *Conn) Err() error {
	select {
	case <-c.over:
		return c.err
	default:
		return nil
	}
}

// Close ends the connection and everything that runs over it.
func (c *Conn) Close() error {
	err := c.client.Close()
	<-c.over
	c.spareMu.Lock()
	defer c.spareMu.Unlock()
	if c.spare != nil {
		c.spare.Close()
	}
	return err
}

// watch owns the connection's life: it asks for a sign of life every so often, and ends a connection that gives none. Without
// it a host that lost its power would hold us until TCP gives up, which takes a quarter of an hour.
func (c *Conn) watch() {
	ended := make(chan error, 1)
	go func() { ended <- c.client.Wait() }()
	tick := time.NewTicker(c.opts.every)
	defer tick.Stop()
	alive := make(chan struct{}, 1)
	var silent <-chan time.Time // fires when an asked host has not answered in time; nil when nothing was asked
	for {
		select {
		case err := <-ended:
			c.err = lost(c.addr, err)
			close(c.over)
			return
		case <-tick.C:
			if silent == nil {
				silent = time.After(c.opts.patience)
				go func() {
					if _, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
						alive <- struct{}{}
					}
				}()
			}
		case <-alive:
			silent = nil
		case <-silent:
			c.err = c.addr.gone(errSilent, "the host or the network to it is down; run the same command again once it is back")
			close(c.over)
			c.client.Close()
			<-ended
			return
		}
	}
}
