package main

import (
	"bufio"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bench is the server, in front of an API server that answers what it was asked.
type bench struct {
	t     *testing.T
	url   string
	asked chan *http.Request
}

func newBench(t *testing.T, api http.HandlerFunc) *bench {
	t.Helper()
	log.SetOutput(io.Discard)
	b := &bench{t: t, asked: make(chan *http.Request, 10)}
	upstream := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked <- r
		if api != nil {
			api(w, r)
		}
	}))
	t.Cleanup(upstream.Close)
	b.url = b.serve(upstream.URL, authority(t, upstream))
	return b
}

func (b *bench) serve(api, ca string) string {
	b.t.Helper()
	dir := b.t.TempDir()
	for name, text := range map[string]string{
		"index.html": "the page", "assets/a.js": "plain", "assets/b.js": "plain", "assets/b.js.gz": "compressed", "secret/x": "",
	} {
		write(b.t, filepath.Join(dir, "page", name), text)
	}
	write(b.t, filepath.Join(dir, "outside"), "not for you")
	page, err := newPage(filepath.Join(dir, "page"))
	if err != nil {
		b.t.Fatal(err)
	}
	proxy, err := newProxy(api, ca)
	if err != nil {
		b.t.Fatal(err)
	}
	s := httptest.NewServer(newHandler(page, proxy))
	b.t.Cleanup(s.Close)
	return s.URL
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func authority(t *testing.T, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	return file
}

// ask sends a request with these headers, as "Name: value", and returns the answer and its body.
func (b *bench) ask(method, path, body string, headers ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(text)
}

func (b *bench) notAsked() {
	b.t.Helper()
	select {
	case r := <-b.asked:
		b.t.Errorf("the API server was asked %s %s", r.Method, r.URL)
	default:
	}
}

const token = "ey.viewer-1_x"

func TestThePage(t *testing.T) {
	b := newBench(t, nil)
	for _, row := range []struct {
		path, accept string
		code         int
		body         string
	}{
		{"/", "", 200, "the page"},
		{"/c/main/pods", "", 200, "the page"}, // an address inside the page, opened directly
		{"/c/main/customresources/a.b.c", "", 200, "the page"},
		{"/secret", "", 200, "the page"}, // never a folder's list
		{"/assets/a.js", "", 200, "plain"},
		{"/assets/a.js", "gzip", 200, "plain"},
		{"/assets/b.js", "", 200, "plain"},
		{"/assets/b.js", "br, gzip", 200, "compressed"},
		{"/assets/none.js", "", 404, "404 page not found\n"},
		{"/..%2foutside", "", 200, "the page"},
		{"/assets/..%2f..%2foutside", "", 404, "404 page not found\n"},
		{"/healthz", "", 200, "ok"},
		{"/plugins", "", 200, "[]\n"},
		{"/config", "", 200, `{"clusters":[{"auth_type":"","meta_data":{},"name":"main"}]}` + "\n"},
	} {
		resp, body := b.ask("GET", row.path, "", "Accept-Encoding: "+row.accept)
		if resp.StatusCode != row.code || body != row.body {
			t.Errorf("%s, accepting %q: %d %q", row.path, row.accept, resp.StatusCode, body)
		}
		if policy := resp.Header.Get("Content-Security-Policy"); policy != pagePolicy {
			t.Errorf("%s: the policy is %q", row.path, policy)
		}
		if got := resp.Header.Get("Content-Encoding") == "gzip"; got != (body == "compressed") {
			t.Errorf("%s: it says that it is compressed: %v", row.path, got)
		}
	}
	for _, offer := range []string{"/drain-node", "/portforward", "/cluster", "/clusters/other/set-token"} {
		if resp, body := b.ask("POST", offer, "{}"); resp.StatusCode != 404 || !strings.Contains(body, "does not offer "+offer) {
			t.Errorf("%s: %d %s", offer, resp.StatusCode, body)
		}
	}
	b.notAsked()
}

// The server has no rights of its own, and nobody gets at the API server with less than a token.
func TestWithoutATokenNothingIsAsked(t *testing.T) {
	b := newBench(t, nil)
	for _, headers := range [][]string{nil, {"Authorization: Basic eDp5"}, {"Cookie: headlamp="}, {"Cookie: other=" + token}, {`Cookie: headlamp="a b"`}} {
		resp, body := b.ask("GET", "/clusters/main/api/v1/namespaces", "", headers...)
		if resp.StatusCode != 401 || !strings.Contains(body, `"reason":"Unauthorized"`) {
			t.Errorf("%q: %d %s", headers, resp.StatusCode, body)
		}
	}
	b.notAsked()
}

func TestTheAPIServerGetsTheCallersTokenAndNothingElse(t *testing.T) {
	for name, row := range map[string]struct {
		headers []string
		want    string
	}{
		"the one they logged in with":   {[]string{"Cookie: a=b; headlamp=" + token}, token},
		"a program's own":               {[]string{"Authorization: Bearer own"}, "own"},
		"a program's own before others": {[]string{"Authorization: Bearer own", "Cookie: headlamp=" + token}, "own"},
	} {
		b := newBench(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("Content-Security-Policy", "default-src *")
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(http.StatusForbidden)
		})
		resp, _ := b.ask("DELETE", "/clusters/main/api/v1/namespaces/a%2Fb?x=1", "", append(row.headers, "X-Remote-User: admin", "X-Remote-Group: system:masters", "Sec-Fetch-Site: same-origin")...)
		asked := <-b.asked
		if asked.Method != "DELETE" || asked.RequestURI != "/api/v1/namespaces/a%2Fb?x=1" {
			t.Errorf("%s: %s %s", name, asked.Method, asked.RequestURI)
		}
		if got := asked.Header.Get("Authorization"); got != "Bearer "+row.want {
			t.Errorf("%s: %s", name, got)
		}
		for _, h := range []string{"Cookie", "Origin", "X-Remote-User", "X-Remote-Group", "X-Forwarded-For"} {
			if asked.Header.Get(h) != "" {
				t.Errorf("%s: the API server gets %s", name, h)
			}
		}
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
		// A pod's page, reached through the API server, is nothing that may run here.
		if got := resp.Header.Values("Content-Security-Policy"); len(got) != 1 || got[0] != answerPolicy {
			t.Errorf("%s: the policy is %q", name, got)
		}
		for _, h := range []string{"Set-Cookie", "Access-Control-Allow-Origin"} {
			if resp.Header.Get(h) != "" {
				t.Errorf("%s: the answer has %s", name, h)
			}
		}
	}
}

