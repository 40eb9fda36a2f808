package verify

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

// One of the four that is not there, or is on its way out, is told: no test on a real cluster can take one away without taking the cluster with it.
func TestNamespaces(t *testing.T) {
	ns := func(name string, phase corev1.NamespacePhase) runtime.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NamespaceStatus{Phase: phase}}
	}
	three := []runtime.Object{ns("default", "Active"), ns("kube-system", "Active"), ns("kube-public", "Active")}
	for _, row := range []struct {
		name string
		more []runtime.Object
		want string
	}{
		{"all", []runtime.Object{ns("kube-node-lease", "Active")}, ""},
		{"one missing", nil, `"kube-node-lease" not found`},
		{"one on its way out", []runtime.Object{ns("kube-node-lease", "Terminating")}, "kube-node-lease is Terminating"},
	} {
		e := &Env{Cluster: Cluster{Client: fake.NewClientset(append(row.more, three...)...)}}
		err := namespaces.Run(t.Context(), e)
		if row.want == "" && (err != nil || len(e.evidence()) != 1) || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, %q", row.name, err, e.evidence())
		}
	}
}
