package addons

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/ops"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestOwn: of an object that several manage, exactly what we applied.
func TestOwn(t *testing.T) {
	live := &unstructured.Unstructured{Object: decoded(t, `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: coredns
  labels: {k8s-app: dns, team: theirs}
  finalizers: [ours, theirs]
spec:
  replicas: 3
  template:
    spec:
      containers:
      - {name: coredns, image: "a:1", ports: [{containerPort: 53, protocol: UDP, name: dns}, {containerPort: 53, protocol: TCP, name: dns-tcp}], terminationMessagePath: /dev/null}
      - {name: sidecar, image: theirs}
      tolerations: [{key: a}, {key: b}]
status: {replicas: 3}
`)}
	live.SetManagedFields([]metav1.ManagedFieldsEntry{
		{Manager: "kubectl", Operation: "Update", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`)},
		{Manager: FieldManager, Operation: "Apply", Subresource: "status", FieldsV1: metav1.NewFieldsV1(`{"f:status":{}}`)},
		{Manager: FieldManager, Operation: "Apply", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:k8s-app":{}},"f:finalizers":{"v:\"ours\"":{}}},
		 "f:spec":{"f:gone":{},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"coredns\"}":{".":{},"f:image":{},"f:name":{},
		  "f:ports":{"k:{\"containerPort\":53,\"protocol\":\"UDP\"}":{".":{},"f:name":{}}}}},"f:tolerations":{}}}}}`)},
	})
	want := decoded(t, `
metadata: {labels: {k8s-app: dns}, finalizers: [ours]}
spec:
  template:
    spec:
      containers:
      - {name: coredns, image: "a:1", ports: [{containerPort: 53, protocol: UDP, name: dns}]}
      tolerations: [{key: a}, {key: b}]
`)
	if got := applied(live); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	live.SetManagedFields(nil)
	if got := applied(live); got != nil {
		t.Errorf("of what nobody applied: %v", got)
	}
}

// TestEarlier leads back: what was not there goes, what was otherwise comes back, a wait is left out.
func TestEarlier(t *testing.T) {
	s := newServer(t)
	a := s.api()
	changed, fresh := config("kube-system", "a", "1"), config("kube-system", "b", "1")
	apply := func(all ...ops.Op) {
		t.Helper()
		for _, op := range all {
			if err := a.Apply(t.Context(), "", "p", []ops.Step{{Op: op}}, func(ops.Progress) {}); err != nil {
				t.Fatal(err)
			}
		}
	}
	apply(changed)
	later := []ops.Op{config("kube-system", "a", "2"), fresh, Ready{Kind: "Node", Name: "master"}, ClusterInfo{Server: "https://x"}}
	was, err := a.Earlier(t.Context(), later)
	if err != nil || len(was) != 3 {
		t.Fatalf("%v, %v", was, err)
	}
	apply(later[0], later[1], later[3])
	raw, err := json.Marshal(was)
	if err != nil {
		t.Fatal(err)
	}
	var back []Object
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	for _, o := range back {
		apply(o)
	}
	seen, err := a.Observe(t.Context(), []ops.Op{changed, fresh, Object{Manifest: was[2].Manifest}})
	if err != nil {
		t.Fatal(err)
	}
	if !ops.Equal(changed, seen[0]) || !seen[1].(Object).Absent || !seen[2].(Object).Absent {
		t.Errorf("got %v", seen)
	}
}

// TestAddonGoesBack: enabling an addon, changing it and disabling it all lead back, by what was remembered as JSON, with every Secret and what the addon is known by.
func TestAddonGoesBack(t *testing.T) {
	const secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: pass}\nstringData: {word: open}\n"
	states := []string{"", one + "data: {a: x}\n" + space + two + secret, one + "data: {a: y}\n", ""}
	for i, before := range states[:3] {
		s := newServer(t)
		a := s.api()
		wish := func(manifests string) []ops.Step {
			if manifests == "" {
				return []ops.Step{{Op: Retired{}}}
			}
			return ownSteps(t, "mine", manifests)
		}
		do := func(steps []ops.Step) {
			t.Helper()
			if err := a.Apply(t.Context(), "", "", steps, func(ops.Progress) {}); err != nil {
				t.Fatal(err)
			}
		}
		do(wish(before))
		was := s.contents()
		next := wish(states[i+1])
		var wishes []ops.Op
		for _, st := range next {
			wishes = append(wishes, st.Op)
		}
		earlier, err := a.Earlier(t.Context(), wishes)
		if err != nil {
			t.Fatal(err)
		}
		do(next)
		if got := s.contents(); reflect.DeepEqual(got, was) {
			t.Fatalf("nothing changed: %v", got)
		}
		var back []Object
		raw, err := json.Marshal(earlier)
		if err == nil {
			err = json.Unmarshal(raw, &back)
		}
		if err != nil {
			t.Fatal(err)
		}
		var steps []ops.Step
		for _, o := range back {
			steps = append(steps, ops.Step{Op: o})
		}
		do(Back(steps))
		if got := s.contents(); !reflect.DeepEqual(got, was) {
			t.Errorf("%d: got  %v\nwant %v", i, got, was)
		}
	}
}

// TestBack: namespaces go last and come first, and a kind is known before there is an object of it.
func TestBack(t *testing.T) {
	var steps []ops.Step
	for _, text := range []string{
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: old}", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: old, namespace: old}",
		"apiVersion: example.org/v1\nkind: Crop\nmetadata: {name: oats}",
		"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: crops.example.org}",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: new}",
	} {
		steps = append(steps, ops.Step{Op: Object{Manifest: decoded(t, text), Absent: strings.Contains(text, "old")}})
	}
	var got []string
	for _, s := range Back(steps) {
		got = append(got, string(s.Op.Key()))
	}
	want := "object:Deployment/old/old object:Namespace/old object:Namespace/new object:CustomResourceDefinition/crops.example.org ready:CustomResourceDefinition/crops.example.org object:Crop/oats"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}
