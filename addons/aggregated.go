package addons

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/kubewright/kubewright/ops"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Aggregated is a version of an API that a Service of an addon answers for (an APIService). The API server believes it by the cluster's authority, which is
// known only once the cluster is there, so the object is made when it is looked at. Only one addon can have it.
type Aggregated struct {
	Group     string `json:"group"`
	Version   string `json:"version"`
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Addon     string `json:"addon,omitempty"`
	Absent    bool   `json:"absent,omitempty"`
	Was       string `json:"was,omitempty"` // in observations: what it says now, where that is something else
}

func (g Aggregated) name() string { return g.Version + "." + g.Group }

// Key is object:APIService/NAME.
func (g Aggregated) Key() ops.Key { return ops.Key("object:APIService/" + g.name()) }

// ID is the APIService's.
func (g Aggregated) ID() ID {
	return ID{Group: "apiregistration.k8s.io", Kind: "APIService", Name: g.name()}
}

func (g Aggregated) within(addon string) Member { g.Addon = addon; return g }
func (g Aggregated) absent() ops.Op             { g.Absent = true; return g }

func (g Aggregated) object(a *API) Object {
	o := Object{Manifest: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": g.name()},
		"spec": map[string]any{
			"group": g.Group, "version": g.Version, "groupPriorityMinimum": float64(100), "versionPriority": float64(100),
			"caBundle": base64.StdEncoding.EncodeToString(a.config.CAData),
			"service":  map[string]any{"namespace": g.Namespace, "name": g.Service, "port": float64(443)},
		},
	}}
	return o.within(g.Addon).(Object)
}

// Observe looks at the APIService. One that belongs to somebody else is refused: taking it over would leave that one without its API.
func (g Aggregated) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	absent, was, err := g.object(a).compare(ctx, m)
	if err != nil {
		return nil, err
	}
	if absent {
		return g.absent(), nil
	}
	g.Was = was
	return g, nil
}

// Set applies the APIService.
func (g Aggregated) Set(ctx context.Context, m ops.Machine, was ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	return g.object(a).Set(ctx, m, was)
}

// claimed is an object that somebody else has and only one can have.
type claimed struct{ id, owner string }

func (e *claimed) Error() string { return fmt.Sprintf("%s belongs to %s", e.id, e.owner) }

func (e *claimed) Remedy() string {
	return "remove that one first, or leave the addon out: an API can have one provider only"
}

// unclaimed refuses an object that is there and belongs to somebody else.
func unclaimed(o Object, live *unstructured.Unstructured) error {
	mine, theirs := o.of().GetLabels()[labelPartOf], live.GetLabels()[labelPartOf]
	if theirs == mine {
		return nil
	}
	owner := "somebody else"
	if theirs != "" {
		owner = "another addon"
	}
	for _, m := range live.GetManagedFields() {
		if theirs == "" && m.Subresource == "" { // its status is the API server's
			owner = "whoever made it with " + m.Manager
			break
		}
	}
	return &claimed{o.ID().String(), owner}
}
