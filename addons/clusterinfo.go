package addons

import (
	"context"

	"github.com/kubewright/kubewright/ops"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ClusterInfo is kubeadm's cluster-info ConfigMap: where the API server is and which authority its certificate comes from. The
// authority is known only once the cluster is there, so the object is made when it is looked at.
type ClusterInfo struct {
	Server string `json:"server"`
	Absent bool   `json:"absent,omitempty"`
	Was    string `json:"was,omitempty"` // in observations: what it says now, where that is something else
}

// Key is the key of the ConfigMap.
func (ClusterInfo) Key() ops.Key { return "object:ConfigMap/kube-public/cluster-info" }

func (c ClusterInfo) absent() ops.Op { c.Absent = true; return c }

// Observe compares the ConfigMap with what the connection itself was verified by.
func (c ClusterInfo) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	o, err := c.object(m)
	if err != nil {
		return nil, err
	}
	absent, was, err := o.compare(ctx, m)
	switch {
	case err != nil:
		return nil, err
	case absent:
		return c.absent(), nil
	case c.Absent:
		c.Absent = false
	default:
		c.Was = was
	}
	return c, nil
}

// Set applies the ConfigMap.
func (c ClusterInfo) Set(ctx context.Context, m ops.Machine, was ops.Op) error {
	o, err := c.object(m)
	if err != nil {
		return err
	}
	o.Absent = c.Absent
	return o.Set(ctx, m, was)
}

func (c ClusterInfo) object(m ops.Machine) (Object, error) {
	a, err := api(m)
	if err != nil {
		return Object{}, err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[""] = &clientcmdapi.Cluster{Server: c.Server, CertificateAuthorityData: a.config.CAData}
	raw, err := clientcmd.Write(*config)
	if err != nil {
		return Object{}, err
	}
	return New(&corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: "cluster-info", Namespace: metav1.NamespacePublic},
		Data:       map[string]string{"kubeconfig": string(raw)},
	}), nil
}
