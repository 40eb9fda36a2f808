package addons

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/inventory"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// The names of the plain profile's pods are not those that the operator gives to its own: one may follow the other.
const (
	plainPrometheusName   = "prometheus"
	plainAlertmanagerName = "alertmanager"
)

func prometheusLabels(m inventory.Monitoring) map[string]string {
	if m.Profile == inventory.ProfilePlain {
		return named(plainPrometheusName)
	}
	return map[string]string{labelName: "prometheus", "prometheus": "k8s"}
}

// plainPrometheus is one Prometheus with one configuration. Its samples are gone with its pod: they are for looking, not for keeping.
func plainPrometheus(e Env) (Parts, error) {
	m := e.Cluster.Spec.Addons.Monitoring
	config, err := prometheusConfig(e.Cluster)
	if err != nil {
		return Parts{}, err
	}
	rules, err := yaml.Marshal(map[string]any{"groups": ruleGroups(e.Cluster)})
	if err != nil {
		return Parts{}, err
	}
	alertmanager, err := yaml.Marshal(map[string]any{
		"route": map[string]any{"receiver": "nobody", "group_by": []string{"namespace"}}, "receivers": []any{map[string]any{"name": "nobody"}},
	})
	if err != nil {
		return Parts{}, err
	}
	const ns = monitoringNamespace
	return Parts{
		Objects: []runtime.Object{
			textMap(plainPrometheusName, map[string]string{"prometheus.yml": string(config), "rules.yml": string(rules)}),
			statefulSet(plainPrometheusName, string(config)+string(rules), corev1.PodSpec{
				ServiceAccountName: prometheusName, NodeSelector: linux(), SecurityContext: &corev1.PodSecurityContext{FSGroup: new(int64(65534))},
				Containers: []corev1.Container{{
					Name: "prometheus", Image: e.Image("prometheus"), ImagePullPolicy: corev1.PullIfNotPresent,
					Args: []string{
						"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus", "--storage.tsdb.retention.time=" + m.Retention,
						fmt.Sprintf("--web.external-url=http://%s:%d", e.Cluster.Door().String(), m.NodePort),
					},
					Ports:           []corev1.ContainerPort{{Name: "web", ContainerPort: 9090, Protocol: corev1.ProtocolTCP}},
					Resources:       requests("100m", "256Mi"),
					SecurityContext: locked(65534),
					LivenessProbe:   httpProbe("/-/healthy", "web", corev1.URISchemeHTTP, 10),
					ReadinessProbe:  httpProbe("/-/ready", "web", corev1.URISchemeHTTP, 1),
					VolumeMounts:    []corev1.VolumeMount{{Name: "config", MountPath: "/etc/prometheus", ReadOnly: true}, {Name: "data", MountPath: "/prometheus"}},
				}},
				Volumes: []corev1.Volume{configVolume("config", plainPrometheusName), emptyVolume("data")},
			}),
			serviceAccount(ns, alertmanagerName),
			textMap(plainAlertmanagerName, map[string]string{"alertmanager.yml": string(alertmanager)}),
			front(alertmanagerName, 0, "web", 9093, named(plainAlertmanagerName)),
			statefulSet(plainAlertmanagerName, string(alertmanager), corev1.PodSpec{
				ServiceAccountName: alertmanagerName, AutomountServiceAccountToken: new(false), NodeSelector: linux(),
				SecurityContext: &corev1.PodSecurityContext{FSGroup: new(int64(65534))},
				Containers: []corev1.Container{{
					Name: "alertmanager", Image: e.Image("alertmanager"), ImagePullPolicy: corev1.PullIfNotPresent,
					Args:            []string{"--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager", "--cluster.listen-address="},
					Ports:           []corev1.ContainerPort{{Name: "web", ContainerPort: 9093, Protocol: corev1.ProtocolTCP}},
					Resources:       requests("10m", "32Mi"),
					SecurityContext: locked(65534),
					LivenessProbe:   httpProbe("/-/healthy", "web", corev1.URISchemeHTTP, 10),
					ReadinessProbe:  httpProbe("/-/ready", "web", corev1.URISchemeHTTP, 1),
					VolumeMounts:    []corev1.VolumeMount{{Name: "config", MountPath: "/etc/alertmanager", ReadOnly: true}, {Name: "data", MountPath: "/alertmanager"}},
				}},
				Volumes: []corev1.Volume{configVolume("config", plainAlertmanagerName), emptyVolume("data")},
			}),
		},
		Ready: rolledOut("StatefulSet", ns, plainPrometheusName, plainAlertmanagerName),
	}, nil
}

