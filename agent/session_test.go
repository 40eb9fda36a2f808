package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// The nth primitive change fails, for every n: the next run comes to what an uninterrupted one comes to, and reset, failing in the same way and repeated, to
// where it began.
func TestFailingAtEveryChange(t *testing.T) {
	want := ""
	for n, through := 0, false; !through; n++ {
		b := newBench(t)
		furnish(t, b.root)
		first := snapshot(t, b.root, true)
		frail := &frail{Machine: b.machine}
		b.machine = frail
		s := b.locked(t, nil)

		frail.left.Store(int64(n))
		err := s.Apply(t.Context(), "run", "phase", files(), nil)
		var step *agent.StepError
		through = n > 0 && err == nil
		if n > 0 && err != nil && (!errors.As(err, &step) || !strings.Contains(err.Error(), errFrail.Error())) {
			t.Fatalf("failing at change %d: %v", n, err)
		}
		frail.left.Store(0)
		if err := s.Apply(t.Context(), "run", "phase", files(), nil); err != nil {
			t.Fatalf("after failing at change %d: %v", n, err)
		}
		got := fmt.Sprint(stable(snapshot(t, b.root, false)))
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("after failing at change %d:\n%s\nuninterrupted:\n%s", n, got, want)
		}
		frail.left.Store(int64(n))
		var reset *agent.ResetError
		if err := s.Reset(t.Context(), nil); err != nil && !errors.As(err, &reset) {
			t.Fatalf("reset failing at change %d: %v", n, err)
		}
		frail.left.Store(0)
		if err := s.Reset(t.Context(), nil); err != nil {
			t.Fatalf("reset after failing at change %d: %v", n, err)
		}
		s.Close()
		sameSnapshot(t, fmt.Sprintf("reset after failing at change %d", n), first, snapshot(t, b.root, true))
		if t.Failed() || n > 500 {
			t.FailNow()
		}
	}
}

var errFrail = errors.New("no space left on this pretend device")

// frail is a machine whose nth change fails, and no other.
type frail struct {
	ops.Machine
	left atomic.Int64
}

func (f *frail) Unwrap() ops.Machine { return f.Machine }

func (f *frail) Changing(string) error {
	if f.left.Add(-1) == 0 {
		return errFrail
	}
	return nil
}

// A certificate of an authority on another host: its CSR goes to the workstation, comes to that host's agent, and is signed there.
func TestAskRoundTrip(t *testing.T) {
	first, second := newBench(t), newBench(t)
	ca := ops.Authority{Name: "kubernetes", CommonName: "kubernetes", Cert: "/etc/kubernetes/pki/ca.crt", KeyFile: "/etc/kubernetes/pki/ca.key"}
	one := first.locked(t, nil)
	if err := one.Apply(t.Context(), "run", "ca", []ops.Step{{Op: ca}}, nil); err != nil {
		t.Fatal(err)
	}
	cert := ops.Certificate{Authority: "kubernetes", CACert: "/etc/kubernetes/pki/ca.crt", Cert: "/etc/kubernetes/pki/node.crt",
		KeyFile: "/etc/kubernetes/pki/node.key", Request: pki.Request{CommonName: "system:node:two", Organization: []string{"system:nodes"},
			Usages: []pki.Usage{pki.ClientAuth}, Days: 30}}
	var asked []ops.Question
	two := second.locked(t, func(ctx context.Context, q ops.Question) ([]byte, error) {
		asked = append(asked, q)
		switch {
		case q.Kind == ops.AskCA && q.Name == "kubernetes":
			return one.ReadCA(ctx, q.Name)
		case q.Kind == ops.AskSign && q.Key == cert.Key():
			return one.Sign(ctx, q.Name, q.Data, cert.Request)
		}
		return nil, fmt.Errorf("nobody plans %s", q.Key)
	})
	trust := ops.Trust{Name: "kubernetes", Path: "/etc/kubernetes/pki/ca.crt"}
	if err := two.Apply(t.Context(), "run", "certs", []ops.Step{{Op: trust}, {Op: cert}}, nil); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || asked[0].Key != trust.Key() || asked[1].Key != cert.Key() {
		t.Errorf("asked %v", asked)
	}
	for _, q := range asked {
		if strings.Contains(string(q.Data), "PRIVATE") {
			t.Errorf("a private key travelled: %s", q.Data)
		}
	}
	stranger := cert
	stranger.Cert, stranger.KeyFile = "/etc/x.crt", "/etc/x.key"
	err := two.Apply(t.Context(), "run", "certs", []ops.Step{{Op: stranger}}, nil)
	if err == nil || !strings.Contains(err.Error(), "nobody plans cert:/etc/x.crt") {
		t.Errorf("an op that is not planned got: %v", err)
	}
}

