package addons

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	operatorName        = "prometheus-operator"
	operatorDefinitions = "prometheus-operator-crds"
	operatorGroup       = "monitoring.coreos.com"
)

// operatorKinds are the kinds of objects that the operator looks after here. It has more, for which the bundle has no image.
var operatorKinds = []string{"Alertmanager", "AlertmanagerConfig", "PodMonitor", "Probe", "Prometheus", "PrometheusRule", "ScrapeConfig", "ServiceMonitor"}

// operatedPrometheus has the operator run Prometheus and Alertmanager. Whoever wants more to be watched makes objects of its kinds, in any namespace.
func operatedPrometheus(e Env) (Parts, error) {
	definitions, err := decode(string(e.File(operatorDefinitions)))
	if err != nil {
		return Parts{}, fmt.Errorf("the bundle's %s: %w", operatorDefinitions, err)
	}
	var parts Parts
	for _, d := range definitions {
		if kind, _, _ := unstructured.NestedString(d.Object, "spec", "names", "kind"); slices.Contains(operatorKinds, kind) {
			parts.Objects = append(parts.Objects, d)
		}
	}
	if len(parts.Objects) != len(operatorKinds) {
		return Parts{}, fmt.Errorf("the bundle's %s defines %d of %d kinds", operatorDefinitions, len(parts.Objects), len(operatorKinds))
	}
	parts.Objects = append(parts.Objects, operator(e)...)
	parts.Objects = append(parts.Objects, operated(e)...)
	parts.Ready = append(rolledOut("Deployment", monitoringNamespace, operatorName), rolledOut("StatefulSet", monitoringNamespace, "prometheus-k8s", "alertmanager-main")...)
	return parts, nil
}

// operator runs Prometheus and Alertmanager in its own namespace alone: elsewhere it only reads what is to be watched. What else it makes is in that
// namespace as well, and goes with it.
func operator(e Env) []runtime.Object {
	const ns, name = monitoringNamespace, operatorName
	labels := named(name)
	read := []string{"get", "list", "watch"}
	write := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	ofGroup := func(verbs []string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{operatorGroup}, Resources: resources, Verbs: verbs}
	}
	return []runtime.Object{
		serviceAccount(ns, name),
		clusterRole("kubewright:"+name,
			ofGroup(read, "podmonitors", "probes", "prometheusrules", "scrapeconfigs", "servicemonitors"),
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces", "nodes"}, Verbs: read},
			rbacv1.PolicyRule{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}}),
		clusterBinding("kubewright:"+name, "kubewright:"+name, ns, name),
		role(ns, name,
			ofGroup(read, "alertmanagers", "alertmanagerconfigs", "prometheuses"),
			ofGroup([]string{"update", "patch"}, "alertmanagers/status", "alertmanagers/finalizers", "prometheuses/status", "prometheuses/finalizers"),
			rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"statefulsets"}, Verbs: write},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps", "secrets", "services"}, Verbs: write},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services/finalizers"}, Verbs: []string{"update"}},
			rbacv1.PolicyRule{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: write},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "delete"}}),
		binding(ns, name, "Role", name, ns, name),
		headless(name, labels, port("http", 8080, "http")),
		deployment(ns, name, labels, "", 1, appsv1.DeploymentStrategy{}, corev1.PodSpec{
			ServiceAccountName: name, NodeSelector: linux(),
			Containers: []corev1.Container{{
				Name: name, Image: e.Image(name), ImagePullPolicy: corev1.PullIfNotPresent,
				Args: []string{
					"--kubelet-service=" + ns + "/kubelet", "--kubelet-endpoints=false", "--kubelet-endpointslice=true", "--kubelet-http-metrics=false",
					"--prometheus-config-reloader=" + e.Image("prometheus-config-reloader"), "--config-reloader-cpu-request=5m", "--config-reloader-memory-request=16Mi",
					"--config-reloader-cpu-limit=0", "--config-reloader-memory-limit=0",
					"--prometheus-instance-namespaces=" + ns, "--alertmanager-instance-namespaces=" + ns, "--alertmanager-config-namespaces=" + ns,
					"--thanos-ruler-instance-namespaces=" + ns, "--localhost=127.0.0.1",
				},
				Ports:           []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
				Resources:       requests("20m", "64Mi"),
				SecurityContext: locked(65534),
				LivenessProbe:   httpProbe("/healthz", "http", corev1.URISchemeHTTP, 10),
				ReadinessProbe:  httpProbe("/healthz", "http", corev1.URISchemeHTTP, 1),
			}},
		}),
	}
}

// kind is an object of one of the operator's kinds.
func kind(version, kind, name string, spec map[string]any) runtime.Object {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": operatorGroup + "/" + version, "kind": kind, "metadata": map[string]any{"namespace": monitoringNamespace, "name": name}, "spec": spec,
	}}
}

