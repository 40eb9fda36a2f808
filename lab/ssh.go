package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Command is a command inside the bridge's network namespace, from where every host can be reached and nothing else. Its
// streams are the caller's to set.
func Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	if !isNetns(prefix) {
		return nil, ErrNoLab
	}
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", prefix}, argv...)...), nil
}

// Exec runs a command inside the bridge's network namespace with this process's own streams, and lets it end in its own way: a terminal
// interrupts both, and other signals are handed on. A command's own failure is an *exec.ExitError.
func Exec(ctx context.Context, argv []string) error {
	cmd, err := Command(context.WithoutCancel(ctx), argv...)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s) // it may have ended already
			case <-done:
				return
			}
		}
	}()
	return cmd.Wait()
}

// SSH logs into a host as root, from anywhere on the machine, and runs argv there (joined by spaces, as ssh(1) does) or, without
// argv, a shell. A command's own failure is an *ssh.ExitError.
func SSH(ctx context.Context, host string, argv []string) error {
	rec, err := readRecord()
	if err != nil {
		return err
	}
	h, err := rec.host(host)
	if err != nil {
		return err
	}
	key, err := keyAt(filepath.Join(rec.Dir, keyName), "kubewright lab")
	if err != nil {
		return err
	}
	client, err := rec.container(h).login(ctx, "root", key)
	if err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	s, err := client.NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	s.Stdin, s.Stdout, s.Stderr = os.Stdin, os.Stdout, os.Stderr
	if len(argv) > 0 {
		return s.Run(strings.Join(argv, " "))
	}
	return shell(s)
}

// shell gives the session this process's terminal, when it has one.
func shell(s *ssh.Session) error {
	in := int(os.Stdin.Fd())
	if term.IsTerminal(in) {
		w, h, err := term.GetSize(in)
		if err != nil {
			return err
		}
		if err := s.RequestPty(os.Getenv("TERM"), h, w, ssh.TerminalModes{}); err != nil {
			return err
		}
		old, err := term.MakeRaw(in)
		if err != nil {
			return err
		}
		defer term.Restore(in, old)
		resized := make(chan os.Signal, 1)
		signal.Notify(resized, unix.SIGWINCH)
		defer signal.Stop(resized)
		go func() {
			for range resized {
				if w, h, err := term.GetSize(in); err == nil {
					s.WindowChange(h, w)
				}
			}
		}()
	}
	if err := s.Shell(); err != nil {
		return err
	}
	return s.Wait()
}

// login connects to the host's sshd and believes only the key that the host was given before its first boot.
func (c container) login(ctx context.Context, user string, key keypair) (*ssh.Client, error) {
	hostKey, err := c.hostKey()
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, c.sshAddr())
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	sc, chans, reqs, err := ssh.NewClientConn(conn, c.sshAddr().String(), &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(key.signer)},
		HostKeyCallback:   ssh.FixedHostKey(hostKey.signer.PublicKey()),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return ssh.NewClient(sc, chans, reqs), nil
}
