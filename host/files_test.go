package host_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/host/sshtest"
)

func sha(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestUpload(t *testing.T) {
	data := make([]byte, 5<<20+123)
	rand.Read(data)
	name := agent.StateDir + "/blobs/" + sha("blob")
	for user, sudo := range map[string]sshtest.Sudo{"root": "", "kw": "", "bare": sshtest.SudoBare} {
		t.Run(user, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{User: user})
			s.Fault(func(f *sshtest.Faults) { f.Sudo = sudo })
			c := dial(t, s)
			file := filepath.Join(s.Root, name)
			for range 2 { // again over what is there
				if err := c.Upload(t.Context(), name, int64(len(data)), bytes.NewReader(data), 0o600); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(read(t, file), data) {
					t.Fatal("other bytes arrived")
				}
				if fi, _ := os.Stat(file); fi.Mode() != 0o600 {
					t.Errorf("it has mode %v", fi.Mode())
				}
			}
			for what, r := range map[string]io.Reader{
				"too short": bytes.NewReader(data[1:]), "too long": io.MultiReader(bytes.NewReader(data), strings.NewReader("x")),
				"broken": io.MultiReader(bytes.NewReader(data[:1000]), failing{}),
			} {
				if err := c.Upload(t.Context(), name+"2", int64(len(data)), r, 0o600); err == nil {
					t.Errorf("%s: it was accepted", what)
				} else {
					wantRemedy(t, err)
				}
				if left, _ := filepath.Glob(file + "2*"); left != nil {
					t.Errorf("%s: left behind: %v", what, left)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := c.Upload(ctx, name+"2", 1, strings.NewReader("x"), 0o600); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the source broke") }

func TestUploadTakesOurPathsOnly(t *testing.T) {
	c := dial(t, sshtest.Start(t, sshtest.Options{}))
	for _, name := range []string{
		"/etc/passwd", "var/lib/kubewright/blobs/a", agent.StateDir, agent.StateDir + "/../x", agent.StateDir + "/a b",
		agent.StateDir + "/a;reboot", agent.StateDir + "/$(reboot)", agent.StateDir + "/-rf", agent.StateDir + "/a\n", agent.StateDir + "//a",
	} {
		if err := c.Upload(t.Context(), name, 1, strings.NewReader("x"), 0o600); err == nil {
			t.Errorf("%q was written", name)
		}
	}
}

func TestUploadCut(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	c := dial(t, s)
	name := agent.StateDir + "/blobs/" + sha("blob")
	err := c.Upload(t.Context(), name, 1<<30, &cutting{s: s}, 0o600)
	if err == nil {
		t.Fatal("no error")
	}
	if wantRemedy(t, err); !strings.Contains(err.Error(), "connection was closed") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.Root, name)); !os.IsNotExist(err) {
		t.Error("half a blob has the name of a whole one")
	}
	c = dial(t, s) // the next one finds the unfinished file and is not hindered
	if err := c.Upload(t.Context(), name, 3, strings.NewReader("yes"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// cutting cuts the connection after a few MiB.
type cutting struct {
	s *sshtest.Server
	n int
}

func (r *cutting) Read(b []byte) (int, error) {
	if r.n += len(b); r.n > 4<<20 {
		r.s.Cut()
	}
	return len(b), nil
}

func TestUploadWithOneSession(t *testing.T) {
	bin, hash := small(t)
	s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
	s.Install(bin)
	s.Fault(func(f *sshtest.Faults) { f.MaxSessions = 1 })
	c := dial(t, s)
	session, err := c.Agent(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := c.Upload(t.Context(), agent.StateDir+"/blobs/ab", 3, strings.NewReader("yes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections, not 2", n)
	}
}

func TestLimits(t *testing.T) {
	limits := host.NewLimits(2, 1)
	s := sshtest.Start(t, sshtest.Options{})
	var all sync.WaitGroup
	var now, most atomic.Int32
	for i := range 4 {
		all.Go(func() {
			c, err := host.Dial(t.Context(), s.Address("node-1"), host.WithLimits(limits))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			r := &counted{now: &now, most: &most, left: 5}
			if err := c.Upload(t.Context(), agent.StateDir+"/blobs/"+string(rune('a'+i)), 5, r, 0o600); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d uploads at the same time", most.Load())
	}
}

func TestHandshakesAreLimited(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	limits := host.NewLimits(1, 1)
	s := sshtest.Start(t, sshtest.Options{})
	slow := s.Address("slow")
	slow.Port = mute.Addr().(*net.TCPAddr).Port
	var done atomic.Bool
	go func() {
		host.Dial(t.Context(), slow, host.WithLimits(limits), host.WithTimeout(time.Second, 300*time.Millisecond))
		done.Store(true)
	}()
	if _, err := mute.Accept(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	dial(t, s, host.WithLimits(limits))
	time.Sleep(100 * time.Millisecond) // the slow host's place is given back just before its Dial returns
	if !done.Load() {
		t.Error("two handshakes at the same time")
	}
}

// counted tells how many are being read at once.
type counted struct {
	now, most *atomic.Int32
	left      int
}

func (c *counted) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := c.now.Add(1)
	c.most.Store(max(c.most.Load(), n))
	time.Sleep(5 * time.Millisecond)
	c.now.Add(-1)
	c.left--
	b[0] = 'x'
	return 1, nil
}

func TestDialTCP(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello from "+r.Host) }))
	defer web.Close()
	s := sshtest.Start(t, sshtest.Options{})
	c := dial(t, s)
	transport := web.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return c.DialTCP(ctx, addr) }
	client := &http.Client{Transport: transport}
	resp, err := client.Get(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(body), "hello") {
		t.Errorf("got %q", body)
	}
	resp.Body.Close()
	transport.CloseIdleConnections()

	_, err = c.DialTCP(t.Context(), "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "Connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	wantRemedy(t, err)
	s.Fault(func(f *sshtest.Faults) { f.NoForwarding = true })
	_, err = c.DialTCP(t.Context(), "127.0.0.1:1")
	if err == nil || !strings.Contains(wantRemedy(t, err), "AllowTcpForwarding") {
		t.Errorf("forwarding is forbidden: %v", err)
	}
}

func TestTunnelDeadline(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, sshtest.Start(t, sshtest.Options{}))
	conn, err := c.DialTCP(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Hour))
	conn.SetDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestThroughJumpHost(t *testing.T) {
	jump, inner := sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{})
	c := dial(t, inner, host.Through(dial(t, jump)))
	if err := c.Upload(t.Context(), agent.StateDir+"/blobs/ab", 3, strings.NewReader("yes"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := inner.Unknown("node-1")
	_, err := host.Dial(t.Context(), a, host.Through(dial(t, jump)))
	var bad *host.KeyError
	if !errors.As(err, &bad) || bad.Problem != host.KeyUnknown {
		t.Errorf("behind a jump host the key is verified too: %v", err)
	}
}
