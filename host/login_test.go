package host_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/host/sshtest"
	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"
)

func portOf(a host.Address) string { return strconv.Itoa(a.Port) }

// home gives the test a home directory and no SSH agent.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("SSH_AUTH_SOCK", "")
	if err := os.Mkdir(filepath.Join(dir, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startSSHAgent serves these keys as ssh-agent does.
func startSSHAgent(t *testing.T, files ...string) {
	t.Helper()
	ring := sshagent.NewKeyring()
	for _, f := range files {
		key, err := ssh.ParseRawPrivateKeyWithPassphrase(read(t, f), []byte("secret"))
		if err != nil {
			if key, err = ssh.ParseRawPrivateKey(read(t, f)); err != nil {
				t.Fatal(err)
			}
		}
		if err := ring.Add(sshagent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go sshagent.ServeAgent(ring, c)
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", path)
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLogin(t *testing.T) {
	dir := home(t)
	edKey, edFile := sshtest.NewKeyFile(t, ed25519, "")
	rsKey, rsFile := sshtest.NewKeyFile(t, rsa, "")
	lockedKey, lockedFile := sshtest.NewKeyFile(t, ed25519, "secret")
	_, otherFile := sshtest.NewKeyFile(t, ed25519, "")
	s := sshtest.Start(t, sshtest.Options{Authorized: []ssh.PublicKey{edKey.PublicKey(), rsKey.PublicKey(), lockedKey.PublicKey()}})
	try := func(keyFile string) error {
		a := s.Address("node-1")
		a.KeyFile = keyFile
		c, err := host.Dial(t.Context(), a)
		if err == nil {
			c.Close()
		}
		return err
	}

	if err := try(edFile); err != nil {
		t.Errorf("a named key: %v", err)
	}
	if err := try(rsFile); err != nil {
		t.Errorf("an RSA key: %v", err)
	}

	var refused *host.LoginError
	err := try(otherFile)
	if !errors.As(err, &refused) || refused.User != "root" || len(refused.Tried) != 1 || !strings.Contains(refused.Tried[0], otherFile) {
		t.Errorf("a key that the host does not know: %v", err)
	}
	wantRemedy(t, err)

	if err = try(lockedFile); err == nil || !strings.Contains(wantRemedy(t, err), "ssh-add "+lockedFile) {
		t.Errorf("a key with a passphrase: %v", err)
	}
	if err = try(filepath.Join(dir, "none")); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key file that is not there: %v", err)
	}
	wantRemedy(t, err)
	before := s.Logins()
	if err = try(""); !errors.As(err, &refused) || len(refused.Tried) != 0 {
		t.Errorf("no key anywhere: %v", err)
	}
	wantRemedy(t, err)
	if s.Logins() != before {
		t.Error("a login was tried without a key")
	}

	os.WriteFile(filepath.Join(dir, ".ssh/id_ed25519"), read(t, otherFile), 0o600)
	os.WriteFile(filepath.Join(dir, ".ssh/id_ecdsa"), read(t, lockedFile), 0o600)
	if err = try(""); !errors.As(err, &refused) || len(refused.Tried) != 1 || len(refused.Skipped) != 1 || !strings.Contains(refused.Skipped[0], "passphrase") {
		t.Errorf("usual files, one locked and one unknown: %v", err)
	}
	os.WriteFile(filepath.Join(dir, ".ssh/id_rsa"), read(t, rsFile), 0o600)
	if err := try(""); err != nil {
		t.Errorf("the third of the usual files: %v", err)
	}

	startSSHAgent(t, otherFile, lockedFile)
	if err := try(""); err != nil {
		t.Errorf("the second key of the SSH agent: %v", err)
	}
	if err := try(lockedFile); err != nil {
		t.Errorf("a named key with a passphrase that the SSH agent has: %v", err)
	}
	if err := try(otherFile); !errors.As(err, &refused) || len(refused.Tried) != 1 {
		t.Errorf("a named key is the only one that is offered: %v", err)
	}
}

func TestLoginWithManyKeys(t *testing.T) {
	home(t)
	var files []string
	for range 8 {
		_, f := sshtest.NewKeyFile(t, ed25519, "")
		files = append(files, f)
	}
	startSSHAgent(t, files...)
	s := sshtest.Start(t, sshtest.Options{})
	a := s.Address("node-1")
	a.KeyFile = ""
	_, err := host.Dial(t.Context(), a)
	var refused *host.LoginError
	if !errors.As(err, &refused) || len(refused.Tried) != 5 || len(refused.Skipped) != 3 {
		t.Fatalf("got %v", err)
	}
}

func TestLoginRefused(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	s.Fault(func(f *sshtest.Faults) { f.RefuseLogin = true })
	_, err := host.Dial(t.Context(), s.Address("node-1"))
	var refused *host.LoginError
	if !errors.As(err, &refused) || refused.User != "root" || !strings.Contains(err.Error(), s.KeyFile) {
		t.Fatalf("got %v", err)
	}
	wantRemedy(t, err)
	if n := s.Logins(); n > 3 {
		t.Errorf("%d attempts may lock an account", n)
	}
}

func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // accepts nothing: connections wait in its queue
	s := sshtest.Start(t, sshtest.Options{})

	refused := s.Address("node-1")
	refused.Port = freePort(t)
	_, err = host.Dial(t.Context(), refused)
	if err == nil || !strings.HasSuffix(err.Error(), ": connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	wantRemedy(t, err)

	mute := s.Address("node-1")
	mute.Port = listener.Addr().(*net.TCPAddr).Port
	began := time.Now()
	_, err = host.Dial(t.Context(), mute, host.WithTimeout(time.Second, 200*time.Millisecond))
	if err == nil || !strings.Contains(err.Error(), "timed out") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("TCP answers and SSH does not: %v", err)
	}
	wantRemedy(t, err)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err = host.Dial(ctx, mute); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					if _, err := c.Write([]byte("HTTP/1.1 400 \x1b[31mBad Request\r\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	_, err = host.Dial(t.Context(), mute)
	if err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("something else listens: %v", err)
	}
	wantRemedy(t, err)
}

func TestBusyHostIsTriedAgain(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	s.Fault(func(f *sshtest.Faults) { f.Drop = 3 })
	dial(t, s)
	if n := s.Connections(); n != 4 {
		t.Errorf("%d connections, not 4", n)
	}
	s.Fault(func(f *sshtest.Faults) { f.Drop = 1000 })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := host.Dial(ctx, s.Address("node-1"))
	if err == nil || !strings.Contains(wantRemedy(t, err), "MaxStartups") {
		t.Errorf("a host that is always busy: %v", err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
