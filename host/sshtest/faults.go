package sshtest

import (
	"errors"
	"net"
)

var errRefused = errors.New("refused")

// Faults are what may go wrong with a host. The zero value is a good one.
type Faults struct {
	Drop         int   // so many connections are closed before anything is said, as past MaxStartups
	RefuseLogin  bool  // no key is accepted
	CutAfter     int64 // the connection is cut once it has sent so many bytes; 0: never
	Silent       bool  // nothing is heard from it any more, and the connection stays open
	MaxSessions  int   // sessions on one connection; 0: any number
	NoForwarding bool  // sshd forwards no TCP
	NoSFTP       bool  // sshd has no sftp subsystem
	Sudo         Sudo
	Noise        string // what a login script prints in front of everything
	Endless      bool   // programs write garbage for ever
	EndlessTail  bool   // programs write garbage to stderr for ever, and nothing to stdout
}

// Sudo is how sudo behaves for a login other than root.
type Sudo string

// What sudo does.
const (
	SudoWorks   Sudo = ""
	SudoAsks    Sudo = "asks"    // for a password
	SudoTTY     Sudo = "tty"     // requiretty
	SudoAbsent  Sudo = "absent"  // is not installed
	SudoForeign Sudo = "foreign" // asks for a password in another language
	SudoBare    Sudo = "bare"    // works, but there is no sftp-server that it could run
)

// faultyConn is the host's end of a TCP connection, with its faults.
type faultyConn struct {
	net.Conn
	server *Server
	sent   int64
}

func (c *faultyConn) Write(b []byte) (int, error) {
	f := c.server.now()
	if f.Silent {
		return len(b), nil
	}
	if f.CutAfter > 0 && c.sent+int64(len(b)) > f.CutAfter {
		n, _ := c.Conn.Write(b[:max(0, f.CutAfter-c.sent)])
		c.Conn.Close()
		return n, net.ErrClosed
	}
	n, err := c.Conn.Write(b)
	c.sent += int64(n)
	return n, err
}

func (c *faultyConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.server.now().Silent {
			return n, err
		}
	}
}
