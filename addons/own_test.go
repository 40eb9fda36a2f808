package addons

import (
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

func TestManifestsThatCannotBeRead(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"", "addon x: there is no object in its manifests"},
		{"kind: ConfigMap", "addon x: document 1 of its manifests: it has no apiVersion or no kind"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}", "addon x: document 1 of its manifests: the Pod has no name; one that the API server makes up would be another each time"},
		{"a: [", "addon x: document 1 of its manifests cannot be read: "},
		{strings.Repeat("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", 2), "addon x: document 2 of its manifests: ConfigMap/default/a is there twice"},
	} {
		_, err := own(inventory.Own{Name: "x", Manifests: inventory.Lines(row.text)}).Make(Env{})
		if err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%q: got %v, want %s", row.text, err, row.want)
		}
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
