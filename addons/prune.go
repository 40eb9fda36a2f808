package addons

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/ops"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// Pruned is the wish that an addon has been applied to its end, and that nothing is left of what it had once and has no more.
type Pruned struct {
	Addon   string   `json:"addon"`
	Applied string   `json:"applied"`        // the digest of what was applied
	Left    []string `json:"left,omitempty"` // in observations: what is still there

	keep map[string]bool
}

// Key is pruned:NAME.
func (p Pruned) Key() ops.Key { return ops.Key("pruned:" + p.Addon) }

func (p Pruned) absent() ops.Op { p.Applied = ""; return p }

// Observe looks for members of the addon that it has no more.
func (p Pruned) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	set, left, err := p.left(ctx, a)
	p.Applied, p.Left = set.applied, nil
	for _, o := range left {
		p.Left = append(p.Left, o.String())
	}
	return p, err
}

func (p Pruned) left(ctx context.Context, a *API) (Set, []ID, error) {
	set, err := a.readSet(ctx, p.Addon)
	if err != nil || set.Absent {
		return set, nil, err
	}
	all, err := a.members(ctx, set)
	return set, slices.DeleteFunc(all, func(id ID) bool {
		said := p.keep[id.String()]
		if id.Namespace == metav1.NamespaceDefault { // which its manifest need not say
			id.Namespace = ""
			said = said || p.keep[id.String()]
		}
		return said
	}), err
}

// Set removes them, and waits until they are gone.
func (p Pruned) Set(ctx context.Context, m ops.Machine, _ ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	_, left, err := p.left(ctx, a)
	if err != nil {
		return err
	}
	if err := a.remove(ctx, left); err != nil {
		return err
	}
	now := Set{Addon: p.Addon, applied: p.Applied}
	for id := range p.keep {
		kind, rest, _ := strings.Cut(id, "/")
		now.Kinds = append(now.Kinds, kind)
		if ns, _, ok := strings.Cut(rest, "/"); ok && ns != setNamespace {
			now.Namespaces = append(now.Namespaces, ns)
		}
	}
	return a.writeSet(ctx, now.sorted())
}

// Retired is the wish that the cluster has no addons but these: what was enabled once and is no more goes, with all that belongs to it.
type Retired struct {
	Addons []string `json:"addons"`
	Left   []string `json:"left,omitempty"` // in observations: addons that are still there
}

// Key is addons:retired.
func (Retired) Key() ops.Key { return "addons:retired" }

func (r Retired) absent() ops.Op { return r }

// Observe looks for addons that should not be there.
func (r Retired) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	sets, err := r.sets(ctx, a)
	r.Left = known(sets)
	return r, err
}

// sets are the addons that should not be there.
func (r Retired) sets(ctx context.Context, a *API) (map[string]Set, error) {
	sets, err := a.Sets(ctx)
	maps.DeleteFunc(sets, func(name string, _ Set) bool { return slices.Contains(r.Addons, name) })
	return sets, err
}

// Set removes them.
func (r Retired) Set(ctx context.Context, m ops.Machine, _ ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	sets, err := r.sets(ctx, a)
	if err != nil {
		return err
	}
	for _, name := range known(sets) {
		all, err := a.members(ctx, sets[name])
		if err != nil {
			return err
		}
		if err = a.remove(ctx, all); err == nil {
			err = a.removeOne(ctx, parentID(name)) // last: as long as it is there, it is known what is
		}
		if err != nil {
			return fmt.Errorf("addon %s: %w", name, err)
		}
	}
	return nil
}

// members are all objects that bear the addon's label, of the kinds that its set names.
func (a *API) members(ctx context.Context, set Set) ([]ID, error) {
	found := make([][]ID, len(set.Kinds))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, kind := range set.Kinds {
		group.Go(func() error {
			kind, of, _ := strings.Cut(kind, ".")
			mapping, err := a.mapper.RESTMapping(schema.GroupKind{Group: of, Kind: kind})
			if meta.IsNoMatchError(err) {
				return nil // its definition is gone, and so is everything of that kind
			}
			if err != nil {
				return err
			}
			var list *unstructured.UnstructuredList
			err = persist(gctx, func() (err error) {
				list, err = a.dynamic.Resource(mapping.Resource).List(gctx, metav1.ListOptions{LabelSelector: labelPartOf + "=" + setID(set.Addon)})
				return err
			})
			if errors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return err
			}
			for _, o := range list.Items {
				if metav1.GetControllerOf(&o) != nil {
					continue // some controller's, which has handed on the labels of what it was made for and looks after it
				}
				found[i] = append(found[i], ID{Group: of, Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()})
			}
			return nil
		})
	}
	err := group.Wait()
	return slices.Concat(found...), err
}

// gone is how long what was removed may take to be gone.
const gone = 2 * time.Minute

// remove removes objects and waits until they are gone: first those of kinds that somebody defines, while their controller still runs, then what is in
// namespaces, then definitions, and namespaces last.
func (a *API) remove(ctx context.Context, all []ID) error {
	order := func(id ID) int {
		switch {
		case custom(id.Group):
			return 0
		case id.Kind == definitionKind:
			return 2
		case id.Kind == "Namespace":
			return 3
		}
		return 1
	}
	for n := range 4 {
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for _, id := range all {
			if order(id) == n {
				group.Go(func() error {
					if err := a.removeOne(gctx, id); err != nil {
						return fmt.Errorf("remove %s: %w", id, err)
					}
					return nil
				})
			}
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (a *API) removeOne(ctx context.Context, id ID) error {
	mapping, err := a.mapper.RESTMapping(schema.GroupKind{Group: id.Group, Kind: id.Kind})
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	r := a.place(mapping, id.Namespace)
	background := metav1.DeletePropagationBackground
	err = persist(ctx, func() error { return r.Delete(ctx, id.Name, metav1.DeleteOptions{PropagationPolicy: &background}) })
	if errors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return awaitGone(ctx, r, id.Name)
}

// awaitGone watches an object until it is gone.
func awaitGone(run context.Context, r dynamic.ResourceInterface, name string) error {
	ctx, cancel := context.WithTimeout(run, gone)
	defer cancel()
	for {
		o, err := r.Get(ctx, name, metav1.GetOptions{})
		switch {
		case errors.IsNotFound(err):
			return nil
		case run.Err() != nil:
			return context.Cause(run)
		case ctx.Err() != nil:
			return fmt.Errorf("is still there after %s: %s", gone, finalizers(o))
		case err != nil && !passing(err):
			return err
		case err == nil:
			watchGone(ctx, r, o)
		}
	}
}

// watchGone returns when the object is gone, or the watch has ended.
func watchGone(ctx context.Context, r dynamic.ResourceInterface, o *unstructured.Unstructured) {
	w, err := r.Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", o.GetName()).String(), ResourceVersion: o.GetResourceVersion(),
	})
	if err != nil {
		select {
		case <-ctx.Done():
		case <-time.After(persistPause):
		}
		return
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Deleted || e.Type == watch.Error {
			return
		}
	}
}

func finalizers(o *unstructured.Unstructured) string {
	if o == nil || len(o.GetFinalizers()) == 0 {
		return "nobody says why"
	}
	return "it waits for " + strings.Join(o.GetFinalizers(), ", ")
}
