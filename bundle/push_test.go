package bundle

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// shop is a real registry on loopback that counts what is done to it and can be told to fail.
type shop struct {
	*httptest.Server
	uploads atomic.Int64 // blobs that began to be sent
	fail    atomic.Int64 // uploads to the image left until one is cut off; 0 is never
}

func newShop(t *testing.T) *shop {
	s := &shop{}
	next := registry.New(registry.Logger(quiet))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			s.uploads.Add(1)
			// The image's blobs are its own: no other component's upload makes good for one that was cut off.
			if strings.HasPrefix(r.URL.Path, "/v2/kubelet/") && s.fail.Load() > 0 && s.fail.Add(-1) == 0 {
				http.Error(w, "disk full", http.StatusInsufficientStorage)
				return
			}
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) registry() Registry { return Registry{Address: s.URL, Transport: s.Client().Transport} }

func (s *shop) status(t *testing.T, path string) int {
	t.Helper()
	r, err := s.Client().Get(s.URL + path)
	must(t, err)
	r.Body.Close()
	return r.StatusCode
}

func TestPushFillsARegistryByTagAndDigest(t *testing.T) {
	b, s := open(t, specimen(t)), newShop(t)
	must(t, Push(t.Context(), b, s.registry(), nil, nil))
	for _, c := range b.Lock.Components {
		for _, ref := range []string{c.Version, c.ManifestDigest()} {
			if got := s.status(t, "/v2/"+c.Repository+"/manifests/"+ref); got != http.StatusOK {
				t.Errorf("%s %s: %d", c.Repository, ref, got)
			}
		}
	}
	runc, _ := b.Lock.File("runc")
	r, err := s.Client().Get(s.URL + runc.BlobPath())
	must(t, err)
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil || string(got) != strings.Repeat("runc", 1000) {
		t.Errorf("a host would fetch %d bytes (%v) that are not the program", len(got), err)
	}
}

func TestASecondPushSendsNothing(t *testing.T) {
	b, s := open(t, specimen(t)), newShop(t)
	must(t, Push(t.Context(), b, s.registry(), nil, nil))
	before := s.uploads.Load()
	var skipped []string
	must(t, Push(t.Context(), b, s.registry(), nil, func(p Pushed) {
		if p.Done && p.Skipped {
			skipped = append(skipped, p.Component.Repository)
		}
	}))
	if s.uploads.Load() != before || len(skipped) != 4 {
		t.Errorf("%d blobs sent again, skipped %v", s.uploads.Load()-before, skipped)
	}
}

func TestPushSendsOnlyWhatIsNamed(t *testing.T) {
	b, s := open(t, specimen(t)), newShop(t)
	must(t, Push(t.Context(), b, s.registry(), []string{"bin/runc"}, nil))
	if got := s.status(t, "/v2/bin/kubelet/manifests/v1.0.0"); got != http.StatusNotFound {
		t.Errorf("bin/kubelet was not named: %d", got)
	}
	expect(t, Push(t.Context(), b, s.registry(), []string{"bin/nothing"}, nil), `no component "bin/nothing"`)
}

func TestPushOneSendsOne(t *testing.T) {
	b, s := open(t, specimen(t)), newShop(t)
	c, _ := b.Lock.Image("kubelet")
	must(t, PushOne(t.Context(), b, s.registry(), c, nil))
	if got := s.status(t, "/v2/kubelet/manifests/1.2.3-0"); got != http.StatusOK {
		t.Errorf("the image: %d", got)
	}
	if got := s.status(t, "/v2/bin/runc/manifests/v1.0.0"); got != http.StatusNotFound {
		t.Errorf("a program that was not asked for: %d", got)
	}
}

func TestAPushThatWasCutOffGoesOn(t *testing.T) {
	b, s := open(t, specimen(t)), newShop(t)
	s.fail.Store(2)
	err := Push(t.Context(), b, s.registry(), nil, nil)
	expect(t, err, "kubelet:1.2.3-0: 507")
	first := s.uploads.Load()
	must(t, Push(t.Context(), b, s.registry(), nil, nil))
	if again := s.uploads.Load() - first; again == 0 || again >= first {
		t.Errorf("%d blobs were sent at first, %d again", first, again)
	}
}

func TestProgressEndsWithEveryByte(t *testing.T) {
	b, s := open(t, specimen(t)), newShop(t)
	var mu sync.Mutex
	last := map[string]Pushed{}
	must(t, Push(t.Context(), b, s.registry(), nil, func(p Pushed) {
		if !mu.TryLock() {
			t.Error("two at a time")
			return
		}
		defer mu.Unlock()
		last[p.Component.Repository] = p
	}))
	// Its 4000 bytes, an empty config of 2, and the manifest.
	if p := last["bin/runc"]; !p.Done || p.Skipped || p.Sent+p.There < 4002+400 || p.Sent+p.There > 4002+1000 || p.There > 2 {
		t.Errorf("bin/runc ended with %+v", p)
	}
}

func TestADamagedBlobIsNotPushed(t *testing.T) {
	b, s := open(t, specimen(t)), newShop(t)
	c, _ := b.Lock.File("runc")
	must(t, flip(b.path(c.Digest)))
	err := Push(t.Context(), b, s.registry(), nil, nil)
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	if got := s.status(t, "/v2/bin/runc/manifests/v1.0.0"); got != http.StatusNotFound {
		t.Errorf("the damaged program is in the registry: %d", got)
	}
	if got := s.status(t, "/v2/bin/kubelet/manifests/v1.0.0"); got != http.StatusOK {
		t.Errorf("the sound program is not: %d", got)
	}
}

// A registry on a private address would be asked over plain HTTP as soon as TLS fails, if the client had its way.
func TestTLSIsNeverGivenUp(t *testing.T) {
	b, s := open(t, specimen(t)), newShop(t)
	var asked atomic.Bool
	plain := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme == "http" {
			asked.Store(true)
			return s.Client().Transport.RoundTrip(r)
		}
		return nil, errors.New("handshake failed")
	})
	err := PushOne(t.Context(), b, Registry{Address: strings.TrimPrefix(s.URL, "http://"), Transport: plain}, b.Lock.Components[0], nil)
	expect(t, err, "handshake failed")
	if asked.Load() {
		t.Error("it was asked over plain HTTP")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// quiet is a log that nobody reads.
var quiet = log.New(io.Discard, "", 0)