func TestLogin(t *testing.T) {
	b := newBench(t, nil)
	for name, row := range map[string]struct {
		body   string
		code   int
		cookie string
	}{
		"a token":                     {`{"token":"` + token + `"}`, 200, "headlamp=" + token + "; Path=/; HttpOnly; SameSite=Strict"},
		"one pasted with its newline": {`{"token":" ` + token + `\n"}`, 200, "headlamp=" + token + "; Path=/; HttpOnly; SameSite=Strict"},
		"logging out":                 {`{"token":null}`, 200, "headlamp=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"},
		"something else":              {`{"token":"a; Domain=x"}`, 400, ""},
		"one too long":                {`{"token":"` + strings.Repeat("a", longest+1) + `"}`, 400, ""},
		"far too long":                {`{"token":"` + strings.Repeat("a", 1<<20) + `"}`, 400, ""},
		"not JSON":                    {`token=` + token, 400, ""},
	} {
		resp, body := b.ask("POST", "/clusters/main/set-token", row.body)
		if resp.StatusCode != row.code || resp.Header.Get("Set-Cookie") != row.cookie || strings.Contains(body, token) {
			t.Errorf("%s: %d %q %s", name, resp.StatusCode, resp.Header.Get("Set-Cookie"), body)
		}
	}
	b.notAsked()
}

