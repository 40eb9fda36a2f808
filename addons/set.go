package addons

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/ops"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Set is the wish that the cluster knows of which kinds an addon's objects are and where: the parent of an ApplySet (KEP-3659), so that kubectl and others
// can tell them as well. It says at least as much as is wished; Pruned takes back what is too much.
type Set struct {
	Addon      string   `json:"addon"`
	Kinds      []string `json:"kinds"`
	Namespaces []string `json:"namespaces,omitempty"`
	Absent     bool     `json:"absent,omitempty"`

	applied string // the digest of what was applied last, to its end
}

const (
	setNamespace = metav1.NamespaceSystem
	setPrefix    = "kubewright-addon-"

	labelSet   = "applyset.kubernetes.io/id"
	labelAddon = "kubewright.io/addon"
	setTooling = "applyset.kubernetes.io/tooling"
	setKinds   = "applyset.kubernetes.io/contains-group-kinds"
	setApplied = "kubewright.io/applied"
	setOthers  = "applyset.kubernetes.io/additional-namespaces"
)

// setID is the ApplySet's identity, which KEP-3659 derives from its parent.
func setID(addon string) string {
	sum := sha256.Sum256([]byte(setPrefix + addon + "." + setNamespace + ".ConfigMap."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// parentID names the object in which an addon's set is kept.
func parentID(addon string) ID {
	return ID{Kind: "ConfigMap", Namespace: setNamespace, Name: setPrefix + addon}
}

func (s *Set) add(id ID) {
	s.Kinds = append(s.Kinds, id.groupKind())
	if id.Namespace != "" && id.Namespace != setNamespace {
		s.Namespaces = append(s.Namespaces, id.Namespace)
	}
}

func (s Set) sorted() Set {
	slices.Sort(s.Kinds)
	slices.Sort(s.Namespaces)
	s.Kinds, s.Namespaces = slices.Compact(s.Kinds), slices.Compact(s.Namespaces)
	return s
}

// Key is addon:NAME.
func (s Set) Key() ops.Key { return ops.Key("addon:" + s.Addon) }

func (s Set) absent() ops.Op { return Set{Addon: s.Addon, Absent: true} }

// Observe reads the parent. One that knows of more is as good.
func (s Set) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	now, err := a.readSet(ctx, s.Addon)
	if err != nil || now.Absent {
		return now, err
	}
	if holds(now.Kinds, s.Kinds) && holds(now.Namespaces, s.Namespaces) {
		return s, nil
	}
	return now, nil
}

func holds(all, some []string) bool {
	return !slices.ContainsFunc(some, func(x string) bool { return !slices.Contains(all, x) })
}

// Set writes what was known and what is wished: nothing that is there may be forgotten before it is gone.
func (s Set) Set(ctx context.Context, m ops.Machine, was ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	if before, ok := was.(Set); ok { // that it was applied to its end is true no more
		s.Kinds = append(slices.Clone(s.Kinds), before.Kinds...)
		s.Namespaces = append(slices.Clone(s.Namespaces), before.Namespaces...)
	}
	return a.writeSet(ctx, s.sorted())
}

// readSet is what the cluster knows of an addon's members.
func (a *API) readSet(ctx context.Context, addon string) (Set, error) {
	var cm *corev1.ConfigMap
	err := persist(ctx, func() (err error) {
		cm, err = a.clients.CoreV1().ConfigMaps(setNamespace).Get(ctx, setPrefix+addon, metav1.GetOptions{})
		return err
	})
	if errors.IsNotFound(err) {
		return Set{Addon: addon, Absent: true}, nil
	}
	if err != nil {
		return Set{}, err
	}
	return setOf(*cm), nil
}

func setOf(cm corev1.ConfigMap) Set {
	return Set{Addon: cm.Labels[labelAddon], Kinds: words(cm.Annotations[setKinds]), Namespaces: words(cm.Annotations[setOthers]), applied: cm.Annotations[setApplied]}
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (a *API) writeSet(ctx context.Context, s Set) error {
	parent := New(&corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: setNamespace, Name: setPrefix + s.Addon,
			Labels: map[string]string{labelSet: setID(s.Addon), labelAddon: s.Addon, labelManager: FieldManager},
			Annotations: map[string]string{
				setTooling: "kubewright/v1", setKinds: strings.Join(s.Kinds, ","), setOthers: strings.Join(s.Namespaces, ","), setApplied: s.applied,
			},
		},
	})
	return parent.Set(ctx, machine{a}, nil)
}

// Sets are the addons that the cluster knows of, by name.
func (a *API) Sets(ctx context.Context) (map[string]Set, error) {
	var list *corev1.ConfigMapList
	err := persist(ctx, func() (err error) {
		list, err = a.clients.CoreV1().ConfigMaps(setNamespace).List(ctx, metav1.ListOptions{LabelSelector: labelAddon})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := map[string]Set{}
	for _, cm := range list.Items {
		s := setOf(cm)
		if cm.Labels[labelSet] == setID(s.Addon) { // whoever copies one does not copy what it stands for
			out[s.Addon] = s
		}
	}
	return out, nil
}

// known are the names of a map in order.
func known[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