func statefulSet(name, reads string, spec corev1.PodSpec) *appsv1.StatefulSet {
	labels := named(name)
	return &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "StatefulSet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: monitoringNamespace, Name: name, Labels: labels},
		Spec: appsv1.StatefulSetSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels}, PodManagementPolicy: appsv1.ParallelPodManagement,
			Template: podTemplate(labels, reads, spec),
		},
	}
}

const tokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// prometheusConfig is prometheus.yml.
func prometheusConfig(c *inventory.Cluster) ([]byte, error) {
	var jobs []any
	for _, t := range targets(c) {
		paths := []string{""}
		if t.Kubelet {
			paths = kubeletPaths
		}
		for _, path := range paths {
			jobs = append(jobs, t.scrape(path))
		}
	}
	jobs = append(jobs, map[string]any{
		"job_name": annotatedJob, "kubernetes_sd_configs": []any{map[string]any{"role": "pod"}}, "relabel_configs": relabels(relabel.plain, annotated...),
	})
	return yaml.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": scrapeSeconds, "evaluation_interval": scrapeSeconds},
		"rule_files":     []string{"/etc/prometheus/rules.yml"},
		"alerting":       map[string]any{"alertmanagers": []any{map[string]any{"static_configs": []any{map[string]any{"targets": []string{alertmanagerName + "." + monitoringNamespace + ".svc:9093"}}}}}},
		"scrape_configs": jobs,
	})
}

// scrape is the target as a job of prometheus.yml.
func (t target) scrape(path string) map[string]any {
	job := map[string]any{"job_name": t.Job}
	if path != "" && path != kubeletPaths[0] {
		job["job_name"], job["metrics_path"] = t.Job+path, path
	}
	if t.HTTPS {
		tls := map[string]any{"ca_file": clusterCA}
		if t.Name != "" {
			tls["server_name"] = t.Name
		}
		job["scheme"], job["tls_config"], job["authorization"] = "https", tls, map[string]any{"credentials_file": tokenFile}
	}
	if t.Foreign {
		job["honor_labels"] = true
	}
	role := "endpointslice"
	var found []relabel
	switch {
	case t.Kubelet:
		role = "node"
	case t.Service == "":
		role = "pod"
		for _, key := range slices.Sorted(maps.Keys(t.Labels)) {
			found = append(found, relabel{Source: []string{"__meta_kubernetes_pod_label_" + inMeta.Replace(key)}, Regex: t.Labels[key], Action: "keep"})
		}
		found = append(found, relabel{Source: []string{"__meta_kubernetes_pod_container_port_name"}, Regex: t.Port, Action: "keep"})
	default:
		found = append(found, relabel{
			Source: []string{"__meta_kubernetes_service_name", "__meta_kubernetes_endpointslice_port_name"}, Regex: t.Service + ";" + t.Port, Action: "keep",
		})
	}
	discovery := map[string]any{"role": role}
	if !t.Kubelet {
		discovery["namespaces"] = map[string]any{"names": []string{t.Namespace}}
	}
	job["kubernetes_sd_configs"] = []any{discovery}
	job["relabel_configs"] = relabels(relabel.plain, append(found, t.calls("__meta_kubernetes_node_name")...)...)
	job["metric_relabel_configs"] = relabels(relabel.plain, t.dropped()...)
	return job
}

// inMeta turns a label's key into what Prometheus makes of it in the names of its own labels.
var inMeta = strings.NewReplacer(".", "_", "/", "_", "-", "_")
