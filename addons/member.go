package addons

import (
	"strings"

	"github.com/kubewright/kubewright/ops"
	"k8s.io/client-go/kubernetes/scheme"
)

// Member is an op about one object that belongs to an addon.
type Member interface {
	ops.Op
	ID() ID
	within(addon string) Member
}

// ID names an object in a cluster, whatever its version.
type ID struct{ Group, Kind, Namespace, Name string }

// groupKind is Deployment.apps, or ConfigMap: as KEP-3659 writes it.
func (id ID) groupKind() string {
	if id.Group == "" {
		return id.Kind
	}
	return id.Kind + "." + id.Group
}

func (id ID) String() string {
	name := id.groupKind() + "/" + id.Name
	if id.Namespace != "" {
		name = id.groupKind() + "/" + id.Namespace + "/" + id.Name
	}
	return name
}

// The labels of everything that belongs to an addon.
const (
	labelManager = "app.kubernetes.io/managed-by"
	labelPartOf  = "applyset.kubernetes.io/part-of" // KEP-3659
)

// ID is the object's name in the cluster.
func (o Object) ID() ID {
	u := o.of()
	gvk := u.GroupVersionKind()
	return ID{Group: gvk.Group, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}
}

// within is the object as a member of an addon.
func (o Object) within(addon string) Member {
	u := o.of().DeepCopy()
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelManager], labels[labelPartOf] = FieldManager, setID(addon)
	u.SetLabels(labels)
	return Object{Manifest: u.Object, Absent: o.Absent}
}

// The order in which members are applied: what others are in or are defined by, what they read, then what runs.
const (
	rankNamespace = iota
	rankDefinition
	rankPlain
	rankRuns
)

const definitionKind = "CustomResourceDefinition"

func rank(op ops.Op) int {
	m, ok := op.(Member)
	if !ok {
		return rankPlain
	}
	switch id := m.ID(); {
	case id.Kind == "Namespace":
		return rankNamespace
	case id.Kind == definitionKind:
		return rankDefinition
	case id.Group == "apps" || id.Group == "batch" || id.Kind == "Pod" || custom(id.Group) || strings.HasSuffix(id.Kind, "WebhookConfiguration"):
		return rankRuns
	}
	return rankPlain
}

// custom says whether a group is none of the API server's own: kinds of it exist only because somebody defines them.
func custom(group string) bool {
	return !scheme.Scheme.IsGroupRegistered(group) && group != "apiextensions.k8s.io" && group != "apiregistration.k8s.io"
}
