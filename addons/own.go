package addons

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kubewright/kubewright/inventory"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// own is an addon of the user's.
func own(o inventory.Own) Addon {
	return Addon{Name: o.Name, Short: "the user's own manifests", Needs: o.Needs, Make: func(Env) (Parts, error) {
		objects, err := decode(string(o.Manifests))
		if err != nil {
			return Parts{}, fmt.Errorf("addon %s: %w", o.Name, err)
		}
		p := Parts{}
		for _, u := range objects {
			p.Objects = append(p.Objects, u)
			if slices.Contains(awaited, u.GetKind()) {
				p.Ready = append(p.Ready, Ready{Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(), Within: addonWithin, OK: true})
			}
		}
		return p, nil
	}}
}

// awaited are the kinds that are waited for wherever they come from.
var awaited = []string{"Deployment", "DaemonSet", "StatefulSet", "Job", "APIService"}

// clusterWide are the kinds of Kubernetes' own that are in no namespace.
var clusterWide = []string{
	"Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", definitionKind, "APIService", "StorageClass", "IngressClass", "PriorityClass",
	"RuntimeClass", "CSIDriver", "CSINode", "VolumeAttachment", "VolumeAttributesClass", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
	"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "FlowSchema",
	"PriorityLevelConfiguration", "CertificateSigningRequest", "ClusterTrustBundle", "DeviceClass", "ResourceSlice", "IPAddress", "ServiceCIDR",
}

// decode reads a stream of YAML or JSON documents. What is in a namespace and does not say in which is in default, as kubectl has it.
func decode(text string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	seen := map[string]bool{}
	d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for n := 1; ; n++ {
		var m map[string]any
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("document %d of its manifests cannot be read: %w", n, err)
		}
		if len(m) == 0 {
			continue
		}
		all, err := objectsIn(m)
		if err != nil {
			return nil, fmt.Errorf("document %d of its manifests: %w", n, err)
		}
		for _, u := range all {
			id := Object{Manifest: u.Object}.ID().String()
			if seen[id] {
				return nil, fmt.Errorf("document %d of its manifests: %s is there twice", n, id)
			}
			seen[id] = true
			out = append(out, u)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no object in its manifests")
	}
	return out, nil
}

// objectsIn is one object, or those of a List.
func objectsIn(m map[string]any) ([]*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{Object: m}
	if u.IsList() && u.GetKind() == "List" {
		var out []*unstructured.Unstructured
		items, _, _ := unstructured.NestedSlice(m, "items")
		for _, i := range items {
			all, err := objectsIn(asMap(i))
			if err != nil {
				return nil, err
			}
			out = append(out, all...)
		}
		return out, nil
	}
	switch {
	case u.GetAPIVersion() == "" || u.GetKind() == "":
		return nil, errors.New("it has no apiVersion or no kind")
	case u.GetName() == "":
		return nil, fmt.Errorf("the %s has no name; one that the API server makes up would be another each time", u.GetKind())
	}
	group := u.GroupVersionKind().Group
	if u.GetNamespace() == "" && !custom(group) && !slices.Contains(clusterWide, u.GetKind()) {
		u.SetNamespace(metav1.NamespaceDefault)
	}
	delete(u.Object, "status")
	return []*unstructured.Unstructured{u}, nil
}
