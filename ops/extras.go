package ops

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// What a machine may offer beyond Machine. Ops find it here, also in a machine that wraps another.
type (
	// stateful is a machine that says where kubewright's state lies on it.
	stateful interface{ StateDir() string }
	// hesitant is a machine that wants to hear of every change first, and may refuse it.
	hesitant interface{ Changing(what string) error }
	// owner is a machine whose owners are not those of this process' file system.
	owner interface {
		Chown(real string, uid, gid int) error
		OwnerOf(st *syscall.Stat_t) (uid, gid int)
	}
	// client is a machine with its own way to HTTP servers.
	client interface {
		Transport(trust *tls.Config) http.RoundTripper
	}
	// Processes is a machine that knows the environment of its processes.
	Processes interface {
		// Running says whether some process was started with this value of InputsVar.
		Running(ctx context.Context, inputs string) bool
	}
	// telling is a machine that passes on what an op waits for.
	telling interface{ Tell(what string) }
	// ruled is a machine whose tables of nftables can be looked into.
	ruled interface {
		ruleset(table string) (ruleset, error)
		deleteChain(table, chain string) error
	}
	// Kernel is what ops ask of a machine's kernel beside reading and writing files.
	Kernel interface {
		SwapOn(area string, priority int) error
		SwapOff(area string) error
		Unmount(path string) error // detaches what was mounted last on path
		Unload(module string) error
	}
	// Network is what grows in a machine's network while a cluster runs.
	Network interface {
		Links() ([]string, error)
		Kinds() ([]string, error) // of the links there are: "bridge", "vxlan"
		DeleteLink(name string) error
		Routes() ([]string, error) // of the main table, as "10.244.1.0/24 via 192.168.1.32"
		DeleteRoute(route string) error
		Tables() ([]string, error) // of nftables, as "ip nat"
		DeleteTable(name string) error
		FlushIPVS() error
	}
	// Firewall is firewalld.
	Firewall interface {
		Has(ctx context.Context, e FirewallEntry) (bool, error)
		Change(ctx context.Context, e FirewallEntry, present bool) error
		// Rules are all rich rules of a zone, in firewalld's own words.
		Rules(ctx context.Context, zone string, permanent bool) ([]string, error)
		// Zones are those in use.
		Zones(ctx context.Context) (map[string]FirewallZone, error)
		// Defaults makes a zone from its next start on what firewalld ships.
		Defaults(ctx context.Context, zone string) error
		// Lossless says whether everything is now as it would be after a reload; interfaces need not count.
		Lossless(ctx context.Context, despiteInterfaces bool) (bool, error)
		ReloadFirewall(ctx context.Context) error
	}
)

// FirewallEntry is an opened port, a trusted source or a rich rule in a zone, now or from the next start on.
type FirewallEntry struct {
	Zone      string `json:"zone,omitempty"`
	Port      string `json:"port,omitempty"` // "6443/tcp"; one of Port, Source and Rule
	Source    string `json:"source,omitempty"`
	Rule      string `json:"rule,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
}

// FirewallZone is what comes into a zone of firewalld.
type FirewallZone struct {
	Interfaces []string `json:"interfaces,omitempty"`
	Sources    []string `json:"sources,omitempty"`
	Default    bool     `json:"default,omitempty"` // everything that no zone has
}

// StateDir is where kubewright keeps its journal and its marks on a machine.
const StateDir = "/var/lib/kubewright"

func find[T any](m Machine) (T, bool) {
	for {
		if t, ok := m.(T); ok {
			return t, true
		}
		w, ok := m.(interface{ Unwrap() Machine })
		if !ok {
			var none T
			return none, false
		}
		m = w.Unwrap()
	}
}

func stateDir(m Machine) string {
	if s, ok := find[stateful](m); ok {
		return s.StateDir()
	}
	return StateDir
}

func changing(m Machine, what string) error {
	if h, ok := find[hesitant](m); ok {
		return h.Changing(what)
	}
	return nil
}

// tell says, while an op is set, what it waits for.
func tell(m Machine, what string) {
	if t, ok := find[telling](m); ok {
		t.Tell(what)
	}
}

func kernelOf(m Machine) (Kernel, error) {
	if k, ok := find[Kernel](m); ok {
		return k, nil
	}
	return nil, errors.New("the kernel of this machine cannot be asked")
}

func networkOf(m Machine) (Network, error) {
	if n, ok := find[Network](m); ok {
		return n, nil
	}
	return nil, errors.New("the network of this machine cannot be asked")
}

func running(ctx context.Context, m Machine, inputs string) (bool, error) {
	if p, ok := find[Processes](m); ok {
		return p.Running(ctx, inputs), nil
	}
	return false, errors.New("the processes of this machine cannot be asked")
}

func firewallOf(m Machine) (Firewall, error) {
	if f, ok := find[Firewall](m); ok {
		return f, nil
	}
	return nil, errors.New("the firewall of this machine cannot be asked")
}

func chown(m Machine, real string, uid, gid int) error {
	if o, ok := find[owner](m); ok {
		return o.Chown(real, uid, gid)
	}
	return os.Lchown(real, uid, gid)
}

func ownerOf(m Machine, fi os.FileInfo) (uid, gid int) {
	st := fi.Sys().(*syscall.Stat_t)
	if o, ok := find[owner](m); ok {
		return o.OwnerOf(st)
	}
	return int(st.Uid), int(st.Gid)
}

// transport never asks the environment for a proxy: hosts fetch from the cluster's own servers only.
func transport(m Machine, trust *tls.Config) http.RoundTripper {
	if c, ok := find[client](m); ok {
		return c.Transport(trust)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{ // of HTTP/1.1: one file a connection, whose bytes need not go from hand to hand as HTTP/2's frames do
		TLSClientConfig: trust,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return buffered{conn, bufio.NewReaderSize(conn, chunk)}, nil
		},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
	}
}

// buffered is a connection that takes as much as has come with one call of the kernel, where TLS asks for a record's header and then for its body.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
