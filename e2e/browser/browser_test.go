//go:build e2e

package browser

import (
	"bytes"
	"image/png"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// greeting greets whom a form names, a moment later.
const greeting = `<!doctype html><body><input id="name"><button onclick="setTimeout(() => {
  document.body.append('hello, ' + document.getElementById('name').value); throw new Error('all the same')
}, 200)"> Greet </button></body>`

func start(t *testing.T, tls bool) (*Browser, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(greeting)) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	if !tls {
		server.Start()
		b, err := Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return b, server.URL
	}
	server.StartTLS()
	b, err := Start(t.Context(), server.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	return b, server.URL
}

func TestAPageIsUsedAsByAPerson(t *testing.T) {
	for name, tls := range map[string]bool{"HTTP": false, "HTTPS with a certificate of ours": true} {
		t.Run(name, func(t *testing.T) {
			b, url := start(t, tls)
			file := filepath.Join(t.TempDir(), "page.png")
			for _, step := range []error{b.Open(url), b.Fill("#name", "world"), b.Press("Greet"), b.Await("hello, world"), b.Screenshot(file)} {
				if step != nil {
					t.Fatal(step)
				}
			}
			if text, err := b.Text(); err != nil || !strings.Contains(text, "hello, world") {
				t.Errorf("the page says %q, %v", text, err)
			}
			if c := b.Complaints(); len(c) != 1 || !strings.HasPrefix(c[0], "Error: all the same") {
				t.Errorf("complaints: %q", c)
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if img, err := png.Decode(bytes.NewReader(raw)); err != nil || img.Bounds().Dx() != 1280 || img.Bounds().Dy() != 900 {
				t.Errorf("the picture: %v", err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(b.profile); err == nil {
				t.Error("the profile is still there")
			}
		})
	}
}

func TestAStrangersCertificateIsNotBelieved(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	b, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Open(server.URL); err == nil || !strings.Contains(err.Error(), "ERR_CERT_AUTHORITY_INVALID") {
		t.Errorf("got %v", err)
	}
}
