package addons

import (
	"context"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/ops"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// Ready is the wish that something in the cluster works: a Node is Ready, a node's pod network is there, a workload is rolled out, a kind of objects can be
// used, or whatever else says so by a condition. Setting it is waiting for it, by watching.
type Ready struct {
	Kind      string `json:"kind"`            // Network is that of the node of that name, Addon one of ours
	Group     string `json:"group,omitempty"` // of kinds that are not Kubernetes' own
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Digest    string `json:"digest,omitempty"` // of an Addon: what is to be applied of it
	Within    int    `json:"within"`           // seconds
	OK        bool   `json:"ok"`
}

// Key is ready:KIND/NAMESPACE/NAME.
func (r Ready) Key() ops.Key {
	if r.Namespace == "" {
		return ops.Key("ready:" + r.Kind + "/" + r.Name)
	}
	return ops.Key("ready:" + r.Kind + "/" + r.Namespace + "/" + r.Name)
}

func (r Ready) absent() ops.Op { r.OK = false; return r }

func isWait(op ops.Op) bool {
	switch op.(type) {
	case Ready, Set, Pruned, Retired:
		return true // what is around them comes before or after them
	}
	return false
}

// groups are those of the kinds that are waited for by name alone.
var groups = map[string]string{
	"Node": "", "ConfigMap": "", "DaemonSet": "apps", "Deployment": "apps", "StatefulSet": "apps", "Job": "batch",
	definitionKind: "apiextensions.k8s.io", "APIService": "apiregistration.k8s.io",
}

// of finds where such things are. A kind that the API server did not know a moment ago may be known by now.
func (r Ready) of(a *API) (dynamic.ResourceInterface, error) {
	kind, group := r.Kind, r.Group
	switch kind {
	case "Network":
		kind = "Node"
	case kindAddon:
		kind = "ConfigMap"
	}
	if known, ok := groups[kind]; ok {
		group = known
	}
	mapping, err := a.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind})
	if err != nil {
		return nil, err
	}
	if r.Namespace != "" {
		return a.dynamic.Resource(mapping.Resource).Namespace(r.Namespace), nil
	}
	return a.dynamic.Resource(mapping.Resource), nil
}

// kindAddon is the kind of what waits for another addon.
const kindAddon = "Addon"

// object is the name of the object that is looked at.
func (r Ready) object() string {
	if r.Kind == kindAddon {
		return setPrefix + r.Name
	}
	return r.Name
}

// Observe looks once.
func (r Ready) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	where, err := r.of(a)
	if meta.IsNoMatchError(err) {
		return r.absent(), nil
	}
	if err != nil {
		return nil, err
	}
	o, err := where.Get(ctx, r.object(), metav1.GetOptions{})
	if errors.IsNotFound(err) {
		return r.absent(), nil
	}
	if err != nil {
		return nil, err
	}
	r.OK = r.lacks(o) == "" && (r.Kind != definitionKind || a.publishes(o))
	return r, nil
}

// Set waits, at most Within seconds, and says what was lacking at the end.
func (r Ready) Set(ctx context.Context, m ops.Machine, _ ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	run := ctx
	ctx, cancel := context.WithTimeout(run, time.Duration(r.Within)*time.Second)
	defer cancel()
	last := "it does not exist"
	for {
		done, err := r.watchOnce(ctx, a, &last)
		if done {
			return nil
		}
		if run.Err() != nil {
			return context.Cause(run)
		}
		if ctx.Err() != nil {
			if why := r.explain(run, a); why != "" {
				last += "; " + why
			}
			return fmt.Errorf("not ready after %d s: %s", r.Within, last)
		}
		if severed(err) {
			return err
		}
		if err != nil {
			last = err.Error()
		}
		select { // the watch ended early: the API server restarted or closed it
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (r Ready) watchOnce(ctx context.Context, a *API, last *string) (bool, error) {
	where, err := r.of(a)
	if meta.IsNoMatchError(err) {
		a.mapper.Reset()
	}
	if err != nil {
		return false, err
	}
	// Without a resource version a watch begins with what is there now.
	w, err := where.Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", r.object()).String()})
	if err != nil {
		return false, err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return false, errors.FromObject(e.Object)
		}
		if e.Type == watch.Deleted {
			*last = "it does not exist"
			continue
		}
		o, ok := e.Object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		if *last = r.lacks(o); *last != "" {
			continue
		}
		if r.Kind == definitionKind && !a.publishes(o) {
			*last = "the API server does not tell of the kind"
			return false, nil // it is looked at again, a moment later
		}
		return true, nil
	}
	return false, nil
}

// publishes says whether the API server tells of a kind that is defined, in all its versions. It begins to some time after it has established it, and until
// then nobody finds where its objects are.
func (a *API) publishes(definition *unstructured.Unstructured) bool {
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	known := func() bool {
		for _, v := range versions {
			name, _ := asMap(v)["name"].(string)
			if served, _ := asMap(v)["served"].(bool); !served {
				continue
			}
			if _, err := a.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind}, name); err != nil {
				return false
			}
		}
		return true
	}
	if known() {
		return true
	}
	a.mapper.Reset()
	return known()
}