// operated is what the operator is told.
func operated(e Env) []runtime.Object {
	m := e.Cluster.Spec.Addons.Monitoring
	all, nobody := map[string]any{}, map[string]any{"runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 65534, "runAsNonRoot": true, "seccompProfile": map[string]any{"type": "RuntimeDefault"}}
	asks := func(cpu, memory string) map[string]any {
		return map[string]any{"requests": map[string]any{"cpu": cpu, "memory": memory}}
	}
	prometheus, alertmanager := e.Image("prometheus"), e.Image("alertmanager")
	spec := map[string]any{
		"image": prometheus, "version": versionIn(prometheus, "2.42.0"), "replicas": 1, "serviceAccountName": prometheusName,
		"serviceDiscoveryRole": "EndpointSlice", "retention": m.Retention, "scrapeInterval": scrapeSeconds, "evaluationInterval": scrapeSeconds,
		"externalUrl":     fmt.Sprintf("http://%s:%d", e.Cluster.Door().String(), m.NodePort),
		"alerting":        map[string]any{"alertmanagers": []any{map[string]any{"namespace": monitoringNamespace, "name": alertmanagerName, "port": "web", "apiVersion": "v2"}}},
		"securityContext": nobody, "resources": asks("100m", "256Mi"),
		// The first answer counts: the operator's own probe looks every 15 seconds.
		"containers": []any{map[string]any{
			"name": "prometheus", "imagePullPolicy": "IfNotPresent",
			"startupProbe": map[string]any{"periodSeconds": 1, "failureThreshold": 900}, "readinessProbe": map[string]any{"periodSeconds": 2},
		}},
	}
	for _, what := range []string{"serviceMonitor", "podMonitor", "probe", "scrapeConfig", "rule"} {
		spec[what+"Selector"], spec[what+"NamespaceSelector"] = all, all
	}
	out := []runtime.Object{
		kind("v1", "Prometheus", "k8s", spec),
		kind("v1", "Alertmanager", "main", map[string]any{
			"image": alertmanager, "version": versionIn(alertmanager, "0.25.0"), "replicas": 1, "securityContext": nobody, "resources": asks("10m", "32Mi"),
			"serviceAccountName": alertmanagerName, "automountServiceAccountToken": false,
			"containers": []any{map[string]any{"name": "alertmanager", "readinessProbe": map[string]any{"initialDelaySeconds": 0, "periodSeconds": 1}}},
		}),
		serviceAccount(monitoringNamespace, alertmanagerName),
		front(alertmanagerName, 0, "web", 9093, map[string]string{labelName: "alertmanager", "alertmanager": "main"}),
	}
	for _, t := range targets(e.Cluster) {
		out = append(out, t.monitor())
	}
	out = append(out, kind("v1alpha1", "ScrapeConfig", annotatedJob, map[string]any{
		"kubernetesSDConfigs": []any{map[string]any{"role": "Pod"}}, "relabelings": relabels(relabel.operated, annotated...),
	}))
	for _, g := range ruleGroups(e.Cluster) {
		out = append(out, kind("v1", "PrometheusRule", "kubewright-"+g.Name, map[string]any{"groups": []any{g}}))
	}
	return out
}

// monitor is the target as an object of the operator's.
func (t target) monitor() runtime.Object {
	selector := map[string]any{"namespaceSelector": map[string]any{"matchNames": []string{t.Namespace}}, "selector": map[string]any{"matchLabels": t.Labels}}
	if t.Service == "" {
		selector["podMetricsEndpoints"] = []any{t.endpoint("")}
		return kind("v1", "PodMonitor", t.Job, selector)
	}
	paths := []string{""}
	if t.Kubelet {
		paths = kubeletPaths
	}
	var endpoints []any
	for _, path := range paths {
		endpoints = append(endpoints, t.endpoint(path))
	}
	selector["endpoints"] = endpoints
	return kind("v1", "ServiceMonitor", t.Job, selector)
}

func (t target) endpoint(path string) map[string]any {
	out := map[string]any{"port": t.Port}
	if path != "" {
		out["path"] = path
	}
	if t.HTTPS {
		tls := map[string]any{"caFile": clusterCA}
		if t.Name != "" {
			tls["serverName"] = t.Name
		}
		out["scheme"], out["tlsConfig"], out["bearerTokenFile"] = "https", tls, tokenFile
	}
	steps := t.calls("__meta_kubernetes_endpointslice_address_target_name")
	// What the operator adds of its own is not in the plain profile, or wrong where samples are about something else.
	added := "container|endpoint|service"
	if t.Foreign {
		added += "|namespace|pod"
		out["honorLabels"] = true
	}
	steps = append(steps, relabel{Regex: added, Action: "labeldrop"})
	out["relabelings"] = relabels(relabel.operated, steps...)
	out["metricRelabelings"] = relabels(relabel.operated, t.dropped()...)
	return out
}

var semver = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+)`)

// versionIn is the version in an image's tag, by which the operator knows what the program understands.
func versionIn(reference, otherwise string) string {
	name, _, _ := strings.Cut(reference, "@")
	if found := semver.FindStringSubmatch(name[strings.LastIndex(name, ":")+1:]); found != nil {
		return found[1]
	}
	return otherwise
}
