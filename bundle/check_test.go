package bundle

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Each row changes one thing in a registry that has everything, and says how the image is found then.
func TestCheckSaysHowEachIsFound(t *testing.T) {
	b := open(t, specimen(t))
	for _, row := range []struct {
		name   string
		wrong  wrong
		state  string
		detail string
	}{
		{"as it should be", nil, StatePresent, ""},
		{"not there", on("/v2/kubelet/", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(404) }), StateMissing, "404 not found"},
		{"another under its tag", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.HasPrefix(r.URL.Path, "/v2/kubelet/manifests/sha256:") {
				w.WriteHeader(404)
				return
			}
			next.ServeHTTP(w, r)
		}, StateOther, "its tag is sha256:"},
		{"a blob is gone", on("/v2/kubelet/blobs/", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(404) }), StateDamaged, "is missing"},
		{"a blob is cut off", on("/v2/kubelet/blobs/", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.Header().Set("Content-Length", "7") }), StateDamaged, "has 7 bytes instead of"},
		{"a manifest of other bytes", on("/v2/kubelet/manifests/", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.Write([]byte("{}")) }), StateDamaged, "was asked for"},
		{"only this one is forbidden", on("/v2/kubelet/", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(403) }), StateAnswered, "403 forbidden"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := httptest.NewServer(&faulty{Handler: shelf(t, b), wrong: row.wrong})
			defer s.Close()
			found, err := Check(t.Context(), Registry{Address: s.URL}, b.Lock, nil)
			must(t, err)
			for _, f := range found {
				state, detail := StatePresent, ""
				if f.Component.Repository == "kubelet" {
					state, detail = row.state, row.detail
				}
				if f.State != state || !strings.Contains(f.Detail, detail) {
					t.Errorf("%s: %s (%s), not %s (%s)", f.Component.Repository, f.State, f.Detail, state, detail)
				}
			}
		})
	}
}

func on(prefix string, do wrong) wrong {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.URL.Path, prefix) {
			do(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func TestAMirrorHasWhatTheOtherHas(t *testing.T) {
	b := open(t, specimen(t))
	from, to := httptest.NewServer(shelf(t, b)), newShop(t)
	defer from.Close()
	at := to.registry()
	at.Prefix = "lab/mirror"
	seen := map[string]Pushed{}
	must(t, Mirror(t.Context(), Registry{Address: from.URL}, at, b.Lock, nil, func(p Pushed) { seen[p.Component.Repository] = p }))
	sent, _ := total(seen)
	found, err := Check(t.Context(), at, b.Lock, nil)
	must(t, err)
	for _, f := range found {
		if f.State != StatePresent {
			t.Errorf("%s: %s %s", f.Component.Repository, f.State, f.Detail)
		}
	}
	before := to.uploads.Load()
	must(t, Mirror(t.Context(), Registry{Address: from.URL}, at, b.Lock, nil, func(p Pushed) { seen[p.Component.Repository] = p }))
	if again, there := total(seen); sent == 0 || again != 0 || there == 0 || to.uploads.Load() != before {
		t.Errorf("sent %d, then %d with %d there", sent, again, there)
	}
}