// pipe is a connection to a peer that the test plays itself.
func pipe(t *testing.T) (here, there net.Conn) {
	t.Helper()
	here, there = net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

const hello = `{"hello":{"protocol":1,"version":"test","stateDir":"/var/lib/kubewright","facts":{"hostname":"h"}}}` + "\n"

func TestOpenWithAPeerThatIsNoAgent(t *testing.T) {
	for name, row := range map[string]struct {
		says string
		want string
	}{
		"a shell that fails": {"sudo: a password is required\n", `did not say hello, only "sudo: a password is required"`},
		"nothing":            {"", "did not say hello"},
		"control characters": {"\x1b]0;title\x07\n", "only \"\uFFFD]0;title\uFFFD\""},
		"another version":    {`{"hello":{"protocol":7}}` + "\n", "protocol 7"},
		"a flood of lines":   {strings.Repeat("welcome\n", 20000), "did not say hello"},
		"an endless line":    {strings.Repeat("x", 5<<20), "does not end"},
	} {
		here, there := pipe(t)
		go func() { _, _ = io.WriteString(there, row.says); there.Close() }()
		_, err := agent.Open(t.Context(), here, nil)
		if err == nil || !strings.Contains(err.Error(), row.want) || len(err.Error()) > 2000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	here, there := pipe(t)
	go func() { _, _ = io.WriteString(there, "Welcome to this host!\n"+hello) }()
	go func() { _, _ = io.Copy(io.Discard, there) }()
	s, err := agent.Open(t.Context(), here, nil)
	if err != nil || s.Hello().Facts.Hostname != "h" {
		t.Fatalf("after a greeting: %v", err)
	}
	there.Close()
	s.Close()

	here, _ = pipe(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := agent.Open(ctx, here, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent peer: %v", err)
	}
}

// What an agent says after its hello may be anything. The session ends or the request fails; nothing hangs, nothing grows without end, and
// nothing that rewrites a terminal comes through.
func TestHostileAgent(t *testing.T) {
	long := strings.Repeat("A", 1<<20)
	for name, row := range map[string]struct{ says, want string }{
		"garbage":               {"}{\n", "does not speak our protocol"},
		"another request's end": {`{"id":99,"done":true}` + "\n" + `{"id":1,"done":true,"failure":{"message":"plain"}}` + "\n", "plain"},
		"the wrong number":      {`{"id":1,"done":true,"ops":[]}` + "\n", "asked for 1 things and answered 0"},
		"another thing":         {`{"id":1,"done":true,"ops":[{"kind":"file","op":{"path":"/other"}}]}` + "\n", "answered another thing"},
		"an unknown kind":       {`{"id":1,"done":true,"ops":[{"kind":"shell","op":{}}]}` + "\n", "no such kind"},
		"a terminal's secrets":  {`{"id":1,"done":true,"failure":{"message":"\u001b[2J\u202egone` + long + `"}}` + "\n", "\uFFFD[2J\uFFFDgoneAAA"},
		"an endless line":       {strings.Repeat(long, 65), "does not end"},
		"many questions":        {strings.Repeat(`{"id":1,"ask":1,"question":{"kind":"sign"}}`+"\n", 200), "asks too much"},
	} {
		here, there := pipe(t)
		gate := make(chan struct{})
		go func() {
			_, _ = io.WriteString(there, hello)
			<-gate
			_, _ = io.WriteString(there, row.says)
			_, _ = io.Copy(io.Discard, there)
		}()
		go func() {
			_, _ = bufio.NewReader(there).ReadString('\n')
			close(gate)
		}()
		stuck := make(chan struct{})
		s, err := agent.Open(t.Context(), here, func(ctx context.Context, _ ops.Question) ([]byte, error) {
			select {
			case <-ctx.Done():
			case <-stuck:
			}
			return nil, errors.New("never")
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Observe(t.Context(), []ops.Op{ops.File{Path: "/x"}})
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.ContainsRune(err.Error(), '\x1b') || len(err.Error()) > 8<<10 {
			t.Errorf("%s: %.300v", name, err)
		}
		there.Close()
		close(stuck)
		s.Close()
	}
}

// The same for an agent with a hostile workstation.
func TestHostileWorkstation(t *testing.T) {
	for name, row := range map[string]struct{ says, want string }{
		"garbage":         {"hello?\n", "does not speak our protocol"},
		"an endless line": {strings.Repeat(strings.Repeat("A", 1<<20), 65), "does not end"},
		"unknown words":   {`{"id":1,"do":"format"}` + "\n", ""},
		"unknown ops":     {`{"id":1,"do":"observe","steps":[{"op":{"kind":"shell","op":{}}}]}` + "\n", ""},
		"no op":           {`{"id":1,"do":"observe","steps":[{}]}` + "\n", ""},
		"no holder":       {`{"id":1,"do":"lock"}` + "\n", ""},
		"no request":      {`{"id":1,"do":"sign"}` + "\n", ""},
		"no question":     {`{"id":1,"do":"answer","ask":5}` + "\n" + `{"id":1,"do":"nothing"}` + "\n", ""},
	} {
		b := newBench(t)
		here, there := pipe(t)
		ended := make(chan error, 1)
		go func() {
			ended <- agent.Serve(t.Context(), there, b.machine, agent.StateDir)
			there.Close()
		}()
		r := bufio.NewReader(here)
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, `{"hello":`) {
			t.Fatalf("%s: hello: %q, %v", name, line, err)
		}
		go func() { _, _ = io.WriteString(here, row.says) }()
		if row.want == "" {
			if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, `"failure"`) {
				t.Errorf("%s: answered %q, %v", name, line, err)
			}
			here.Close()
		}
		if err := <-ended; (row.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: the agent ended with %v", name, err)
		}
	}
}

// When the workstation is gone the agent ends within a second, and the host is free.
func TestTheAgentEndsWithItsWorkstation(t *testing.T) {
	b := newBench(t)
	here, there := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- agent.Serve(t.Context(), there, b.machine, agent.StateDir) }()
	s, err := agent.Open(t.Context(), here, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Lock(t.Context(), agent.Holder{User: "u"}); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	began := make(chan struct{}, 1)
	// Nothing listens there, so the op waits until it is told to stop.
	probe := ops.Probe{Name: "never", URL: "http://127.0.0.1:1/", Within: 60, OK: true}
	go func() {
		failed <- s.Apply(t.Context(), "run", "wait", []ops.Step{{Op: probe}}, func(ops.Progress) { began <- struct{}{} })
	}()
	<-began
	here.Close()
	var lost *agent.LostError
	if err := <-failed; !errors.As(err, &lost) || lost.During != "wait" || lost.Key != probe.Key() {
		t.Errorf("the apply ended with %v", err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the agent ended with %v", err)
		}
	case <-time.After(time.Second):
		t.Error("the agent still runs after a second")
	}
	if _, err := os.Lstat(b.machine.Path("/run/kubewright.lock")); !os.IsNotExist(err) {
		t.Errorf("the lock is left: %v", err)
	}
	s.Close()
	b.locked(t, nil)
}

// One request that waits keeps no other from being answered.
func TestRequestsDoNotWaitForEachOther(t *testing.T) {
	b := newBench(t)
	s := b.locked(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := make(chan struct{}, 1), make(chan error, 1)
	probe := ops.Probe{Name: "never", URL: "http://127.0.0.1:1/", Within: 60, OK: true}
	go func() {
		ended <- s.Apply(ctx, "run", "wait", []ops.Step{{Op: probe}}, func(ops.Progress) {
			select {
			case began <- struct{}{}:
			default:
			}
		})
	}()
	<-began
	for range 20 {
		if _, err := s.Observe(t.Context(), []ops.Op{ops.File{Path: "/x"}, ops.Dir{Path: "/etc", Mode: 0o755}}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled apply ended with %v", err)
	}
	if _, err := s.Observe(t.Context(), []ops.Op{ops.File{Path: "/x"}}); err != nil {
		t.Errorf("after a cancellation: %v", err)
	}
}
