package addons

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubewright/kubewright/inventory"
)

var metricsServer = Addon{
	Name: inventory.AddonMetricsServer, Short: "kubectl top and the HorizontalPodAutoscaler see what pods use",
	Images: []string{"metrics-server"},
	Make: func(e Env) (Parts, error) {
		return Parts{
			Objects: metricsObjects(e.Image("metrics-server")),
			Secrets: []Member{
				TLSSecret{Namespace: metav1.NamespaceSystem, Name: "metrics-server-tls", Request: serviceCertificate("metrics-server", metav1.NamespaceSystem)},
				Aggregated{Group: "metrics.k8s.io", Version: "v1beta1", Namespace: metav1.NamespaceSystem, Service: "metrics-server"},
			},
			Ready: append(rolledOut("Deployment", metav1.NamespaceSystem, "metrics-server"),
				Ready{Kind: "APIService", Name: "v1beta1.metrics.k8s.io", Within: addonWithin, OK: true}),
		}, nil
	},
}

// metricsObjects are metrics-server's. It verifies the kubelets' certificates, which the cluster's own authority has signed, by what every pod knows of it;
// and the API server verifies it in the same way.
func metricsObjects(image string) []runtime.Object {
	const ns, name = metav1.NamespaceSystem, "metrics-server"
	labels := map[string]string{"k8s-app": name}
	spec := corev1.PodSpec{
		ServiceAccountName: name, PriorityClassName: "system-cluster-critical", NodeSelector: linux(),
		Containers: []corev1.Container{{
			Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
			Args: []string{
				"--tls-cert-file=/tls/tls.crt", "--tls-private-key-file=/tls/tls.key", "--secure-port=10250", "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
				"--kubelet-use-node-status-port", "--metric-resolution=15s", "--kubelet-certificate-authority=" + clusterCA,
			},
			Ports:           []corev1.ContainerPort{{Name: "https", ContainerPort: 10250, Protocol: corev1.ProtocolTCP}},
			Resources:       requests("50m", "70Mi"),
			SecurityContext: locked(1000),
			LivenessProbe:   httpProbe("/livez", "https", corev1.URISchemeHTTPS, 10),
			ReadinessProbe:  httpProbe("/readyz", "https", corev1.URISchemeHTTPS, 2),
			VolumeMounts:    []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}, {Name: "tls", MountPath: "/tls", ReadOnly: true}},
		}},
		Volumes: []corev1.Volume{emptyVolume("tmp"), secretVolume("tls", "metrics-server-tls")},
	}
	zero := intstr.FromInt32(0)
	reader := clusterRole("system:aggregated-metrics-reader", rbacv1.PolicyRule{
		APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"pods", "nodes"}, Verbs: []string{"get", "list", "watch"},
	})
	reader.Labels = map[string]string{
		"rbac.authorization.k8s.io/aggregate-to-admin": "true", "rbac.authorization.k8s.io/aggregate-to-edit": "true", "rbac.authorization.k8s.io/aggregate-to-view": "true",
	}
	return []runtime.Object{
		serviceAccount(ns, name), reader,
		clusterRole("system:metrics-server",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes/metrics"}, Verbs: []string{"get"}},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "nodes"}, Verbs: []string{"get", "list", "watch"}}),
		clusterBinding("system:metrics-server", "system:metrics-server", ns, name),
		clusterBinding("metrics-server:system:auth-delegator", "system:auth-delegator", ns, name),
		binding(ns, "metrics-server-auth-reader", "Role", "extension-apiserver-authentication-reader", ns, name),
		service(ns, name, labels, port("https", 443, "https")),
		deployment(ns, name, labels, "", 1, appsv1.DeploymentStrategy{
			Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &zero},
		}, spec),
	}
}
