package phases

import (
	"slices"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/bundle"
)

// needed are the phases that a component is there for. What is not among them is for people, for tests and for comparison.
var needed = map[string]map[string]string{
	bundle.KindFile: {
		"registry": "registry", "kubelet": "binaries", "crictl": "tools", "runc": "binaries", "containerd": "binaries",
		"containerd-shim-runc-v2": "binaries", "ctr": "binaries", "cri-dockerd": "binaries", "kubectl": "tools",
		"bridge": "binaries", "loopback": "binaries", "host-local": "binaries", "portmap": "binaries", "firewall": "binaries", "bandwidth": "binaries",
		"tuning": "binaries", "flannel": "binaries",
	},
	bundle.KindImage: {
		"pause": "images", "etcd": "control-plane", "kube-apiserver": "control-plane", "kube-controller-manager": "controllers",
		"kube-scheduler": "controllers", "kube-proxy": "cluster", "flannel": "cluster", "coredns": "dns",
	},
}

// NeededBy are the phase or the addons that a component is there for.
func NeededBy(c bundle.Component) (by []string) {
	kind := c.Kind
	if kind == bundle.KindGzip {
		kind = bundle.KindImage
	}
	if phase := needed[kind][c.Name]; phase != "" {
		by = append(by, phase)
	}
	for _, a := range addons.Catalogue() {
		if kind == bundle.KindImage && slices.Contains(a.Images, c.Name) {
			by = append(by, AddonTarget(a.Name))
		}
	}
	return by
}
