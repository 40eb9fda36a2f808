//go:build e2e

package images

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// forgetting is a way to a registry that loses, once for each repository, the upload that was just begun: its folder goes, as it does when a registry is started anew with
// an empty place for uploads. What it says then is the registry's own.
type forgetting struct {
	address string
	times   atomic.Int64
}

func forgetful(t *testing.T, r *registry) *forgetting {
	t.Helper()
	f := &forgetting{}
	to := &url.URL{Scheme: "http", Host: r.address}
	var mu sync.Mutex
	seen := map[string]bool{}
	way := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to); p.Out.Host = p.In.Host },
		ModifyResponse: func(answer *http.Response) error {
			name, uploads, ok := strings.Cut(strings.TrimPrefix(answer.Request.URL.Path, "/v2/"), "/blobs/uploads/")
			if !ok || uploads != "" || answer.Request.Method != http.MethodPost || answer.StatusCode != http.StatusAccepted {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[name] {
				return nil
			}
			seen[name] = true
			f.times.Add(1)
			return os.RemoveAll(filepath.Join(r.root, "docker/registry/v2/repositories", name, "_uploads"))
		},
	}
	s := httptest.NewServer(way)
	t.Cleanup(s.Close)
	f.address = strings.TrimPrefix(s.URL, "http://")
	return f
}
