package convert

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// ours are Kubernetes' own groups of which no version has types any more, or none in k8s.io/api.
var ours = []string{"extensions", "settings.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "auditregistration.k8s.io", "federation"}

// elsewhere are kinds of 1.36 whose types are in modules of their own.
var elsewhere = []string{"apiextensions.k8s.io/v1 CustomResourceDefinition", "apiregistration.k8s.io/v1 APIService"}

// own says whether a group is one of Kubernetes' own: what 1.36 does not have of it, it refuses.
func own(version string) bool {
	return slices.Contains(ours, group(version)) || scheme.Scheme.IsGroupRegistered(group(version))
}

// removed are versions that 1.36 does not serve, and whose types do not say so.
var removed = []string{"rbac.authorization.k8s.io/v1alpha1", "scheduling.k8s.io/v1alpha1", "node.k8s.io/v1alpha1", "storage.k8s.io/v1alpha1", "flowcontrol.apiserver.k8s.io/v1alpha1"}

// typeOf is a kind of Kubernetes' own that 1.36 serves; nil of what it does not.
func typeOf(version, kind string) runtime.Object {
	gv, err := schema.ParseGroupVersion(version)
	if err != nil || slices.Contains(removed, version) {
		return nil
	}
	o, err := scheme.Scheme.New(gv.WithKind(kind))
	if err != nil {
		return nil
	}
	if x, ok := o.(interface{ APILifecycleRemoved() (major, minor int) }); ok {
		if _, minor := x.APILifecycleRemoved(); minor <= 36 {
			return nil
		}
	}
	return o
}

func known(version, kind string) bool { return typeOf(version, kind) != nil }

// named says whether a kind's objects have names: reviews, for one, need none.
func named(version, kind string) bool {
	_, ok := typeOf(version, kind).(metav1.Object)
	return slices.Contains(elsewhere, version+" "+kind) || ok && !strings.HasSuffix(kind, "Review")
}

// today is a kind's apiVersion and name in 1.36, as they would be written.
func today(kind string) string {
	if now := map[string]string{"PetSet": "StatefulSet", "ScheduledJob": "CronJob"}[kind]; now != "" {
		kind = now
	}
	var all []string
	for k := range scheme.Scheme.AllKnownTypes() {
		if version := k.GroupVersion().String(); strings.EqualFold(k.Kind, kind) && k.Version != runtime.APIVersionInternal && named(version, k.Kind) {
			all = append(all, version+" "+k.Kind)
		}
	}
	slices.SortFunc(all, func(a, b string) int { // a version without alpha or beta, and the shortest, first
		return len(a) - len(b)
	})
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// settings are groups of files that configure a component. They have kinds and versions, and no cluster holds them.
var settings = map[string]string{
	"kubeadm.k8s.io": "kubeadm config migrate rewrites it; with kubewright the inventory takes its place", "kubelet.config.k8s.io": "", "kubeproxy.config.k8s.io": "", "componentconfig": "",
	"kubescheduler.config.k8s.io": "", "audit.k8s.io": "", "apiserver.config.k8s.io": "", "apiserver.k8s.io": "",
}

// unserved refuses a kind of Kubernetes' own that 1.36 has not, and says what it has.
func (w *work) unserved(version, kind string) {
	reason := "1.36 has no " + version + " " + kind
	if now := today(kind); now != "" {
		reason += "; it has " + now + ": write the object in that form"
	} else {
		reason += ", and nothing is known that it became"
	}
	w.refuse("apiVersion", reason)
}
