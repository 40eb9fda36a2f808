package addons

import (
	"encoding/json"
	"reflect"
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
