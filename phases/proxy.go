package phases

import (
	"fmt"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/preflight"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeproxyv1 "k8s.io/kube-proxy/config/v1alpha1"
	"sigs.k8s.io/yaml"
)

// ProxyMode is the mode kube-proxy will run in, by what the nodes' kernels can do. The second result says why it is not what was asked for, or is
// empty.
func ProxyMode(c *inventory.Cluster, facts map[string]agent.Facts) (mode, why string) {
	d := preflight.ProxyMode(c, facts)
	if !d.Fell() {
		return d.Mode, ""
	}
	return d.Mode, fmt.Sprintf("kube-proxy runs in %s mode, not %s: %s", d.Mode, d.Asked, d.Why)
}

// proxyConfig is kube-proxy's configuration, one for all nodes.
func proxyConfig(in Input) ([]byte, error) {
	mode, _ := ProxyMode(in.Cluster, in.Facts)
	k := &kubeproxyv1.KubeProxyConfiguration{
		TypeMeta:           metav1.TypeMeta{APIVersion: "kubeproxy.config.k8s.io/v1alpha1", Kind: "KubeProxyConfiguration"},
		BindAddress:        "0.0.0.0",
		MetricsBindAddress: "127.0.0.1:10249",
		ClusterCIDR:        in.Cluster.Spec.Network.PodCIDR.String(),
		Mode:               kubeproxyv1.ProxyMode(mode),
	}
	k.ClientConnection.Kubeconfig = "/var/lib/kube-proxy/kubeconfig.conf"
	if in.inContainer() {
		// The connection tracking table belongs to the machine below; kube-proxy must not size it.
		k.Conntrack = kubeproxyv1.KubeProxyConntrackConfiguration{
			MaxPerCore: new(int32(0)), Min: new(int32(0)),
			TCPEstablishedTimeout: &metav1.Duration{}, TCPCloseWaitTimeout: &metav1.Duration{},
		}
	}
	return yaml.Marshal(k)
}
