package phases

import (
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeproxyv1 "k8s.io/kube-proxy/config/v1alpha1"
	"sigs.k8s.io/yaml"
)

// ProxyMode is the mode kube-proxy will run in, decided by what the nodes' kernels can do, before anything starts: in ipvs mode
// kube-proxy has no fallback of its own and exits where a module is missing. The second result says why it is not what
// was asked for, or is empty.
func ProxyMode(c *inventory.Cluster, facts map[string]agent.Facts) (mode, why string) {
	asked := c.Spec.KubeProxy.Mode
	if asked != "ipvs" {
		return asked, ""
	}
	var lack []string
	for _, h := range c.Nodes() {
		for _, m := range []string{"ip_vs", "ip_vs_rr", "ip_set"} {
			if facts[h.Name].Modules[m] == "" {
				lack = append(lack, h.Name+" has no "+m)
			}
		}
	}
	if len(lack) == 0 {
		return "ipvs", ""
	}
	mode = c.Spec.KubeProxy.Fallback
	return mode, fmt.Sprintf("kube-proxy runs in %s mode, not ipvs: %s", mode, strings.Join(lack, ", "))
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
