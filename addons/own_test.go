package addons

import (
	"reflect"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

const field = `
apiVersion: v1
kind: Namespace
metadata: {name: field}
---
# a comment alone
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: seeds}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: plough, namespace: field}
  status: {replicas: 3}
---
{"apiVersion": "example.org/v1", "kind": "Crop", "metadata": {"name": "oats", "namespace": "field"}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crops.example.org}
`

// TestOwnManifests: in the order in which they can be applied, in a namespace where they have to be, and awaited.
func TestOwnManifests(t *testing.T) {
	a := own(inventory.Own{Name: "farm", Manifests: field})
	parts, err := a.Make(Env{})
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Steps(a, parts)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, s := range steps {
		keys = append(keys, string(s.Op.Key()))
		if o, ok := s.Op.(Object); ok {
			if labels := o.of().GetLabels(); labels[labelPartOf] != setID("farm") || o.Manifest["status"] != nil {
				t.Errorf("%s: %v", o.Key(), o.Manifest)
			}
		}
	}
	want := []string{
		"addon:farm", "object:Namespace/field", "object:CustomResourceDefinition/crops.example.org", "ready:CustomResourceDefinition/crops.example.org",
		"object:ConfigMap/default/seeds", "object:Deployment/field/plough", "object:Crop/field/oats", "ready:Deployment/field/plough", "pruned:farm",
	}
	if got := strings.Join(keys, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	if set := steps[0].Op.(Set); strings.Join(set.Kinds, " ") != "ConfigMap Crop.example.org CustomResourceDefinition.apiextensions.k8s.io Deployment.apps Namespace" ||
		strings.Join(set.Namespaces, " ") != "default field" {
		t.Errorf("%+v", set)
	}
}

const seeds = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seeds}\n"

func TestManifestsThatCannotBeRead(t *testing.T) {
	document := func(wrong string) string { return "addon x: document 1 of its manifests" + wrong }
	for _, row := range []struct{ text, want string }{
		{"", "addon x: there is no object in its manifests"},
		{"# a comment alone\n---\n", "addon x: there is no object in its manifests"},
		{"apiVersion: v1\nkind: List\nitems: []", "addon x: there is no object in its manifests"},
		{"kind: ConfigMap", document(": it has no apiVersion or no kind")},
		{"apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}", document(": the Pod has no name; one that the API server makes up would be another each time")},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: 5}", document(": metadata.name of the Pod is not text; put it into quotes")},
		{"apiVersion: v1\nkind: Pod\nmetadata: hello", document(": the Pod has no metadata")},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: Hello_World}", document(`: "Hello_World" is not a name that a Pod can have`)},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: ../b}", document(`: Pod/../b/a: "../b" is not a name that a namespace can have`)},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {tier: 1}}", document(`: Pod/a: metadata.labels: the value of "tier" is not text; put it into quotes`)},
		{"apiVersion: v1\nkind: pod\nmetadata: {name: a}", document(": there is no kind pod in v1; did you mean Pod?")},
		{"apiVersion: apps/v1\nkind: PetSet\nmetadata: {name: a}", document(": there is no kind PetSet in apps/v1")},
		{"apiVersion: a/b/c\nkind: Pod\nmetadata: {name: a}", document(`: "a/b/c" is no apiVersion; write GROUP/VERSION, such as apps/v1`)},
		{"apiVersion: v1\nkind: List\nitems: [5]", document(": item 1 of the List is no object with fields")},
		{"a: [", document(" cannot be read: line 1: did not find expected node content")},
		{"hunter2", document(" cannot be read: it is no object with fields")},
		{"[1, 2]", document(" cannot be read: it is no object with fields")},
		{"a: {{ .Values.a }}", document(" cannot be read: there is {{ }} of a template in it; have that filled in first, as helm template does")},
		{"? {b: hunter2}\n: c", document(" cannot be read: a key in it is not text")},
		{seeds + "kind: Secret\n", document(` cannot be read: line 4: key "kind" already set in map`)},
		{seeds + "...\n" + seeds, document(" cannot be read: there is more behind its end, without a line of --- before it")},
		{strings.Repeat("---\n"+seeds, 2), "addon x: document 2 of its manifests: ConfigMap/default/seeds is there twice"},
		{inventory.ManifestFrom + "a.yaml\n---\n" + seeds + "---\n" + inventory.ManifestFrom + "b.yaml\n---\n# nothing\n---\nkind: x\n", "addon x: document 2 of b.yaml: it has no apiVersion or no kind"},
		{"kind: x\n---\nkind: y\n", "addon x: document 1 of its manifests: it has no apiVersion or no kind\naddon x: document 2 of its manifests: it has no apiVersion or no kind"},
	} {
		_, err := own(inventory.Own{Name: "x", Manifests: inventory.Lines(row.text)}).Make(Env{})
		if err == nil || err.Error() != row.want {
			t.Errorf("%q: got %v, want %s", row.text, err, row.want)
		}
	}
}

