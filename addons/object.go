package addons

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/kubewright/kubewright/ops"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// Object is the wish that the cluster has an object with these fields. Fields it does not name belong to others.
type Object struct {
	Manifest map[string]any `json:"manifest"`
	Absent   bool           `json:"absent,omitempty"`
}

// New is the wish for a typed object.
func New(o runtime.Object) Object {
	raw, err := json.Marshal(o)
	if err != nil {
		panic(err) // API types encode
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		panic(err)
	}
	delete(m, "status")
	prune(m)
	return Object{Manifest: m}
}

// prune drops nulls and empty creation timestamps, which typed objects carry and nobody wishes for.
func prune(m map[string]any) {
	for k, v := range m {
		switch v := v.(type) {
		case nil:
			delete(m, k)
		case map[string]any:
			prune(v)
		case []any:
			for _, x := range v {
				if x, ok := x.(map[string]any); ok {
					prune(x)
				}
			}
		}
	}
}

func (o Object) of() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o.Manifest}
}

// Key is object:KIND/NAMESPACE/NAME.
func (o Object) Key() ops.Key {
	u := o.of()
	name := u.GetName()
	if ns := u.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return ops.Key("object:" + u.GetKind() + "/" + name)
}

func (o Object) absent() ops.Op { return Object{Manifest: o.head(), Absent: true} }

// head is enough of the manifest to find the object by.
func (o Object) head() map[string]any {
	u := o.of()
	h := &unstructured.Unstructured{Object: map[string]any{}}
	h.SetAPIVersion(u.GetAPIVersion())
	h.SetKind(u.GetKind())
	h.SetName(u.GetName())
	h.SetNamespace(u.GetNamespace())
	return h.Object
}

// Masked is the object as it may be shown: of a Secret the digests of what it holds.
func (o Object) Masked() ops.Op {
	if !isSecret(o.of()) {
		return o
	}
	u := o.of().DeepCopy()
	if all := asMap(asMap(u.Object["metadata"])["annotations"]); all[corev1.LastAppliedConfigAnnotation] != nil {
		all[corev1.LastAppliedConfigAnnotation] = "(not shown)" // kubectl's copy of the whole object
	}
	for _, field := range []string{"data", "stringData"} {
		held := asMap(u.Object[field])
		for k, v := range held {
			sum := sha256.Sum256(fmt.Append(nil, v))
			held[k] = "sha256:" + hex.EncodeToString(sum[:])
		}
	}
	return Object{Manifest: u.Object, Absent: o.Absent}
}

// Text is the object as YAML, for plans.
func (o Object) Text() string {
	if o.Absent {
		return ""
	}
	out, err := yaml.Marshal(o.Masked().(Object).Manifest)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// Observe asks the API server what applying the wish would change; nothing means that the object is as wished.
func (o Object) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	r, err := a.resource(o)
	if meta.IsNoMatchError(err) {
		return o.absent(), nil
	}
	if err != nil {
		return nil, err
	}
	name := o.of().GetName()
	var live *unstructured.Unstructured
	err = persist(ctx, func() (err error) { live, err = r.Get(ctx, name, metav1.GetOptions{}); return err })
	if errors.IsNotFound(err) {
		return o.absent(), nil
	}
	if err != nil {
		return nil, err
	}
	if o.Absent {
		return Object{Manifest: o.head()}, nil
	}
	if o.of().GetKind() == "APIService" {
		if err := unclaimed(o, live); err != nil {
			return nil, err
		}
	}
	if o.of().GetKind() == definitionKind && says(live.Object, o.Manifest) {
		return o, nil // these are large, and nobody else has a say in them
	}
	var would *unstructured.Unstructured
	err = persist(ctx, func() (err error) {
		would, err = r.Apply(ctx, name, o.of(), metav1.ApplyOptions{FieldManager: FieldManager, Force: true, DryRun: []string{metav1.DryRunAll}})
		return err
	})
	if err != nil {
		return nil, blame(err)
	}
	if same(live, would) {
		return o, nil
	}
	return Object{Manifest: touched(content(live), o.Manifest, content(would)).(map[string]any)}, nil
}

// same compares what two states of an object say, leaving out what the API server counts.
func same(a, b *unstructured.Unstructured) bool {
	return reflect.DeepEqual(content(a), content(b))
}

func content(u *unstructured.Unstructured) map[string]any {
	c := u.DeepCopy()
	c.SetManagedFields(nil)
	c.SetResourceVersion("")
	c.SetGeneration(0)
	delete(c.Object, "status")
	return c.Object
}

// project reduces what is live to the fields that the wish names, so that a diff shows no one else's.
func project(live, wish any) any {
	switch w := wish.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return live
		}
		out := map[string]any{}
		for k, v := range w {
			if x, ok := l[k]; ok {
				out[k] = project(x, v)
			}
		}
		return out
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(w) {
			return live
		}
		out := make([]any, len(l))
		for i := range l {
			out[i] = project(l[i], w[i])
		}
		return out
	}
	return live
}

// compare is for ops that make their object when they look: whether it is there and, where it says something else than it should, what.
func (o Object) compare(ctx context.Context, m ops.Machine) (absent bool, was string, err error) {
	seen, err := o.Observe(ctx, m)
	if err != nil {
		return false, "", err
	}
	now := seen.(Object)
	if !now.Absent && !ops.Equal(o, now) {
		was = now.Text()
	}
	return now.Absent, was, nil
}

// says tells whether what is live has every value of the wish.
func says(live, wish any) bool {
	switch w := wish.(type) {
	case map[string]any:
		l := asMap(live)
		for k, v := range w {
			if x, ok := l[k]; !ok || !says(x, v) {
				return false
			}
		}
		return true
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(w) {
			return false
		}
		for i := range w {
			if !says(l[i], w[i]) {
				return false
			}
		}
		return true
	}
	return fmt.Sprint(live) == fmt.Sprint(wish) // a number has another type here than there
}

// Set applies the object server-side, or removes it and waits until it is gone where the wish is its absence.
func (o Object) Set(ctx context.Context, m ops.Machine, _ ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	if o.Absent {
		return a.removeOne(ctx, o.ID())
	}
	r, err := a.resource(o)
	if err != nil {
		return err
	}
	name := o.of().GetName()
	apply := func() error {
		_, err := r.Apply(ctx, name, o.of(), metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
		return err
	}
	return blame(persistWriting(ctx, func() error {
		err := apply()
		if !addressTaken(o.of(), err) {
			return err
		}
		if err := freeAddress(ctx, a.clients, o.of()); err != nil {
			return err
		}
		return apply()
	}))
}

// resource finds where objects of the wish's kind live.
func (a *API) resource(o Object) (dynamic.ResourceInterface, error) {
	u := o.of()
	gvk := u.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("the API server does not know the kind %s: %w", gvk.Kind, err)
	}
	return a.place(mapping, u.GetNamespace()), nil
}

// place is where objects of a kind are in a namespace, or in the cluster. What does not say in which, as one of a kind that somebody defines, of which only the API
// server knows that it has to be in one, is in default.
func (a *API) place(mapping *meta.RESTMapping, namespace string) dynamic.ResourceInterface {
	r := a.dynamic.Resource(mapping.Resource)
	switch {
	case mapping.Scope.Name() != meta.RESTScopeNameNamespace:
		return r
	case namespace == "":
		return r.Namespace(metav1.NamespaceDefault)
	}
	return r.Namespace(namespace)
}
