package addons

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// put applies an addon of the user's.
func put(t *testing.T, a *API, name, manifests string) error {
	t.Helper()
	return a.Apply(t.Context(), "run", "addon", ownSteps(t, name, manifests), func(ops.Progress) {})
}

// ownSteps are the steps of an addon of the user's.
func ownSteps(t *testing.T, name, manifests string) []ops.Step {
	t.Helper()
	own := own(inventory.Own{Name: name, Manifests: inventory.Lines(manifests)})
	parts, err := own.Make(Env{})
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Steps(own, parts)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// contents are all objects, without what the server itself writes into them.
func (s *server) contents() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]any{}
	for p, o := range s.objects {
		out[p] = content(&unstructured.Unstructured{Object: o})
	}
	return out
}

func there(s *server) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for p := range s.objects {
		out = append(out, p[strings.LastIndex(p, "/")+1:])
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

const (
	one   = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
	two   = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two, namespace: x}\n"
	space = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n"
)

// TestPrunedWithoutNamespace: only the API server knows that a kind which somebody defines has to be in a namespace. What does not say in which is in default, is
// found there again, and does not go as something that the addon has no more.
func TestPrunedWithoutNamespace(t *testing.T) {
	s := newServer(t)
	a := s.api()
	const crops = "---\napiVersion: example.org/v1\nkind: Crop\nmetadata: {name: oats}\n"
	for range 2 {
		if err := put(t, a, "farm", one+crops); err != nil {
			t.Fatal(err)
		}
		if got := there(s); got != "kubewright-addon-farm oats one" || s.has("/apis/example.org/v1/namespaces/default/crops/oats") == nil {
			t.Errorf("there is %s", got)
		}
	}
	if err := put(t, a, "farm", one); err != nil {
		t.Fatal(err)
	}
	if got := there(s); got != "kubewright-addon-farm one" {
		t.Errorf("there is %s", got)
	}
}

// TestPruned: what an addon has no more goes, and what others have stays, even if it looks alike.
func TestPruned(t *testing.T) {
	s := newServer(t)
	a := s.api()
	if err := put(t, a, "mine", one+two+space); err != nil {
		t.Fatal(err)
	}
	if err := put(t, a, "theirs", strings.ReplaceAll(one, "one", "three")); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.objects["/api/v1/namespaces/default/configmaps/nobodys"] = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "nobodys", "namespace": "default"}}
	s.objects["/api/v1/namespaces/default/configmaps/made"] = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{
		"name": "made", "namespace": "default", "labels": map[string]any{labelPartOf: setID("mine")},
		"ownerReferences": []any{map[string]any{"apiVersion": "example.org/v1", "kind": "Crop", "name": "oats", "uid": "1", "controller": true}},
	}}
	s.mu.Unlock()
	if err := put(t, a, "mine", one); err != nil {
		t.Fatal(err)
	}
	if got := there(s); got != "kubewright-addon-mine kubewright-addon-theirs made nobodys one three" {
		t.Errorf("there is %s", got)
	}
	deleted := only(s.asked(), "DELETE")
	if len(deleted) != 2 || !strings.HasSuffix(deleted[1], "/namespaces/x") {
		t.Errorf("deleted were %v; the namespace goes last", deleted)
	}
	set := observe(t, a, Set{Addon: "mine", Kinds: []string{"Secret"}}).(Set)
	if strings.Join(set.Kinds, " ") != "ConfigMap" || strings.Join(set.Namespaces, " ") != "default" {
		t.Errorf("the set is %+v", set)
	}
}

// TestNothingIsForgotten: a run that ended before it had pruned leaves the cluster knowing of the kinds that there were.
func TestNothingIsForgotten(t *testing.T) {
	s := newServer(t)
	a := s.api()
	if err := put(t, a, "mine", one+space); err != nil {
		t.Fatal(err)
	}
	s.refuse = map[string]int{"/api/v1/namespaces/default/services/web": http.StatusForbidden}
	if err := put(t, a, "mine", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"); err == nil {
		t.Fatal("the refusal is not told")
	}
	set := observe(t, a, Set{Addon: "mine", Kinds: []string{"Secret"}}).(Set)
	if strings.Join(set.Kinds, " ") != "ConfigMap Namespace Service" || set.applied != "" {
		t.Errorf("the set is %+v", set)
	}
	s.refuse = nil
	if err := put(t, a, "mine", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"); err != nil {
		t.Fatal(err)
	}
	if got := there(s); got != "kubewright-addon-mine web" {
		t.Errorf("there is %s", got)
	}
}

// TestRetired: an addon that nobody wants goes with all it has.
func TestRetired(t *testing.T) {
	s := newServer(t)
	a := s.api()
	for name, manifests := range map[string]string{"old": one + space, "new": strings.ReplaceAll(one, "one", "three")} {
		if err := put(t, a, name, manifests); err != nil {
			t.Fatal(err)
		}
	}
	wish := Retired{Addons: []string{"new"}}
	if seen := observe(t, a, wish).(Retired); strings.Join(seen.Left, " ") != "old" {
		t.Errorf("seen is %+v", seen)
	}
	if _, err := apply(t, a, wish); err != nil {
		t.Fatal(err)
	}
	if got := there(s); got != "kubewright-addon-new three" {
		t.Errorf("there is %s", got)
	}
	if seen := observe(t, a, wish); !ops.Equal(wish, seen) {
		t.Errorf("seen is %+v", seen)
	}
}

// TestAnAPIHasOneProvider: whoever has it keeps it, and the error says who that is and what to do.
func TestAnAPIHasOneProvider(t *testing.T) {
	s := newServer(t)
	a := s.api()
	theirs := map[string]any{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{
		"name": "v1beta1.metrics.k8s.io", "managedFields": []any{map[string]any{"manager": "kube-apiserver", "subresource": "status"}, map[string]any{"manager": "helm"}},
	}}
	s.mu.Lock()
	s.objects["/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"] = theirs
	s.mu.Unlock()
	wish := Aggregated{Group: "metrics.k8s.io", Version: "v1beta1", Namespace: "kube-system", Service: "metrics-server", Addon: "metrics-server"}
	_, err := a.Observe(t.Context(), []ops.Op{wish})
	if err == nil || !strings.Contains(err.Error(), "APIService.apiregistration.k8s.io/v1beta1.metrics.k8s.io belongs to whoever made it with helm") {
		t.Errorf("got %v", err)
	}
}

// TestAWebhookThatDoesNotAnswer is named, with what to do.
func TestAWebhookThatDoesNotAnswer(t *testing.T) {
	err := blame(&StepError{Cause: errHook})
	if remedied, ok := err.(interface{ Remedy() string }); !ok || !strings.Contains(remedied.Remedy(), "bring back what answers for the webhook check.farm.example.org") {
		t.Errorf("got %v", err)
	}
	if passing(errHook) {
		t.Error("a look waits for it")
	}
}

type hookError struct{}

func (hookError) Error() string {
	return `Internal error occurred: failed calling webhook "check.farm.example.org": connection refused`
}

var errHook = hookError{}