// TestSecretsThatCannotBe: the API server would say so with the value.
func TestSecretsThatCannotBe(t *testing.T) {
	for _, row := range []struct{ fields, want string }{
		{"stringData: {pin: 12345}", "the Secret x: the value of stringData.pin is not text; put it into quotes"},
		{"data: {pin: 12345}", "the Secret x: the value of data.pin is not text; put it into quotes"},
		{"data: {pin: '12345!'}", "the Secret x: the value of data.pin is not base64; write it so, or under stringData as it is"},
		{"data: '12345'", "the Secret x: data is no section"},
	} {
		_, err := decode("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n" + row.fields)
		if want := "document 1 of its manifests: " + row.want; err == nil || err.Error() != want || strings.Contains(err.Error(), "12345") {
			t.Errorf("%s: got %v", row.fields, err)
		}
	}
}

// TestManifestsAsTheyAreFound: what programs write and API servers add is read for what is meant.
func TestManifestsAsTheyAreFound(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"JSON, one behind the other", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}` + "\n\t" + `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`, "ConfigMap/default/a ConfigMap/default/b"},
		{"JSON behind a line of ---", "---\n" + `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`, "ConfigMap/default/a ConfigMap/default/b"},
		{"braces of YAML", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", "ConfigMap/default/a"},
		{"an end without a beginning", seeds + "...\n# nothing more\n", "ConfigMap/default/seeds"},
		{"a list of one kind", "apiVersion: v1\nkind: ConfigMapList\nitems: [{metadata: {name: a}}]", "ConfigMap/default/a"},
		{"in no namespace", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'farm:a', namespace: field}", "ClusterRole.rbac.authorization.k8s.io/farm:a"},
		{"of a group that somebody defines", "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: a}", "GatewayClass.gateway.networking.k8s.io/a"},
	} {
		all, err := decode(row.text)
		var got []string
		for _, u := range all {
			got = append(got, New(u).ID().String())
		}
		if err != nil || strings.Join(got, " ") != row.want {
			t.Errorf("%s: %v, %v", row.name, got, err)
		}
	}
	all, err := decode("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, uid: b, resourceVersion: '5', creationTimestamp: null, managedFields: [], generation: 2,\n" +
		"  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', mine: x}}\nstatus: {}\n")
	want := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "namespace": "default", "annotations": map[string]any{"mine": "x"}}}
	if err != nil || !reflect.DeepEqual(all[0].Object, want) {
		t.Errorf("%v, %v", all, err)
	}
}

// TestSecretsAreNotShown: neither in a plan nor in what is saved of it.
func TestSecretsAreNotShown(t *testing.T) {
	o := Object{Manifest: map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "x"}, "stringData": map[string]any{"password": "hunter2"}}}
	if text := ops.Text(o); strings.Contains(text, "hunter2") || !strings.Contains(text, "password: sha256:") {
		t.Error(text)
	}
	if o.Manifest["stringData"].(map[string]any)["password"] != "hunter2" {
		t.Error("it is not applied either")
	}
}

// TestSecretsOfTheInventoryAreNotShown: nor where the inventory is printed.
func TestSecretsOfTheInventoryAreNotShown(t *testing.T) {
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: x, annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter2}}\nstringData: {password: hunter2}\n"
	c := &inventory.Cluster{}
	c.Spec.Addons.Own = []inventory.Own{{Name: "a", Manifests: seeds + "---\n" + secret}, {Name: "b", Manifests: "# as it is\n" + seeds}, {Name: "c", Manifests: secret + "---\na: ["}}
	shown := Masked(c).Spec.Addons.Own
	if a := string(shown[0].Manifests); strings.Contains(a, "hunter2") || !strings.Contains(a, "password: sha256:") || !strings.Contains(a, "name: seeds") {
		t.Error(a)
	}
	if b := shown[1].Manifests; b != "# as it is\n"+seeds {
		t.Error(b)
	}
	if c := string(shown[2].Manifests); strings.Contains(c, "hunter2") || !strings.Contains(c, "cannot be read") {
		t.Error(c)
	}
	if !strings.Contains(string(c.Spec.Addons.Own[0].Manifests), "hunter2") {
		t.Error("it is not applied either")
	}
	live := Object{Manifest: map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "x",
		"annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": "hunter2"}}}}
	if text := ops.Text(live); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}