// Behind an Ingress the cookie is as safe as with HTTPS here.
func TestLoginBehindAnIngress(t *testing.T) {
	b := newBench(t, nil)
	const https = "X-Forwarded-Proto: https"
	resp, _ := b.ask("POST", "/clusters/main/set-token", `{"token":"`+token+`"}`, https)
	if got, want := resp.Header.Get("Set-Cookie"), "__Host-headlamp="+token+"; Path=/; HttpOnly; Secure; SameSite=Strict"; got != want {
		t.Errorf("the cookie is %q", got)
	}
	if resp, _ := b.ask("GET", "/clusters/main/api", "", https, "Cookie: headlamp="+token); resp.StatusCode != 401 {
		t.Errorf("a cookie that could have come by HTTP is taken: %d", resp.StatusCode)
	}
	b.notAsked()
	if resp, _ := b.ask("GET", "/clusters/main/api", "", https, "Cookie: __Host-headlamp="+token); resp.StatusCode != 200 {
		t.Errorf("the cookie is not taken: %d", resp.StatusCode)
	}
}

// Whoever is logged in here has the cookie with them wherever they go on this host.
func TestOtherPagesGetNothing(t *testing.T) {
	b := newBench(t, nil)
	here := strings.TrimPrefix(b.url, "http://")
	for _, row := range []struct {
		headers string
		code    int
	}{
		{"Origin: http://" + here, 200},
		{"Sec-Fetch-Site: same-origin", 200},
		{"Sec-Fetch-Site: none", 200},
		{"Origin: http://127.0.0.1:1", 403}, // another port of the same host, which is the same site
		{"Origin: null", 403},
		{"Sec-Fetch-Site: same-site", 403},
		{"Sec-Fetch-Site: cross-site", 403},
	} {
		for _, ask := range [][2]string{{"GET", "/clusters/main/api"}, {"POST", "/clusters/main/api"}, {"POST", "/clusters/main/set-token"}} {
			resp, _ := b.ask(ask[0], ask[1], `{"token":"x"}`, row.headers, "Cookie: headlamp="+token)
			if resp.StatusCode != row.code {
				t.Errorf("%s, %s: %d", row.headers, ask, resp.StatusCode)
			}
			if row.code == 200 && ask[1] == "/clusters/main/api" {
				<-b.asked
			}
		}
	}
	b.notAsked()
}

func TestAWatchIsHandedOnAsItComes(t *testing.T) {
	second := make(chan bool)
	b := newBench(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "one\n")
		w.(http.Flusher).Flush()
		<-second
		io.WriteString(w, "two\n")
	})
	req, _ := http.NewRequestWithContext(t.Context(), "GET", b.url+"/clusters/main/api/v1/pods?watch=1", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for _, want := range []string{"one\n", "two\n"} {
		if got, err := lines.ReadString('\n'); got != want {
			t.Fatalf("got %q, %v", got, err)
		}
		if want == "one\n" {
			close(second)
		}
	}
}

func TestAWebsocketIsHandedOn(t *testing.T) {
	b := newBench(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "https://"+r.Host { // as the API server does
			w.WriteHeader(http.StatusForbidden)
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Protocol: "+r.Header.Get("Sec-Websocket-Protocol")+"\r\n\r\n")
		rw.Flush()
		line, _ := rw.ReadString('\n')
		io.WriteString(rw, "heard "+line)
		rw.Flush()
	})
	host := strings.TrimPrefix(b.url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "GET /clusters/main/api/v1/pods?watch=1 HTTP/1.1\r\nHost: "+host+"\r\nOrigin: http://"+host+"\r\nCookie: headlamp="+token+
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: base64.binary.k8s.io\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Protocol") != "base64.binary.k8s.io" {
		t.Fatalf("%v %v", resp, err)
	}
	io.WriteString(conn, "hello\n")
	if line, err := r.ReadString('\n'); line != "heard hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
	if got := (<-b.asked).Header.Get("Authorization"); got != "Bearer "+token {
		t.Errorf("the API server got %q", got)
	}
}

func TestAnAPIServerThatCannotBeBelievedGetsNoToken(t *testing.T) {
	b := newBench(t, nil)
	var heard bool
	stranger := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard = true }))
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0)
	stranger.StartTLS()
	file := filepath.Join(t.TempDir(), "ca.crt")
	write(t, file, otherAuthority(t))
	b.url = b.serve(stranger.URL, file)
	resp, body := b.ask("GET", "/clusters/main/api", "", "Authorization: Bearer "+token)
	stranger.Close()
	if resp.StatusCode != 502 || heard || !strings.Contains(body, "the API server does not answer") {
		t.Errorf("%d %s, heard: %v", resp.StatusCode, body, heard)
	}
}
