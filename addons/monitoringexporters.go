package addons

import (
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// nodeExporter tells of the hosts. It is in their network, as the interfaces and ports that count are theirs, but not among their processes, and reads their
// files as nobody.
func nodeExporter(e Env) []runtime.Object {
	const ns, name = monitoringNamespace, "node-exporter"
	labels := named(name)
	account := serviceAccount(ns, name)
	into := corev1.MountPropagationHostToContainer
	return []runtime.Object{
		account,
		headless(name, labels, port("metrics", 9100, "metrics")),
		daemonSet(ns, name, labels, "", corev1.PodSpec{
			ServiceAccountName: name, AutomountServiceAccountToken: new(false), HostNetwork: true, PriorityClassName: "system-node-critical",
			NodeSelector: linux(), Tolerations: everywhere(),
			Containers: []corev1.Container{{
				Name: name, Image: e.Image(name), ImagePullPolicy: corev1.PullIfNotPresent,
				Args: []string{
					"--web.listen-address=$(NODE_IP):9100", "--path.sysfs=/host/sys", "--path.rootfs=/host/root", "--path.udev.data=/host/root/run/udev/data",
					"--no-collector.wifi", "--no-collector.timex", // which only root may ask
					"--collector.filesystem.mount-points-exclude=^/(dev|proc|sys|run|var/lib/(containerd|docker|kubelet)/.+)($|/)",
					"--collector.netclass.ignored-devices=^(veth.+|cni.+)$", "--collector.netdev.device-exclude=^(veth.+|cni.+)$",
				},
				Env:             []corev1.EnvVar{fieldEnv("NODE_IP", "status.hostIP")},
				Ports:           []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9100, HostPort: 9100, Protocol: corev1.ProtocolTCP}},
				Resources:       requests("20m", "24Mi"),
				SecurityContext: locked(65534),
				ReadinessProbe:  httpProbe("/", "metrics", corev1.URISchemeHTTP, 2),
				VolumeMounts: []corev1.VolumeMount{
					{Name: "sys", MountPath: "/host/sys", ReadOnly: true, MountPropagation: &into},
					{Name: "root", MountPath: "/host/root", ReadOnly: true, MountPropagation: &into},
				},
			}},
			Volumes: []corev1.Volume{hostVolume("sys", "/sys", corev1.HostPathDirectory), hostVolume("root", "/", corev1.HostPathDirectory)},
		}),
	}
}

// told are the kinds that kube-state-metrics tells of, by their groups. Secrets and ConfigMaps are not among them: nobody reads them for a figure.
var told = map[string][]string{
	"": {"namespaces", "nodes", "persistentvolumeclaims", "persistentvolumes", "pods", "resourcequotas", "services"},

	"apps":              {"daemonsets", "deployments", "replicasets", "statefulsets"},
	"autoscaling":       {"horizontalpodautoscalers"},
	"batch":             {"cronjobs", "jobs"},
	"networking.k8s.io": {"ingresses"},
	"policy":            {"poddisruptionbudgets"},
	"storage.k8s.io":    {"storageclasses"},
}

// stateMetrics tells of the cluster's objects.
func stateMetrics(e Env) []runtime.Object {
	const ns, name = monitoringNamespace, "kube-state-metrics"
	labels := named(name)
	var kinds []string
	var rules []rbacv1.PolicyRule
	for _, group := range slices.Sorted(maps.Keys(told)) {
		kinds = append(kinds, told[group]...)
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: told[group], Verbs: []string{"list", "watch"}})
	}
	slices.Sort(kinds)
	return []runtime.Object{
		serviceAccount(ns, name),
		clusterRole("kubewright:"+name, rules...),
		clusterBinding("kubewright:"+name, "kubewright:"+name, ns, name),
		headless(name, labels, port("metrics", 8080, "metrics"), port("telemetry", 8081, "telemetry")),
		deployment(ns, name, labels, "", 1, appsv1.DeploymentStrategy{}, corev1.PodSpec{
			ServiceAccountName: name, NodeSelector: linux(),
			Containers: []corev1.Container{{
				Name: name, Image: e.Image(name), ImagePullPolicy: corev1.PullIfNotPresent,
				Args: []string{"--port=8080", "--telemetry-port=8081", "--resources=" + strings.Join(kinds, ",")},
				Ports: []corev1.ContainerPort{
					{Name: "metrics", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}, {Name: "telemetry", ContainerPort: 8081, Protocol: corev1.ProtocolTCP},
				},
				Resources:       requests("10m", "48Mi"),
				SecurityContext: locked(65534),
				LivenessProbe:   httpProbe("/livez", "metrics", corev1.URISchemeHTTP, 10),
				ReadinessProbe:  httpProbe("/readyz", "telemetry", corev1.URISchemeHTTP, 2),
			}},
		}),
	}
}

// prometheusAccess is what Prometheus may do: find what there is to ask, and ask it. It reads no object but these.
func prometheusAccess() []runtime.Object {
	const role = "kubewright:prometheus"
	return []runtime.Object{
		serviceAccount(monitoringNamespace, prometheusName),
		clusterRole(role,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes", "pods", "services"}, Verbs: []string{"get", "list", "watch"}},
			rbacv1.PolicyRule{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch"}},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes/metrics"}, Verbs: []string{"get"}},
			rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}),
		clusterBinding(role, role, monitoringNamespace, prometheusName),
	}
}
