package bundle

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// faulty is a real registry behind something that goes wrong.
type faulty struct {
	http.Handler
	wrong func(w http.ResponseWriter, r *http.Request, next http.Handler) // nil: nothing
	asked atomic.Int64
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked.Add(1)
	if f.wrong == nil {
		f.Handler.ServeHTTP(w, r)
		return
	}
	f.wrong(w, r, f.Handler)
}

type wrong = func(w http.ResponseWriter, r *http.Request, next http.Handler)

// status answers everything below /v2/ (but not that itself) with a status.
func status(code int) wrong {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/v2/" {
			next.ServeHTTP(w, r)
			return
		}
		http.Error(w, `{"errors":[{"code":"SOME","message":"words of its own"}]}`, code)
	}
}

// onBlobs does something to the blobs that are read; everything else passes.
func onBlobs(do func(w http.ResponseWriter, body []byte)) wrong {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			next.ServeHTTP(w, r)
			return
		}
		got := httptest.NewRecorder()
		next.ServeHTTP(got, r)
		do(w, got.Body.Bytes())
	}
}

// Each row is a way in which a registry goes wrong, the class that it is told as, and words that the user needs. The same holds for checking and for pushing
// where they can meet it.
func TestWhatGoesWrongIsToldInItsClass(t *testing.T) {
	b := open(t, specimen(t))
	good, goodCA := certificate(t, time.Now().Add(time.Hour), "127.0.0.1")
	late, lateCA := certificate(t, time.Now().Add(-time.Hour), "127.0.0.1")
	other, otherCA := certificate(t, time.Now().Add(time.Hour), "127.0.0.9")
	dial := func(err error) func(*http.Transport) {
		return func(t *http.Transport) {
			t.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, err }
		}
	}
	for _, row := range []struct {
		name  string
		wrong wrong
		cert  tls.Certificate
		ca    string
		more  func(*http.Transport)
		plain bool
		class Class
		words string
	}{
		{name: "401", wrong: status(401), class: Unauthorized, words: "401 unauthorized: words of its own (no credentials were given)"},
		{name: "403", wrong: status(403), class: Forbidden, words: "403 forbidden"},
		{name: "404", wrong: status(404), class: NotFound, words: "kubelet:1.2.3-0: 404 not found"},
		{name: "429", wrong: status(429), class: Busy, words: "429 too many requests: words of its own, after 4 tries"},
		{name: "500", wrong: status(500), class: Broken, words: "500 internal server error: words of its own, after 4 tries"},
		{name: "503", wrong: status(503), class: Broken, words: "503 service unavailable: words of its own, after 4 tries"},
		{name: "418", wrong: status(418), class: Refused, words: "418 i'm a teapot"},
		{name: "slow", wrong: onBlobs(func(w http.ResponseWriter, body []byte) {
			w.Write(body[:1])
			w.(http.Flusher).Flush()
			time.Sleep(300 * time.Millisecond)
		}), class: Unreachable, words: "sent less than 16 KiB in 100ms"},
		{name: "truncated", wrong: onBlobs(func(w http.ResponseWriter, body []byte) { w.Write(body[:len(body)/2]) }), class: Truncated, words: "was cut off after"},
		{name: "cut off", wrong: onBlobs(func(w http.ResponseWriter, body []byte) {
			w.Header().Set("Content-Length", "100000")
			w.Write(body[:len(body)/2])
		}), class: Truncated, words: "was cut off after"},
		{name: "wrong digest", wrong: onBlobs(func(w http.ResponseWriter, body []byte) {
			body = bytes.Clone(body)
			body[0] ^= 1
			w.Write(body)
		}), class: WrongDigest, words: "was asked for, and the bytes of sha256:"},
		{name: "too long", wrong: onBlobs(func(w http.ResponseWriter, body []byte) { w.Write(append(bytes.Clone(body), 'x')) }), class: WrongDigest, words: ""},
		{name: "a manifest of other bytes", wrong: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.URL.Path, "/manifests/") {
				w.Write([]byte(`{"schemaVersion":2}`))
				return
			}
			next.ServeHTTP(w, r)
		}, class: WrongDigest, words: "was asked for"},
		{name: "a page for people", wrong: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte("<html>log in first</html>"))
		}, class: Refused, words: "a page for people came (text/html): something else answers in the registry's place"},
		{name: "no registry at all", wrong: func(w http.ResponseWriter, r *http.Request, next http.Handler) { http.NotFound(w, r) }, class: Refused, words: "404 not found at /v2/: it is no registry"},
		{name: "from one address to the next", wrong: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			next.ServeHTTP(w, r)
		}, class: Refused, words: "kubelet:1.2.3-0: stopped after 10 redirects"},
		{name: "words without end", wrong: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.WriteHeader(http.StatusUnauthorized)
			for {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}, class: Unauthorized, words: "401 unauthorized"},
		{name: "words that never come", wrong: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.URL.Path == "/v2/" {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusForbidden)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, class: Forbidden, words: "403 forbidden"},
		{name: "unknown authority", ca: otherCA, class: TLS, words: "TLS: its certificate is signed by an authority that is not among those in " + otherCA},
		{name: "expired", cert: late, ca: lateCA, class: TLS, words: "it was checked against those in " + lateCA},
		{name: "another name", cert: other, ca: otherCA, class: TLS, words: "TLS: its certificate is for another name"},
		{name: "plain HTTP where TLS was asked for", plain: true, class: Scheme, words: "it speaks plain HTTP, and TLS was asked for"},
		{name: "no such name", more: dial(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "registry.example", IsNotFound: true}}), class: Unreachable, words: "the name registry.example leads nowhere (no such host)"},
		{name: "a black hole", wrong: func(http.ResponseWriter, *http.Request, http.Handler) { time.Sleep(500 * time.Millisecond) },
			more: func(t *http.Transport) { t.ResponseHeaderTimeout = 100 * time.Millisecond }, class: Unreachable, words: "no answer in time"},
		{name: "no way", more: dial(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}), class: Unreachable, words: "there is no way to it"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &faulty{Handler: shelf(t, b)}
			s := httptest.NewUnstartedServer(f)
			s.Config.ErrorLog = quiet
			if row.cert.Certificate == nil {
				row.cert = good
			}
			if row.ca == "" {
				row.ca = goodCA
			}
			s.TLS = &tls.Config{Certificates: []tls.Certificate{row.cert}}
			if row.plain {
				s.Start()
			} else {
				s.StartTLS()
			}
			defer s.Close()
			f.wrong = row.wrong
			rt, trust, err := Transport(row.ca)
			must(t, err)
			if row.more != nil {
				row.more(rt)
			}
			defer rt.CloseIdleConnections()
			at := Registry{Address: s.Listener.Addr().String(), Transport: rt, Trust: trust, stall: 100 * time.Millisecond,
				pause: func(context.Context, time.Duration) error { return nil }}
			dir := filepath.Join(t.TempDir(), "out")
			err = Pull(t.Context(), at, b.Lock, []string{"kubelet"}, nil, dir, nil)
			var told *Trouble
			if !errors.As(err, &told) || told.Class != row.class || !strings.Contains(told.Error(), row.words) || told.Registry != at.Address {
				t.Fatalf("got  %v (%#v)\nwant %s: %s", err, told, row.class, row.words)
			}
			if row.class != Refused && told.Remedy() == "" {
				t.Error("nothing says what to do")
			}
			if _, err := Open(dir); err == nil {
				t.Error("it made a bundle")
			}
		})
	}
}

