package addons

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	names "k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/scheme"
)

// objectsIn is one object, or those of a List. What is in a namespace and does not say in which is in default, as kubectl has it.
func objectsIn(m map[string]any) ([]*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{Object: m}
	if one, ok := strings.CutSuffix(u.GetKind(), "List"); ok && u.IsList() {
		var out []*unstructured.Unstructured
		items, _, _ := unstructured.NestedSlice(m, "items")
		for i, x := range items {
			item := asMap(x)
			if item == nil {
				return nil, fmt.Errorf("item %d of the %s is no object with fields", i+1, u.GetKind())
			}
			if one != "" && item["kind"] == nil && item["apiVersion"] == nil {
				item["kind"], item["apiVersion"] = one, u.GetAPIVersion()
			}
			all, err := objectsIn(item)
			if err != nil {
				return nil, fmt.Errorf("item %d of the %s: %w", i+1, u.GetKind(), err)
			}
			out = append(out, all...)
		}
		return out, nil
	}
	if u.GetAPIVersion() == "" || u.GetKind() == "" {
		return nil, errors.New("it has no apiVersion or no kind")
	}
	if err := errors.Join(kindWrong(u), metadataWrong(u), secretWrong(u)); err != nil {
		return nil, err
	}
	if group := u.GroupVersionKind().Group; !custom(group) {
		switch wide := slices.Contains(clusterWide, u.GetKind()); {
		case wide:
			unstructured.RemoveNestedField(u.Object, "metadata", "namespace")
		case u.GetNamespace() == "":
			u.SetNamespace(metav1.NamespaceDefault)
		}
	}
	forget(u)
	return []*unstructured.Unstructured{u}, nil
}

// forget drops what an API server has put into an object that was read from one: it is not the user's to say.
func forget(u *unstructured.Unstructured) {
	delete(u.Object, "status")
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "deletionTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	if _, there := u.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; there { // the object once more, a Secret's values among it
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations", corev1.LastAppliedConfigAnnotation)
	}
}

// kindWrong says what is wrong with an object's kind, as far as Kubernetes' own go.
func kindWrong(u *unstructured.Unstructured) error {
	gv, err := schema.ParseGroupVersion(u.GetAPIVersion())
	if err != nil {
		return fmt.Errorf("%q is no apiVersion; write GROUP/VERSION, such as apps/v1", u.GetAPIVersion())
	}
	if !scheme.Scheme.IsGroupRegistered(gv.Group) || scheme.Scheme.Recognizes(gv.WithKind(u.GetKind())) {
		return nil
	}
	for _, kind := range slices.Sorted(maps.Keys(scheme.Scheme.KnownTypes(gv))) {
		if strings.EqualFold(kind, u.GetKind()) {
			return fmt.Errorf("there is no kind %s in %s; did you mean %s?", u.GetKind(), u.GetAPIVersion(), kind)
		}
	}
	return fmt.Errorf("there is no kind %s in %s", u.GetKind(), u.GetAPIVersion())
}

// metadataWrong says what is wrong with an object's name, and with what is not text there and has to be: such labels would be lost.
func metadataWrong(u *unstructured.Unstructured) error {
	meta, ok := u.Object["metadata"].(map[string]any)
	if !ok {
		return fmt.Errorf("the %s has no metadata", u.GetKind())
	}
	for _, field := range []string{"name", "namespace"} {
		if v, there := meta[field]; there && v != nil {
			if _, text := v.(string); !text {
				return fmt.Errorf("metadata.%s of the %s is not text; put it into quotes", field, u.GetKind())
			}
		}
	}
	name, id := u.GetName(), Object{Manifest: u.Object}.ID()
	if name == "" {
		return fmt.Errorf("the %s has no name; one that the API server makes up would be another each time", u.GetKind())
	}
	wrong := validation.IsDNS1123Subdomain(name)
	if id.Group == rbacv1.GroupName || id.Kind == "IPAddress" { // system:..., and fd00::1
		wrong = names.IsPathSegmentName(name)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%q is not a name that a %s can have", name, u.GetKind())
	}
	if ns := u.GetNamespace(); ns != "" && len(validation.IsDNS1123Label(ns)) > 0 {
		return fmt.Errorf("%s: %q is not a name that a namespace can have", id, ns)
	}
	for _, field := range []string{"labels", "annotations"} {
		all, ok := meta[field].(map[string]any)
		if !ok && meta[field] != nil {
			return fmt.Errorf("%s: metadata.%s is no section", id, field)
		}
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if _, text := all[key].(string); !text {
				return fmt.Errorf("%s: metadata.%s: the value of %q is not text; put it into quotes", id, field, key)
			}
		}
	}
	return nil
}

// secretWrong looks at what the API server would refuse in a Secret, for it would say so with the value.
func secretWrong(u *unstructured.Unstructured) error {
	if !isSecret(u) {
		return nil
	}
	for _, field := range []string{"data", "stringData"} {
		held, ok := u.Object[field].(map[string]any)
		if !ok && u.Object[field] != nil {
			return fmt.Errorf("the Secret %s: %s is no section", u.GetName(), field)
		}
		for _, key := range slices.Sorted(maps.Keys(held)) {
			text, ok := held[key].(string)
			if !ok && held[key] != nil {
				return fmt.Errorf("the Secret %s: the value of %s.%s is not text; put it into quotes", u.GetName(), field, key)
			}
			if _, err := base64.StdEncoding.DecodeString(text); field == "data" && err != nil {
				return fmt.Errorf("the Secret %s: the value of data.%s is not base64; write it so, or under stringData as it is", u.GetName(), key)
			}
		}
	}
	return nil
}

func isSecret(u *unstructured.Unstructured) bool {
	return u.GetKind() == "Secret" && u.GroupVersionKind().Group == ""
}
