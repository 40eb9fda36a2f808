package addons

import (
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ofCluster says whether an object belongs to the cluster itself. In an addon of the user's it would have two owners, and when the addon goes it would go as well:
// a node, or a namespace with all that is in it.
func ofCluster(id ID) bool {
	if id.Kind == "Node" && id.Group == "" {
		return true
	}
	if id.Group == "rbac.authorization.k8s.io" && id.Namespace == "" && slices.Contains([]string{"cluster-admin", "admin", "edit", "view"}, id.Name) {
		return true
	}
	for _, p := range []struct{ group, kind, prefix string }{
		{"rbac.authorization.k8s.io", "", "system:"}, {"rbac.authorization.k8s.io", "", "kubeadm:"}, {"scheduling.k8s.io", "PriorityClass", "system-"},
		{"", "ConfigMap", setPrefix},
	} {
		if id.Group == p.group && (p.kind == "" || p.kind == id.Kind) && strings.HasPrefix(id.Name, p.prefix) {
			return true
		}
	}
	return slices.Contains(clusterObjects(), id)
}

// clusterObjects are those that every cluster of ours has.
var clusterObjects = sync.OnceValue(func() []ID {
	const system = metav1.NamespaceSystem
	out := []ID{
		{Kind: "Namespace", Name: metav1.NamespaceDefault}, {Kind: "Namespace", Name: system}, {Kind: "Namespace", Name: metav1.NamespacePublic},
		{Kind: "Namespace", Name: "kube-node-lease"},
		{Kind: "Service", Namespace: metav1.NamespaceDefault, Name: "kubernetes"},
		{Kind: "ConfigMap", Namespace: metav1.NamespacePublic, Name: "cluster-info"},
	}
	for _, name := range []string{"kubeadm-config", "kubelet-config", "extension-apiserver-authentication"} {
		out = append(out, ID{Kind: "ConfigMap", Namespace: system, Name: name})
	}
	all := KubeProxy(KubeProxySettings{})
	for _, more := range []func() ([]runtime.Object, error){
		func() ([]runtime.Object, error) { return Flannel(FlannelSettings{}) },
		func() ([]runtime.Object, error) {
			return CoreDNS(CoreDNSSettings{Domain: "cluster.local", ClusterIP: "10.96.0.10"})
		},
	} {
		objects, err := more()
		if err != nil {
			panic(err) // they are made of plain text
		}
		all = append(all, objects...)
	}
	for _, o := range all {
		out = append(out, New(o).ID())
	}
	return out
})
