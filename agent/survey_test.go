package agent

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// freePort is one that nobody has on any of the loopback's addresses.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Hosts are addresses of the loopback here, each with its own listeners: every way between them is found to be as it is, and nobody waits for the
// window to close once all have been served.
func TestHostsFindEachOther(t *testing.T) {
	hosts := []string{"127.1.0.1", "127.1.0.2", "127.1.0.3"}
	tcp, udp := freePort(t), freePort(t)
	asks := map[string]*SurveyAsk{}
	for _, h := range hosts {
		asks[h] = &SurveyAsk{Window: 5 * time.Second, Address: h, Token: "kubewright-1"}
	}
	for _, to := range hosts {
		var from []string
		for _, h := range hosts {
			if h != to {
				from = append(from, h)
				asks[h].Try = append(asks[h].Try, Crossing{To: to, Port: tcp, Protocol: "tcp"}, Crossing{To: to, Port: udp, Protocol: "udp", Big: true})
			}
		}
		asks[to].Listen = []Opening{{Port: tcp, Protocol: "tcp", From: from}, {Port: udp, Protocol: "udp", From: from}}
	}
	type answer struct {
		opened  []string
		crossed []Crossed
	}
	answers := map[string]answer{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for i, h := range hosts {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 150 * time.Millisecond) // no two hosts hear the question at the same moment
			opened, crossed := crossings(t.Context(), *asks[h])
			mu.Lock()
			defer mu.Unlock()
			answers[h] = answer{opened, crossed}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s, as if somebody had not come", took)
	}
	for _, h := range hosts {
		a := answers[h]
		if !reflect.DeepEqual(a.opened, []string{"open", "open"}) {
			t.Errorf("%s opened %q", h, a.opened)
		}
		for i, c := range a.crossed {
			try := asks[h].Try[i]
			if c.State != CrossOK || try.Big && (c.MTU != maxPacket || c.Passed != maxPacket) {
				t.Errorf("%s -> %s %d/%s: %+v", h, try.To, try.Port, try.Protocol, c)
			}
		}
	}
	// Nothing is left open, nor kept from whoever does not ask to share a port.
	for _, h := range hosts {
		strict := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 0) })
		}}
		l, err := strict.Listen(t.Context(), "tcp", net.JoinHostPort(h, itoa(tcp)))
		if err != nil {
			t.Errorf("%s: %v", h, err)
			continue
		}
		l.Close()
	}
	for _, h := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(h, "0"))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if c, err := net.DialTimeout("tcp", net.JoinHostPort(h, itoa(tcp)), time.Second); err == nil {
			c.Close()
			t.Errorf("%s still listens", h)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func TestWaysThatAreNotOpen(t *testing.T) {
	other, err := net.Listen("tcp", "127.1.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail.example\r\n"))
			c.Close()
		}
	}()
	silent, err := net.ListenPacket("udp", "127.1.0.2:0") // takes packets and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	taken, quiet, closed := other.Addr().(*net.TCPAddr).Port, silent.LocalAddr().(*net.UDPAddr).Port, freePort(t)
	began := time.Now()
	opened, crossed := crossings(t.Context(), SurveyAsk{Window: 500 * time.Millisecond, Address: "127.1.0.2", Token: "kubewright-1",
		Listen: []Opening{{Port: taken, Protocol: "tcp", From: []string{"x"}}, {Port: quiet, Protocol: "udp", From: []string{"x"}}},
		Try: []Crossing{{To: "127.1.0.2", Port: taken, Protocol: "tcp"}, {To: "127.1.0.2", Port: quiet, Protocol: "udp"},
			{To: "127.1.0.3", Port: closed, Protocol: "tcp"}, {To: "127.1.0.3", Port: closed, Protocol: "udp"}}})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	if !reflect.DeepEqual(opened, []string{"taken", "taken"}) {
		t.Errorf("opened %q", opened)
	}
	var states []string
	for _, c := range crossed {
		states = append(states, c.State)
	}
	if want := []string{CrossOther, CrossTimeout, CrossRefused, CrossRefused}; !reflect.DeepEqual(states, want) {
		t.Errorf("got %q, want %q", states, want)
	}
	// A host that has not the address it was said to have cannot even try, and says so at once.
	began = time.Now()
	opened, crossed = crossings(t.Context(), SurveyAsk{Window: 5 * time.Second, Address: "192.0.2.1", Token: "k",
		Listen: []Opening{{Port: closed, Protocol: "tcp", From: []string{"x"}}}, Try: []Crossing{{To: "127.1.0.3", Port: closed, Protocol: "tcp"}}})
	if opened[0] != "cannot assign requested address" || crossed[0].State != CrossFailed || time.Since(began) > time.Second {
		t.Errorf("opened %q, crossed %+v after %s", opened, crossed, time.Since(began))
	}
}

