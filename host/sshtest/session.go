package sshtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/agent"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// sftpServer is where this host has its sftp-server: not the first place that is looked at.
const sftpServer = "/usr/libexec/openssh/sftp-server"

// session serves one exec or subsystem request.
func (s *Server) session(c ssh.NewChannel) {
	ch, reqs, err := c.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	for r := range reqs {
		var payload struct{ Text string }
		ssh.Unmarshal(r.Payload, &payload)
		if r.Type != "exec" && r.Type != "subsystem" {
			r.Reply(false, nil)
			continue
		}
		if r.Type == "subsystem" && (payload.Text != "sftp" || s.now().NoSFTP) {
			r.Reply(false, nil)
			continue
		}
		r.Reply(true, nil)
		go func() { // the channel's end is the program's
			ssh.DiscardRequests(reqs)
			cancel()
		}()
		var status int
		if r.Type == "exec" {
			s.note(payload.Text)
			status = s.exec(ctx, ch, payload.Text)
		} else {
			status = s.sftp(ch, s.User == "root")
		}
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		return
	}
}

// exec does what a shell would do with the few command lines that we send, and refuses every other one.
func (s *Server) exec(ctx context.Context, ch ssh.Channel, command string) int {
	f := s.now()
	io.WriteString(ch, f.Noise)
	for f.Endless || f.EndlessTail {
		out := io.Writer(ch)
		if f.EndlessTail {
			out = ch.Stderr()
		}
		if _, err := out.Write([]byte(strings.Repeat("garbage \x1b[2J\x00\xff", 1000))); err != nil || ctx.Err() != nil {
			return 1
		}
	}
	argv := strings.Fields(command)
	root := s.User == "root"
	if len(argv) > 2 && argv[0] == "sudo" && argv[1] == "-n" {
		if status := s.sudo(f.Sudo, ch.Stderr()); status != 0 {
			return status
		}
		argv, root = argv[2:], true
	}
	missing := func() int {
		if len(argv) < len(strings.Fields(command)) {
			fmt.Fprintf(ch.Stderr(), "sudo: %s: command not found\n", argv[0])
			return 1
		}
		fmt.Fprintf(ch.Stderr(), "bash: line 1: %s: No such file or directory\n", argv[0])
		return 127
	}
	switch {
	case strings.HasSuffix(argv[0], "/kubewright-agent") && slices.Equal(argv[1:], []string{"serve"}):
		fi, err := os.Stat(s.path(argv[0]))
		if !root || err != nil || fi.Mode()&0o100 == 0 {
			return missing()
		}
		if fi.Size() == 0 { // the shell takes it for an empty script
			return 0
		}
		if s.opts.Agent == nil {
			return 137
		}
		if !strings.HasPrefix(argv[0], agent.StateDir) { // in memory, from where the agent removes itself
			os.Remove(s.path(argv[0]))
			os.Remove(filepath.Dir(s.path(argv[0])))
		}
		return s.opts.Agent(ctx, ch, ch.Stderr())
	case argv[0] == sftpServer && f.Sudo != SudoBare:
		return s.sftp(ch, root)
	case slices.Contains([]string{"install", "mv", "sync", "mkdir", "rm", "rmdir"}, argv[0]) && root:
		if err := s.coreutil(argv); err != nil {
			fmt.Fprintf(ch.Stderr(), "%s: %v\n", argv[0], err)
			return 1
		}
		return 0
	}
	return missing()
}

func (s *Server) sudo(how Sudo, stderr io.Writer) int {
	switch how {
	case SudoAsks:
		fmt.Fprintln(stderr, "sudo: a password is required")
	case SudoForeign:
		fmt.Fprintln(stderr, "sudo: 需要密码")
	case SudoTTY:
		fmt.Fprintln(stderr, "sudo: sorry, you must have a tty to run sudo")
	case SudoAbsent:
		fmt.Fprintln(stderr, "bash: line 1: sudo: command not found")
		return 127
	default:
		return 0
	}
	return 1
}

// coreutil knows the forms of the coreutils that are used, and no others.
func (s *Server) coreutil(argv []string) error {
	line := strings.Join(argv, " ")
	home := func(p string) string {
		if filepath.IsAbs(p) {
			return s.path(p)
		}
		return filepath.Join(s.path("home/"+s.User), p)
	}
	var mode, from, to string
	switch {
	case strings.HasPrefix(line, "install -d -m 0700 -o root -g root /"):
		for _, dir := range argv[8:] {
			if err := os.Mkdir(s.path(dir), 0o700); err != nil && !os.IsExist(err) {
				return err
			}
		}
		return nil
	case scan(line, "install -T -m %s -o root -g root %s %s", &mode, &from, &to):
		bits, err := strconv.ParseUint(mode, 8, 32)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(home(from))
		if err != nil {
			return err
		}
		os.Remove(s.path(to))
		return os.WriteFile(s.path(to), data, os.FileMode(bits))
	case scan(line, "mv -f -T %s %s", &from, &to):
		return os.Rename(s.path(from), s.path(to))
	case scan(line, "mkdir -m 0700 %s", &to):
		return os.Mkdir(s.path(to), 0o700)
	case scan(line, "rm -f %s", &from), scan(line, "rmdir %s", &from):
		return os.Remove(s.path(from))
	case scan(line, "sync %s", &from):
		_, err := os.Stat(s.path(from))
		return err
	}
	return fmt.Errorf("unexpected arguments: %s", line)
}

func scan(line, format string, into ...any) bool {
	n, err := fmt.Sscanf(line, format, into...)
	return err == nil && n == len(into)
}

func (s *Server) sftp(ch ssh.Channel, root bool) int {
	io.WriteString(ch, s.now().Noise)
	tree := &tree{server: s, root: root, home: "/root"}
	if s.User != "root" && !root {
		tree.home = "/home/" + s.User
	}
	server := sftp.NewRequestServer(ch, sftp.Handlers{FileGet: tree, FilePut: tree, FileCmd: tree, FileList: tree}, sftp.WithStartDirectory(tree.home))
	if err := server.Serve(); err != nil && err != io.EOF {
		return 1
	}
	return 0
}

// forward connects to an address for the client: on loopback only, whatever the test asks for.
func (s *Server) forward(c ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	ssh.Unmarshal(c.ExtraData(), &to)
	if ip := net.ParseIP(to.Host); s.now().NoForwarding || ip == nil || !ip.IsLoopback() {
		c.Reject(ssh.Prohibited, "open failed")
		return
	}
	tcp, err := new(net.Dialer).DialContext(s.ctx, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		c.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	ch, reqs, err := c.Accept()
	if err != nil {
		tcp.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { ssh.DiscardRequests(reqs) })
	both.Go(func() { io.Copy(tcp, ch); tcp.(*net.TCPConn).CloseWrite() })
	io.Copy(ch, tcp)
	ch.Close()
	tcp.Close()
	both.Wait()
}
