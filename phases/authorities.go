package phases

import (
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// Where keys and certificates lie: kubeadm's layout for the cluster's, a directory of our own for the registry's.
const (
	pkiDir         = "/etc/kubernetes/pki"
	registryPKI    = "/etc/kubewright/pki"
	registryCA     = registryPKI + "/registry-ca.crt"
	registryCAName = "registry"
)

// The cluster's authorities, by the names that certificates refer to them with.
const (
	KubernetesCA = "kubernetes"
	etcdCA       = "etcd"
	frontProxyCA = "front-proxy"
)

var authorities = engine.Phase[Input]{
	Name:  "authorities",
	Short: "mint the cluster's authorities",
	Long: "Makes the three CAs of a cluster (API, etcd, front proxy) and the key that signs service account tokens, on the first " +
		"control-plane host. Their keys never leave it. An authority that is there is kept for ever.",
	On: onAuthorityHost,
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		l.add("kubeadm's place for everything of the control plane", ops.Dir{Path: "/etc/kubernetes", Mode: 0o755, Owned: true})
		l.add("signs what clients, nodes and the API server show each other",
			ops.Authority{Name: KubernetesCA, Cert: pkiDir + "/ca.crt", KeyFile: pkiDir + "/ca.key", CommonName: "kubernetes"})
		l.add("a certificate for the API must not open etcd",
			ops.Authority{Name: etcdCA, Cert: pkiDir + "/etcd/ca.crt", KeyFile: pkiDir + "/etcd/ca.key", CommonName: "etcd-ca"})
		l.add("extension API servers believe only this authority's word on who a user is",
			ops.Authority{Name: frontProxyCA, Cert: pkiDir + "/front-proxy-ca.crt", KeyFile: pkiDir + "/front-proxy-ca.key", CommonName: "front-proxy-ca"})
		l.add("signs and checks service account tokens", ops.KeyPair{Private: pkiDir + "/sa.key", Public: pkiDir + "/sa.pub"})
		return l.done()
	},
}

// AuthorityHost is the host that holds an authority's key.
func AuthorityHost(c *inventory.Cluster, authority string) (inventory.Host, bool) {
	role := inventory.ControlPlane
	if authority == registryCAName {
		role = inventory.Registry
	}
	for _, h := range c.Spec.Hosts {
		if h.Has(role) {
			return h, true
		}
	}
	return inventory.Host{}, false
}

func onAuthorityHost(in Input) bool {
	h, ok := AuthorityHost(in.Cluster, KubernetesCA)
	return ok && in.Host.Name == h.Name
}

// trust is the certificate of an authority that lives on another host: compared where its host has told it, and asked
// for when it is written otherwise.
func trust(in Input, authority, path string) ops.Trust {
	h, _ := AuthorityHost(in.Cluster, authority)
	return ops.Trust{Name: authority, Path: path, PEM: authorityPEM(in.Facts[h.Name], authority)}
}

func authorityPEM(f agent.Facts, authority string) []byte { return []byte(f.Authorities[authority]) }
