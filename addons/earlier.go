package addons

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/ops"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// changer is an op that changes objects: it knows which. What is none (a wait) has nothing to go back to.
type changer interface {
	changes(ctx context.Context, a *API) ([]Object, error)
}

// Earlier is what objects are before they are changed, as wishes that lead back there: of each the fields that are kubewright's and those that it is about to
// take. An object that is not there is wished away.
func (a *API) Earlier(ctx context.Context, wishes []ops.Op) ([]Object, error) {
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	var out []Object
	seen := map[ops.Key]bool{}
	for _, w := range wishes {
		c, ok := w.(changer)
		if !ok {
			continue
		}
		objects, err := c.changes(ctx, a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Key(), err)
		}
		for _, o := range objects {
			if seen[o.Key()] {
				continue
			}
			seen[o.Key()] = true
			was, err := a.earlier(ctx, o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.Key(), err)
			}
			out = append(out, was)
		}
	}
	return out, nil
}

func (a *API) earlier(ctx context.Context, o Object) (Object, error) {
	gone := Object{Manifest: o.head(), Absent: true}
	r, err := a.resource(o)
	if meta.IsNoMatchError(err) {
		return gone, nil
	}
	if err != nil {
		return Object{}, err
	}
	var live *unstructured.Unstructured
	err = persist(ctx, func() (err error) { live, err = r.Get(ctx, o.of().GetName(), metav1.GetOptions{}); return err })
	if errors.IsNotFound(err) {
		return gone, nil
	}
	if err != nil {
		return Object{}, err
	}
	was, _ := project(live.Object, o.Manifest).(map[string]any)
	return Object{Manifest: union(union(o.head(), was), applied(live))}, nil
}

func (o Object) changes(context.Context, *API) ([]Object, error) { return []Object{o}, nil }

func (c ClusterInfo) changes(_ context.Context, a *API) ([]Object, error) {
	o, err := c.object(machine{a})
	return []Object{o}, err
}

func (g Aggregated) changes(_ context.Context, a *API) ([]Object, error) {
	return []Object{g.object(a)}, nil
}

func (s TLSSecret) changes(_ context.Context, a *API) ([]Object, error) { return a.named(s.ID()) }
func (p Password) changes(_ context.Context, a *API) ([]Object, error)  { return a.named(p.ID()) }
func (s Set) changes(_ context.Context, a *API) ([]Object, error)       { return a.named(parentID(s.Addon)) }

func (p Pruned) changes(ctx context.Context, a *API) ([]Object, error) {
	_, left, err := p.left(ctx, a)
	if err != nil {
		return nil, err
	}
	return a.named(append(left, parentID(p.Addon))...)
}

func (r Retired) changes(ctx context.Context, a *API) ([]Object, error) {
	sets, err := r.sets(ctx, a)
	if err != nil {
		return nil, err
	}
	var all []Object
	for _, name := range known(sets) {
		ids, err := a.members(ctx, sets[name])
		if err != nil {
			return nil, err
		}
		objects, err := a.named(append([]ID{parentID(name)}, ids...)...)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

// named are objects of which only the names are known.
func (a *API) named(ids ...ID) ([]Object, error) {
	var out []Object
	for _, id := range ids {
		mapping, err := a.mapper.RESTMapping(schema.GroupKind{Group: id.Group, Kind: id.Kind})
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetGroupVersionKind(mapping.GroupVersionKind)
		u.SetNamespace(id.Namespace)
		u.SetName(id.Name)
		out = append(out, Object{Manifest: u.Object})
	}
	return out, nil
}

// Back puts steps to earlier objects, in the order in which those were changed, into the order in which they can be taken: what goes in reverse, then what
// comes again as an addon's objects do, a kind before its objects.
func Back(steps []ops.Step) []ops.Step {
	var gone, again []ops.Step
	for _, s := range steps {
		if s.Op.(Object).Absent {
			gone = append(gone, s)
		} else {
			again = append(again, s)
		}
	}
	slices.Reverse(gone)
	slices.SortStableFunc(again, func(x, y ops.Step) int { return rank(x.Op) - rank(y.Op) })
	out := gone
	for i, s := range again {
		if i > 0 && rank(again[i-1].Op) == rankDefinition && rank(s.Op) != rankDefinition {
			out = append(out, established(membersOf(again[:i]))...)
		}
		out = append(out, s)
	}
	return out
}

func membersOf(steps []ops.Step) []Member {
	var out []Member
	for _, s := range steps {
		out = append(out, s.Op.(Object))
	}
	return out
}

// applied is the part of an object that kubewright has applied, by what the API server remembers of it (managedFields).
func applied(live *unstructured.Unstructured) map[string]any {
	for _, m := range live.GetManagedFields() {
		if m.Manager != FieldManager || m.Operation != metav1.ManagedFieldsOperationApply || m.Subresource != "" || m.FieldsV1 == nil {
			continue
		}
		var fields map[string]any
		if json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) == nil && len(fields) > 0 {
			picked, _ := pick(live.Object, fields).(map[string]any)
			return picked
		}
	}
	return nil
}

// pick takes from a value what a set of fields names: "f:" a field, "k:" an element of a list by its key, "v:" one by its value. An empty set
// names the whole value.
func pick(live any, fields map[string]any) any {
	switch l := live.(type) {
	case map[string]any:
		if len(fields) == 0 {
			return live
		}
		out := map[string]any{}
		for name, sub := range fields {
			name, field := strings.CutPrefix(name, "f:")
			if v, there := l[name]; field && there {
				out[name] = pick(v, asMap(sub))
			}
		}
		return out
	case []any:
		out := []any{}
		for _, element := range l {
			for name, sub := range fields {
				if keys, ok := keyed(element, name); ok {
					out = append(out, union(keys, asMap(pick(element, asMap(sub)))))
				} else if valued(element, name) {
					out = append(out, element)
				}
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return live
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// keyed says whether a "k:" names this element, and by which of its fields.
func keyed(element any, name string) (keys map[string]any, ok bool) {
	text, is := strings.CutPrefix(name, "k:")
	e := asMap(element)
	if !is || e == nil || json.Unmarshal([]byte(text), &keys) != nil {
		return nil, false
	}
	for k, v := range keys {
		if fmt.Sprint(e[k]) != fmt.Sprint(v) { // numbers have other types there and here
			return nil, false
		}
		keys[k] = e[k]
	}
	return keys, true
}

func valued(element any, name string) bool {
	text, is := strings.CutPrefix(name, "v:")
	var v any
	return is && json.Unmarshal([]byte(text), &v) == nil && reflect.DeepEqual(v, element)
}

// union is both, field by field; where both have one that is no map, the second has it.
func union(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range b {
		x, y := asMap(out[k]), asMap(v)
		if x != nil && y != nil {
			out[k] = union(x, y)
			continue
		}
		out[k] = v
	}
	return out
}
