package addons

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// server is an API server as far as this package needs one: over TLS, with the true paths, discovery, media types and watches. What is
// applied is merged into what is there, map by map, which is what the true one does with fields that nobody else owns.
type server struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	ready   bool
	slow    int                       // how many questions whether it is ready get no answer
	objects map[string]map[string]any // by path
	lines   []string                  // what was asked for, discovery aside
	watches []func(send func(kind string, o map[string]any))
	refuse  map[string]int // by path: the status to answer with
}

func newServer(t *testing.T) *server {
	s := &server{t: t, ready: true, objects: map[string]map[string]any{}, refuse: map[string]int{}}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that leave early
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// api is a target for the server.
func (s *server) api() *API {
	return NewAPI("cluster", func(context.Context) (*rest.Config, error) { return s.rest(), nil })
}

func (s *server) rest() *rest.Config {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
}

// resources are the kinds that it knows.
var resources = map[string][]map[string]any{
	"v1": {
		{"name": "configmaps", "kind": "ConfigMap", "namespaced": true}, {"name": "namespaces", "kind": "Namespace", "namespaced": false},
		{"name": "nodes", "kind": "Node", "namespaced": false}, {"name": "serviceaccounts", "kind": "ServiceAccount", "namespaced": true},
		{"name": "services", "kind": "Service", "namespaced": true}, {"name": "secrets", "kind": "Secret", "namespaced": true}, {"name": "pods", "kind": "Pod", "namespaced": true}, {"name": "events", "kind": "Event", "namespaced": true},
	},
	"apiregistration.k8s.io/v1": {{"name": "apiservices", "kind": "APIService", "namespaced": false}},
	"example.org/v1":            {{"name": "crops", "kind": "Crop", "namespaced": true}},
	"apps/v1":                   {{"name": "daemonsets", "kind": "DaemonSet", "namespaced": true}, {"name": "deployments", "kind": "Deployment", "namespaced": true}},
}

const addresses = "/apis/networking.k8s.io/v1/ipaddresses/"

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch p := r.URL.Path; {
	case p == "/readyz":
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.slow > 0 {
			s.slow--
			s.mu.Unlock()
			<-r.Context().Done()
			s.mu.Lock()
			return
		}
		if !s.ready {
			w.WriteHeader(http.StatusInternalServerError)
		}
	case p == "/api":
		answer(w, 200, map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
	case p == "/apis":
		var groups []any
		for _, name := range []string{"apps", "apiregistration.k8s.io", "example.org"} {
			version := map[string]any{"groupVersion": name + "/v1", "version": "v1"}
			groups = append(groups, map[string]any{"name": name, "versions": []any{version}, "preferredVersion": version})
		}
		answer(w, 200, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
	case p == "/api/v1" || p == "/apis/apps/v1" || p == "/apis/apiregistration.k8s.io/v1" || p == "/apis/example.org/v1":
		group := strings.TrimPrefix(strings.TrimPrefix(p, "/apis/"), "/api/")
		answer(w, 200, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources[group]})
	case r.URL.Query().Get("watch") == "true":
		s.watch(w, r)
	default:
		s.object(w, r)
	}
}

// owned is a set of fields, as managedFields has it: lists as a whole.
func owned(wish map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range wish {
		if k != "apiVersion" && k != "kind" && k != "name" && k != "namespace" {
			out["f:"+k] = owned(asMap(v))
		}
	}
	return out
}

func (s *server) object(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, q := r.URL.Path, r.URL.Query()
	what := r.Method + " " + p
	if len(q["dryRun"]) > 0 {
		what += " dry"
	}
	s.lines = append(s.lines, what)
	live, found := s.objects[p]
	switch status := s.refuse[p]; {
	case status != 0:
		failure(w, status, "Refused", "the test refuses it")
	case r.Method == http.MethodPatch:
		if r.Header.Get("Content-Type") != "application/apply-patch+yaml" || q.Get("fieldManager") != FieldManager || q.Get("force") != "true" {
			s.t.Errorf("%s: not a forced server-side apply of ours: %s %v", what, r.Header.Get("Content-Type"), q)
		}
		body, _ := io.ReadAll(r.Body)
		var wish map[string]any
		if err := yaml.Unmarshal(body, &wish); err != nil {
			s.t.Errorf("%s: %v", what, err)
		}
		if ip, _, _ := unstructured.NestedString(wish, "spec", "clusterIP"); ip != "" && !found && s.objects[addresses+ip] != nil {
			failure(w, http.StatusUnprocessableEntity, "Invalid", `Service "x" is invalid: spec.clusterIPs: Invalid value: ["`+ip+`"]: failed to allocate IP `+ip+`: provided IP is already allocated`)
			return
		}
		out := merge(live, wish)
		meta := maps.Clone(out["metadata"].(map[string]any))
		meta["uid"], meta["creationTimestamp"] = "x", "2026-01-01T00:00:00Z"
		meta["resourceVersion"], meta["managedFields"] = fmt.Sprint(len(s.lines)), []any{map[string]any{
			"manager": FieldManager, "operation": "Apply", "time": time.Unix(int64(len(s.lines)), 0).UTC().Format(time.RFC3339), "fieldsV1": owned(wish),
		}}
		if parts := strings.Split(p, "/namespaces/"); len(parts) == 2 && strings.Contains(parts[1], "/") {
			meta["namespace"], _, _ = strings.Cut(parts[1], "/")
		}
		out["metadata"] = meta
		if len(q["dryRun"]) == 0 {
			s.objects[p] = out
		}
		answer(w, 200, out)
	case !found && r.Method == http.MethodGet && slices.Contains(plurals, path.Base(p)):
		answer(w, 200, s.list(p, q.Get("labelSelector")))
	case !found:
		failure(w, 404, "NotFound", path.Base(p)+" not found")
	case r.Method == http.MethodDelete:
		delete(s.objects, p)
		answer(w, 200, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	default:
		answer(w, 200, live)
	}
}

var plurals = []string{"configmaps", "namespaces", "services", "pods", "events", "crops"}

// list is what there is of a kind, everywhere or in a namespace, that bears a label.
func (s *server) list(p, selector string) map[string]any {
	items := []any{}
	prefix, kind := path.Dir(p), path.Base(p)
	for _, at := range slices.Sorted(maps.Keys(s.objects)) {
		rest, ok := strings.CutPrefix(at, prefix+"/")
		if parts := strings.Split(rest, "/"); !ok || len(parts) < 2 || parts[len(parts)-2] != kind {
			continue
		}
		o := &unstructured.Unstructured{Object: s.objects[at]}
		key, value, exact := strings.Cut(selector, "=")
		if has, there := o.GetLabels()[key]; selector == "" || there && (!exact || has == value) {
			items = append(items, s.objects[at])
		}
	}
	of := "List"
	for _, r := range slices.Concat(resources["v1"], resources["example.org/v1"]) {
		if r["name"] == kind {
			of = r["kind"].(string) + "List"
		}
	}
	return map[string]any{"kind": of, "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": items}
}

// watch serves one connection with the next of the scripted watches. Without one it stays silent until the client leaves.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	if want := "metadata.name="; !strings.HasPrefix(r.URL.Query().Get("fieldSelector"), want) {
		s.t.Errorf("watch of everything: %s", r.URL)
	}
	s.mu.Lock()
	s.lines = append(s.lines, "WATCH "+r.URL.Path)
	var script func(func(string, map[string]any))
	if len(s.watches) > 0 {
		script, s.watches = s.watches[0], s.watches[1:]
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(200)
	w.(http.Flusher).Flush()
	if script == nil {
		<-r.Context().Done()
		return
	}
	script(func(kind string, o map[string]any) {
		_ = json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": o})
		w.(http.Flusher).Flush()
	})
}

// asked is what was asked for since the last time.
func (s *server) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.lines
	s.lines = nil
	return out
}

func (s *server) has(p string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[p]
}

func merge(live, wish map[string]any) map[string]any {
	out := maps.Clone(live)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range wish {
		a, isMap := out[k].(map[string]any)
		b, wantsMap := v.(map[string]any)
		if isMap && wantsMap {
			v = merge(a, b)
		}
		out[k] = v
	}
	return out
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func failure(w http.ResponseWriter, status int, reason, message string) {
	answer(w, status, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": status})
}

// only are the lines that begin with a verb.
func only(log []string, verb string) []string {
	return slices.DeleteFunc(slices.Clone(log), func(s string) bool { return !strings.HasPrefix(s, verb+" ") })
}
