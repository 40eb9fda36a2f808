package addons

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// KubeProxySettings is what kube-proxy's objects are made from.
type KubeProxySettings struct {
	Image, Config, Server string
	Guard                 bool // somebody on a node deletes all rules of nftables at times: kube-proxy looks after its own only when Services change
}

// KubeProxy programs Services on every node. The objects are kubeadm's.
func KubeProxy(s KubeProxySettings) []runtime.Object {
	const ns, name = metav1.NamespaceSystem, "kube-proxy"
	labels := map[string]string{"k8s-app": name}
	kubeconfig := "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n" +
		"    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt\n    server: " + s.Server + "\n  name: default\n" +
		"contexts:\n- context:\n    cluster: default\n    namespace: default\n    user: default\n  name: default\ncurrent-context: default\n" +
		"users:\n- name: default\n  user:\n    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token\n"
	return []runtime.Object{
		serviceAccount(ns, name),
		clusterBinding("kubeadm:node-proxier", "system:node-proxier", ns, name),
		&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": name}},
			Data:       map[string]string{"config.conf": s.Config, "kubeconfig.conf": kubeconfig},
		},
		daemonSet(ns, name, labels, s.Config+kubeconfig, corev1.PodSpec{
			ServiceAccountName: name, HostNetwork: true, PriorityClassName: "system-node-critical",
			NodeSelector: linux(), Tolerations: everywhere(),
			Containers: []corev1.Container{{
				Name: name, Image: s.Image, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"/usr/local/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.conf", "--hostname-override=$(NODE_NAME)"},
				Env:     []corev1.EnvVar{fieldEnv("NODE_NAME", "spec.nodeName")},
				// It writes netfilter rules and sysctls.
				SecurityContext: &corev1.SecurityContext{Privileged: new(true)},
				LivenessProbe:   guard(s.Guard, "kube-proxy", "nat-prerouting"),
				VolumeMounts: []corev1.VolumeMount{
					{Name: "kube-proxy", MountPath: "/var/lib/kube-proxy"},
					{Name: "xtables-lock", MountPath: "/run/xtables.lock"},
					{Name: "lib-modules", MountPath: "/lib/modules", ReadOnly: true},
				},
			}},
			Volumes: []corev1.Volume{
				configVolume("kube-proxy", name),
				hostVolume("xtables-lock", "/run/xtables.lock", corev1.HostPathFileOrCreate),
				hostVolume("lib-modules", "/lib/modules", corev1.HostPathDirectoryOrCreate),
			},
		}),
	}
}

// guard has a container started anew, within ten seconds, where its chain of nftables is gone. It makes all of its rules when it starts.
func guard(needed bool, table, chain string) *corev1.Probe {
	if !needed {
		return nil
	}
	return &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"nft", "list", "chain", "ip", table, chain}}},
		InitialDelaySeconds: 10, PeriodSeconds: 5, FailureThreshold: 2, TimeoutSeconds: 10,
		TerminationGracePeriodSeconds: new(int64(5)),
	}
}

func roleRef(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

func clusterBinding(name, role, ns, account string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    roleRef("ClusterRole", role),
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: account}},
	}
}
