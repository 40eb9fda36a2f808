package addons

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// FlannelSettings is what flannel's objects are made from.
type FlannelSettings struct {
	Image, PodCIDR, Backend string
	MTU                     int    // of the interface that carries the packets; 0: the interface's own, less what the backend adds
	APIHost, APIPort        string // the API server's own address: the Service for it works only once kube-proxy does
	NFTables                bool   // masquerade with nftables, as kube-proxy does, instead of iptables
	Guard                   bool   // somebody on a node deletes all rules of nftables at times: flannel never looks after its own
}

// Flannel gives every node a piece of the pod range and carries packets between them. Its CNI plugin and configuration are on the
// hosts already, so the pod is the daemon alone.
func Flannel(s FlannelSettings) ([]runtime.Object, error) {
	const ns, name = "kube-flannel", "flannel"
	labels := map[string]string{"app": name, "tier": "node"}
	backend := map[string]any{"Type": s.Backend}
	if s.MTU != 0 {
		backend["MTU"] = s.MTU
	}
	network, err := json.MarshalIndent(map[string]any{
		"Network": s.PodCIDR, "EnableNFTables": s.NFTables, "Backend": backend,
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	spec := corev1.PodSpec{
		ServiceAccountName: name, HostNetwork: true, PriorityClassName: "system-node-critical",
		NodeSelector: linux(), Tolerations: everywhere(),
		Containers: []corev1.Container{{
			Name: "kube-flannel", Image: s.Image, ImagePullPolicy: corev1.PullIfNotPresent,
			Command: []string{"/opt/bin/flanneld"},
			// The node's address in the inventory decides which interface carries the pods' packets.
			Args: []string{"--ip-masq", "--kube-subnet-mgr", "--iface=$(NODE_IP)"},
			Env: []corev1.EnvVar{
				fieldEnv("POD_NAME", "metadata.name"), fieldEnv("POD_NAMESPACE", "metadata.namespace"), fieldEnv("NODE_IP", "status.hostIP"),
				{Name: "EVENT_QUEUE_DEPTH", Value: "5000"},
				{Name: "KUBERNETES_SERVICE_HOST", Value: s.APIHost}, {Name: "KUBERNETES_SERVICE_PORT", Value: s.APIPort},
			},
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("50Mi"),
			}},
			SecurityContext: &corev1.SecurityContext{
				Privileged:   new(false),
				Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN", "NET_RAW"}},
			},
			LivenessProbe: guard(s.NFTables && s.Guard, "flannel-ipv4", "postrtg"),
			VolumeMounts: []corev1.VolumeMount{
				{Name: "run", MountPath: "/run/flannel"},
				{Name: "flannel-cfg", MountPath: "/etc/kube-flannel/"},
				{Name: "xtables-lock", MountPath: "/run/xtables.lock"},
			},
		}},
		Volumes: []corev1.Volume{
			hostVolume("run", "/run/flannel", corev1.HostPathDirectoryOrCreate),
			configVolume("flannel-cfg", "kube-flannel-cfg"),
			hostVolume("xtables-lock", "/run/xtables.lock", corev1.HostPathFileOrCreate),
		},
	}
	return []runtime.Object{
		&corev1.Namespace{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{
				"k8s-app": name, "pod-security.kubernetes.io/enforce": "privileged",
			}},
		},
		serviceAccount(ns, name),
		clusterRole(name,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list", "watch"}},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes/status"}, Verbs: []string{"patch"}}),
		clusterBinding(name, name, ns, name),
		&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "kube-flannel-cfg", Labels: labels},
			Data:       map[string]string{"net-conf.json": string(network)},
		},
		daemonSet(ns, "kube-flannel-ds", labels, string(network), spec),
	}, nil
}
