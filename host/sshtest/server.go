// Package sshtest is a host that is not there: an SSH server in this process that speaks the true protocol, whose file system is a
// directory, whose agent runs in this process, and which fails in the ways that hosts do.
package sshtest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kubewright/kubewright/host"
	"golang.org/x/crypto/ssh"
)

// Options say what kind of host this is. The zero value is one with an ed25519 key and root's login.
type Options struct {
	Root       string       // the directory that is its file system; "": a temporary one
	User       string       // who may log in; "": root
	HostKeys   []ssh.Signer // default: one ed25519 key
	Authorized []ssh.PublicKey
	Algorithms ssh.Config // what it offers for key exchange, cipher and MAC; default: everything
	Agent      Agent      // what its agent does; default: it is killed at once
}

// Server is the host.
type Server struct {
	Addr     string // where it listens, on loopback
	Root     string // its file system
	User     string
	HostKeys []ssh.Signer
	KeyFile  string // a private key that it accepts

	tb       testing.TB
	opts     Options
	listener net.Listener
	ctx      context.Context
	all      sync.WaitGroup

	mu          sync.Mutex
	faults      Faults
	conns       map[net.Conn]bool
	commands    []string
	logins      int
	connections int
}

// Start starts a host; it ends with the test.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	if o.User == "" {
		o.User = "root"
	}
	if o.Root == "" {
		o.Root = tb.TempDir()
	}
	if len(o.HostKeys) == 0 {
		o.HostKeys = []ssh.Signer{NewKey(tb, ssh.KeyAlgoED25519)}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	login, file := newKeyFile(tb)
	o.Authorized = append(o.Authorized, login.PublicKey())
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{Addr: listener.Addr().String(), Root: o.Root, User: o.User, HostKeys: o.HostKeys, KeyFile: file,
		tb: tb, opts: o, listener: listener, ctx: ctx, conns: map[net.Conn]bool{}}
	s.furnish()
	s.all.Add(1)
	go s.accept()
	tb.Cleanup(func() {
		cancel()
		listener.Close()
		s.Cut()
		s.all.Wait()
	})
	return s
}

// furnish gives the host the directories and the one program that every Linux host has.
func (s *Server) furnish() {
	for _, dir := range []string{"bin", "var/lib", "home", "root"} {
		if err := os.MkdirAll(filepath.Join(s.Root, dir), 0o755); err != nil {
			s.tb.Fatal(err)
		}
	}
	if s.User != "root" {
		if err := os.MkdirAll(filepath.Join(s.Root, "home", s.User), 0o700); err != nil {
			s.tb.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Root, "bin/sh"), elfHeader(), 0o755); err != nil {
		s.tb.Fatal(err)
	}
}

// Address is how to reach the host, with its key pinned.
func (s *Server) Address(name string) host.Address {
	a := s.Unknown(name)
	a.HostKeys = []string{ssh.FingerprintSHA256(s.HostKeys[0].PublicKey())}
	return a
}

// Unknown is how to reach the host, with nothing known of its key.
func (s *Server) Unknown(name string) host.Address {
	addr := s.listener.Addr().(*net.TCPAddr)
	return host.Address{Name: name, Addr: addr.IP.String(), Port: addr.Port, User: s.User, KeyFile: s.KeyFile,
		KnownHostsFile: filepath.Join(s.tb.TempDir(), "known_hosts")}
}

// Fault changes what goes wrong from now on.
func (s *Server) Fault(change func(*Faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.faults)
}

func (s *Server) now() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// Cut cuts every connection.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Commands lists what was asked to be run, in order.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Logins counts the attempts to log in, of any kind.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Connections counts the TCP connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

func (s *Server) accept() {
	defer s.all.Done()
	for {
		tcp, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.connections++
		drop := s.faults.Drop > 0
		if drop {
			s.faults.Drop--
		} else {
			s.conns[tcp] = true
		}
		s.mu.Unlock()
		if drop {
			tcp.Close()
			continue
		}
		s.all.Add(1)
		go func() {
			defer s.all.Done()
			s.serve(tcp)
			s.mu.Lock()
			delete(s.conns, tcp)
			s.mu.Unlock()
		}()
	}
}

func (s *Server) serve(tcp net.Conn) {
	defer tcp.Close()
	cfg := &ssh.ServerConfig{
		Config:       s.opts.Algorithms,
		MaxAuthTries: 6,
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if s.now().RefuseLogin || meta.User() != s.User {
				return nil, errRefused
			}
			for _, k := range s.opts.Authorized {
				if string(k.Marshal()) == string(key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errRefused
		},
		AuthLogCallback: func(ssh.ConnMetadata, string, error) {
			s.mu.Lock()
			s.logins++
			s.mu.Unlock()
		},
	}
	for _, k := range s.HostKeys {
		cfg.AddHostKey(k)
	}
	conn, chans, reqs, err := ssh.NewServerConn(&faultyConn{Conn: tcp, server: s}, cfg)
	if err != nil {
		return
	}
	defer conn.Close()
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() {
		for r := range reqs { // keepalives; a real sshd refuses them too, which is answer enough
			r.Reply(false, nil)
		}
	})
	var sessions sessions
	for c := range chans {
		switch {
		case c.ChannelType() == "session" && !sessions.enter(s.now().MaxSessions):
			c.Reject(ssh.ConnectionFailed, "open failed")
		case c.ChannelType() == "session":
			work.Go(func() {
				defer sessions.leave()
				s.session(c)
			})
		case c.ChannelType() == "direct-tcpip":
			work.Go(func() { s.forward(c) })
		default:
			c.Reject(ssh.UnknownChannelType, "unknown channel type")
		}
	}
}

// sessions counts the sessions of one connection.
type sessions struct {
	mu sync.Mutex
	n  int
}

func (s *sessions) enter(limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && s.n >= limit {
		return false
	}
	s.n++
	return true
}

func (s *sessions) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
}

// path is where a file of the host lies.
func (s *Server) path(p string) string { return filepath.Join(s.Root, filepath.Clean("/"+p)) }

func (s *Server) note(command string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, command)
}

// Ran counts the commands that begin with these words.
func (s *Server) Ran(words string) int {
	n := 0
	for _, c := range s.Commands() {
		if strings.HasPrefix(c, words) {
			n++
		}
	}
	return n
}