// A listener answers the survey's own visitors only: it says nothing to strangers, and never more than it was told.
func TestListenersAnswerNobodyElse(t *testing.T) {
	port := freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		crossings(ctx, SurveyAsk{Window: 5 * time.Second, Address: "127.1.0.1", Token: "kubewright-1", Listen: []Opening{{Port: port, Protocol: "udp", From: []string{"x"}}}})
	}()
	conn, err := net.Dial("udp", net.JoinHostPort("127.1.0.1", itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(message string) string {
		buffer := make([]byte, 4096)
		for range 20 {
			_, _ = conn.Write([]byte(message))
			_ = conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
			n, err := conn.Read(buffer)
			if err == nil {
				return string(buffer[:n])
			}
			time.Sleep(10 * time.Millisecond) // it may not listen yet
		}
		return ""
	}
	mine := "kubewright-1 hello 127.1.0.9\n"
	if got := ask(mine); got != "kubewright-1 heard 127.1.0.9\n" {
		t.Errorf("a visitor was told %q", got)
	}
	for _, stranger := range []string{"hello", "kubewright-2 hello x\n", " hello x\n", strings.Repeat("x", 9000), "\x00\xff"} {
		if got := ask(stranger); got != "" {
			t.Errorf("a stranger was told %q", got)
		}
	}
	cancel()
	<-ended
}

func TestFsyncIsMeasuredAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := timeFsync(t.Context(), dir+"/not/there/yet", 200*time.Millisecond)
	if f.Error != "" {
		t.Skip(f.Error)
	}
	if f.Count == 0 || f.P50 <= 0 || f.P50 > f.P99 || f.P99 > f.Max {
		t.Errorf("measured %+v", f)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestTryPulls(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2}`)
	sum := sha256.Sum256(manifest)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/pause/manifests/"):
			_, _ = w.Write(manifest)
		case strings.HasPrefix(r.URL.Path, "/v2/forged/"):
			_, _ = w.Write([]byte("{}"))
		case strings.HasPrefix(r.URL.Path, "/v2/endless/"):
			for block := make([]byte, 64<<10); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		case strings.HasPrefix(r.URL.Path, "/v2/elsewhere/"):
			http.Redirect(w, r, "https://192.0.2.1/", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/v2/secret/"):
			w.WriteHeader(http.StatusUnauthorized)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "https://")
	m := ops.NewPretend(t.TempDir())
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	var ask RegistryAsk
	var want []string
	for _, row := range []struct{ repository, want string }{
		{"pause", "ok"}, {"forged", "the registry sends something else than the digest says"}, {"endless", "the registry sends something else than the digest says"},
		{"elsewhere", "the registry answers 302 Found"}, {"secret", "the registry answers 401 Unauthorized"}, {"nothing", "the registry answers 404 Not Found"},
	} {
		ask.Manifests, want = append(ask.Manifests, Manifest{Repository: row.repository, Digest: digest}), append(want, row.want)
	}
	ask.Address, ask.Authority = address, authority
	if got := tryPulls(t.Context(), m, ask); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	ask.Manifests = ask.Manifests[:1]
	// The host's own file counts more than what the workstation says.
	plant(t, m, map[string]string{trustedRegistry: authority})
	ask.Authority = ""
	if got := tryPulls(t.Context(), m, ask); got[0] != "ok" {
		t.Errorf("got %q", got)
	}
	m = ops.NewPretend(t.TempDir())
	if got := tryPulls(t.Context(), m, ask); got[0] != "the registry's certificate is signed by an authority that the host does not trust" {
		t.Errorf("got %q", got)
	}
	ask.Address = "127.1.0.9:1"
	if got := tryPulls(t.Context(), m, ask); got[0] != "connection refused" {
		t.Errorf("got %q", got)
	}
}

func TestOverlayIsTriedWhereNobodySeesIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	before, _ := os.ReadFile("/proc/self/mountinfo")
	got := tryOverlay(ops.NewPretend(t.TempDir()))
	after, _ := os.ReadFile("/proc/self/mountinfo")
	if string(before) != string(after) {
		t.Error("the mounts of this process are not as they were")
	}
	t.Logf("overlay: %s", got)
}

// What a host answers is believed only as far as it fits the question, and shown only bounded and cleaned.
func TestSurveysAreNotBelieved(t *testing.T) {
	now := time.Now()
	ask := SurveyAsk{Window: time.Second, Listen: make([]Opening, 1), Try: make([]Crossing, 2), Names: []string{"x"}, Registry: &RegistryAsk{Manifests: make([]Manifest, 1)}}
	good := func() *Survey {
		return &Survey{Heard: now, Said: now, Opened: []string{"open"}, Crossed: make([]Crossed, 2), Names: make([]Resolved, 1), Pulled: []string{"ok"}}
	}
	if err := good().believe(ask); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Survey){
		"the agent was asked about 1 ports to listen on and answered about 0":   func(v *Survey) { v.Opened = nil },
		"the agent was asked about 2 ports to reach and answered about 1000000": func(v *Survey) { v.Crossed = make([]Crossed, 1000000) },
		"the agent was asked about 1 names and answered about 0":                func(v *Survey) { v.Names = nil },
		"the agent was asked about 1 manifests and answered about 3":            func(v *Survey) { v.Pulled = make([]string, 3) },
		"the agent says that it answered before it was asked":                   func(v *Survey) { v.Said = now.Add(-time.Second) },
	} {
		v := good()
		spoil(v)
		if err := v.believe(ask); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	v := good()
	rude := "\x1b[2J" + strings.Repeat("x", 1<<20)
	v.Opened[0], v.Crossed[0].Detail, v.Names[0].Error, v.Pulled[0], v.Overlay, v.Trial = rude, rude, rude, rude, rude, rude
	v.Names[0].Addresses = make([]string, 100000)
	v.Names[0].Addresses[0] = rude
	v.Fsync = &Fsync{Error: rude}
	if err := v.believe(ask); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{v.Opened[0], v.Crossed[0].Detail, v.Names[0].Error, v.Pulled[0], v.Overlay, v.Trial, v.Names[0].Addresses[0], v.Fsync.Error} {
		if len(text) > maxMessage+8 || strings.Contains(text, "\x1b") {
			t.Errorf("%d bytes are shown: %.20q", len(text), text)
		}
	}
	if len(v.Names[0].Addresses) > maxNames {
		t.Errorf("%d addresses are kept", len(v.Names[0].Addresses))
	}
}

func TestSurveysAreBounded(t *testing.T) {
	for _, ask := range []SurveyAsk{{Window: time.Hour}, {FsyncFor: time.Hour}, {Listen: make([]Opening, 65)}, {Try: make([]Crossing, 20001)}, {Names: make([]string, 65)},
		{Registry: &RegistryAsk{Manifests: make([]Manifest, 201)}}} {
		s := &server{m: ops.NewPretend(t.TempDir())}
		if _, err := s.survey(t.Context(), ask); err == nil {
			t.Errorf("a host does %+v", ask)
		}
	}
}

// Over a session a survey is one question and one answer, and the session says when.
func TestSurveyOverASession(t *testing.T) {
	here, there := net.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(context.Background(), there, ops.NewPretend(t.TempDir()), StateDir)
		there.Close()
	}()
	s, err := Open(t.Context(), here, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, sent, came, err := s.Survey(t.Context(), SurveyAsk{Window: time.Second, Names: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Names) != 1 || len(answer.Names[0].Addresses) == 0 || answer.Heard.IsZero() || came.Before(sent) {
		t.Errorf("answered %+v, sent %s, came %s", answer, sent, came)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("enough")) })
	if _, _, _, err := s.Survey(ctx, SurveyAsk{Window: 10 * time.Second, Address: "127.1.0.1", Token: "k", Listen: []Opening{{Port: freePort(t), Protocol: "tcp", From: []string{"x"}}}}); err == nil || err.Error() != "enough" {
		t.Errorf("cancelled, it says %v", err)
	}
	s.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A host that answers a survey with something else is told apart from one that is well, whatever it says.
func TestHostsThatAnswerGarbage(t *testing.T) {
	ask := SurveyAsk{Window: time.Second, Names: []string{"x"}}
	for want, answer := range map[string]string{
		"does not speak our protocol":                              "garbage\n",
		"the agent answered the survey with nothing":               `{"id":1,"done":true}` + "\n",
		"was asked about 1 names and answered about 0":             `{"id":1,"done":true,"survey":{"heard":"2026-01-01T00:00:00Z","said":"2026-01-01T00:00:00Z"}}` + "\n",
		"says that it answered before it was asked":                `{"id":1,"done":true,"survey":{"names":[{}]}}` + "\n",
		"Time.UnmarshalJSON":                                       `{"id":1,"done":true,"survey":{"heard":7}}` + "\n",
		"the agent ended or the connection was closed":             `{"id":1,"do`,
		"was asked about 0 ports to reach and answered about 9999": `{"id":1,"done":true,"survey":{"heard":"2026-01-01T00:00:00Z","said":"2026-01-01T00:00:00Z","names":[{}],"crossed":[` + strings.Repeat("{},", 9998) + `{}]}}` + "\n",
	} {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			hello, _ := encodeLine(reply{Hello: &Hello{Protocol: Protocol}})
			_, _ = there.Write(hello)
			_, _ = readLine(bufio.NewReader(there), maxLine)
			_, _ = there.Write([]byte(answer))
			if strings.HasSuffix(answer, "\n") {
				_, _ = io.Copy(io.Discard, there)
			}
		}()
		s, err := Open(t.Context(), here, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err = s.Survey(t.Context(), ask); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		here.Close()
		s.Close()
	}
}