// TestOnlyWhatPassesIsTriedAgain: a registry that refuses is not asked twice, one that is busy is, after as long as it asks for.
func TestOnlyWhatPassesIsTriedAgain(t *testing.T) {
	b := open(t, specimen(t))
	for _, row := range []struct {
		name   string
		status int
		after  string
		times  int // that the registry says so
		want   []time.Duration
		words  string // of the error, if there is one
	}{
		{"busy twice", 429, "", 2, waits[:2], ""},
		{"busy, and says how long", 429, "7", 1, []time.Duration{7 * time.Second}, ""},
		{"busy for too long", 429, "3600", 1, nil, "after 1 try; it asks to wait for 1h0m0s"},
		{"broken for good", 502, "", 99, waits, "502 bad gateway"},
		{"forbidden", 403, "", 99, nil, "403 forbidden"},
		{"not there", 404, "", 99, nil, "404 not found"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := &faulty{Handler: shelf(t, b)}
			s := httptest.NewServer(f)
			defer s.Close()
			left := row.times
			f.wrong = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.URL.Path == "/v2/" || left == 0 {
					next.ServeHTTP(w, r)
					return
				}
				left--
				if row.after != "" {
					w.Header().Set("Retry-After", row.after)
				}
				w.WriteHeader(row.status)
			}
			var waited []time.Duration
			at := Registry{Address: s.URL, pause: func(_ context.Context, d time.Duration) error {
				waited = append(waited, d)
				return nil
			}}
			err := Pull(t.Context(), at, b.Lock, []string{"bin/runc"}, nil, filepath.Join(t.TempDir(), "out"), nil)
			if row.words == "" {
				must(t, err)
			} else {
				expect(t, err, row.words)
			}
			if len(waited) != len(row.want) {
				t.Fatalf("waited %v, not %v", waited, row.want)
			}
			for i := range waited {
				if waited[i] != row.want[i] {
					t.Errorf("waited %v, not %v", waited, row.want)
				}
			}
		})
	}
}

// TestAForgottenUploadIsBegunAgain, and told as the registry's fault when it forgets every one.
func TestAForgottenUploadIsBegunAgain(t *testing.T) {
	b := open(t, specimen(t))
	for _, row := range []struct {
		times int
		words string
	}{{1, ""}, {99, "404 not found: blob upload unknown (it forgot an upload that it had begun)"}} {
		f := &faulty{Handler: registry.New(registry.Logger(quiet))}
		s := httptest.NewServer(f)
		left := row.times
		f.wrong = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.Method != http.MethodPatch || left == 0 {
				next.ServeHTTP(w, r)
				return
			}
			left--
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown"}]}`)
		}
		err := Push(t.Context(), b, Registry{Address: s.URL}, []string{"bin/runc"}, nil)
		s.Close()
		var told *Trouble
		switch {
		case row.words == "":
			must(t, err)
		case !errors.As(err, &told) || told.Class != Broken || !strings.Contains(err.Error(), row.words):
			t.Errorf("got %v", err)
		}
	}
}

// TestAnInterruptedRequestIsToldAsSuch, without the addresses of requests.
func TestAnInterruptedRequestIsToldAsSuch(t *testing.T) {
	b := open(t, specimen(t))
	ctx, stop := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done()
	}))
	defer s.Close()
	_, err := Check(ctx, Registry{Address: s.URL}, b.Lock, nil)
	if !errors.Is(err, context.Canceled) || err.Error() != "interrupted; the same command goes on where this one ended" {
		t.Errorf("got %v", err)
	}
}

// TestABlobThatWasCutOffOnceIsFetchedAgain within one run, and a false one is not.
func TestABlobThatWasCutOffOnceIsFetchedAgain(t *testing.T) {
	b := open(t, specimen(t))
	f := &faulty{Handler: shelf(t, b)}
	s := httptest.NewServer(f)
	defer s.Close()
	cuts := 1
	f.wrong = onBlobs(func(w http.ResponseWriter, body []byte) {
		if len(body) == 4000 && cuts > 0 {
			cuts--
			body = body[:1000]
		}
		w.Write(body)
	})
	var last Pushed
	must(t, Pull(t.Context(), Registry{Address: s.URL}, b.Lock, []string{"bin/runc"}, nil, filepath.Join(t.TempDir(), "out"), func(p Pushed) { last = p }))
	if !last.Done || last.Sent < 4000+2 || cuts != 0 {
		t.Errorf("ended with %+v, cuts left %d", last, cuts)
	}
}

// shelf is a registry that has the bundle.
func shelf(t *testing.T, b *Bundle) http.Handler {
	t.Helper()
	h := registry.New(registry.Logger(quiet))
	s := httptest.NewServer(h)
	defer s.Close()
	must(t, Push(t.Context(), b, Registry{Address: s.URL}, nil, nil))
	return h
}

// certificate makes an authority and a certificate of it.
func certificate(t *testing.T, until time.Time, ip string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	must(t, err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.ParseIP(ip)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, key)
	must(t, err)
	name := filepath.Join(t.TempDir(), "ca.crt")
	must(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leafKey}, name
}
