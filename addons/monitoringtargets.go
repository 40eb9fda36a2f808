package addons

import (
	"github.com/kubewright/kubewright/inventory"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// target is something that Prometheus asks. Both profiles are made from the same list, so that its samples bear the same labels in both, and one set of rules
// and dashboards fits.
type target struct {
	Job       string
	Namespace string
	Service   string            // whose endpoints it asks; none: the pods themselves
	Labels    map[string]string // the Service's or the pods'
	Kubelet   bool              // every node's, at three paths
	Port      string
	HTTPS     bool   // by the cluster's authority, with Prometheus' own token
	Name      string // that the certificate has to be for, where it is not the address
	PerNode   bool   // one a node: its instance is the node
	Foreign   bool   // its samples bear labels of what they are about: those of the pod that tells them would only confuse
	Drop      string // samples that nobody looks at, as a regular expression on their names
}

// scrapeSeconds is how often everything is asked.
const scrapeSeconds = "30s"

// targets are what a cluster has to be asked.
func targets(c *inventory.Cluster) []target {
	const ns, system = monitoringNamespace, metav1.NamespaceSystem
	m, other := c.Spec.Addons.Monitoring, c.Spec.Addons
	out := []target{
		{Job: "apiserver", Namespace: metav1.NamespaceDefault, Service: "kubernetes", Labels: map[string]string{"component": "apiserver"}, Port: "https", HTTPS: true, Name: "kubernetes",
			Drop: "apiserver_request_(body_size_bytes|sli_duration_seconds)_bucket|apiserver_(response_sizes|watch_events_sizes)_bucket|" +
				"(etcd_request|apiserver_(admission|flowcontrol|watch_list|watch_cache)).*_bucket|workqueue_.*_bucket|rest_client_.*_bucket"},
		{Job: "kubelet", Namespace: ns, Service: "kubelet", Labels: named("kubelet"), Kubelet: true, Port: "https-metrics", HTTPS: true, PerNode: true, Foreign: true,
			Drop: "container_(tasks_state|memory_failures_total|memory_failcnt|last_seen|ulimits_soft|blkio_.*|fs_.*_seconds_total|spec_.*|pressure_.*)|" +
				"(kubelet_runtime_operations|kubelet_cgroup_manager|storage_operation|rest_client|kubelet_http_requests|csi_operations|workqueue|prober)_.*_bucket"},
		{Job: "node-exporter", Namespace: ns, Service: "node-exporter", Labels: named("node-exporter"), Port: "metrics", PerNode: true},
		{Job: "kube-state-metrics", Namespace: ns, Service: "kube-state-metrics", Labels: named("kube-state-metrics"), Port: "metrics", Foreign: true},
		{Job: "coredns", Namespace: system, Service: "kube-dns", Labels: map[string]string{"k8s-app": "kube-dns"}, Port: "metrics"},
		{Job: "prometheus", Namespace: ns, Service: prometheusName, Labels: named(prometheusName), Port: "web"},
		{Job: "alertmanager", Namespace: ns, Service: alertmanagerName, Labels: named(alertmanagerName), Port: "web"},
	}
	if m.Profile != inventory.ProfilePlain {
		out = append(out, target{Job: "prometheus-operator", Namespace: ns, Service: operatorName, Labels: named(operatorName), Port: "http"})
	}
	if *m.ControlPlane {
		for _, p := range proxies {
			out = append(out, target{Job: p.Job, Namespace: ns, Service: p.Set, Labels: named(p.Set), Port: p.PortName, HTTPS: true, Name: proxyCertificate + "." + ns + ".svc", PerNode: true, Drop: p.Drop})
		}
	}
	if other.MetricsServer.Enabled {
		out = append(out, target{Job: "metrics-server", Namespace: system, Service: "metrics-server", Labels: map[string]string{"k8s-app": "metrics-server"}, Port: "https", HTTPS: true, Name: "metrics-server." + system + ".svc"})
	}
	if other.Ingress.Enabled {
		out = append(out, target{Job: "traefik", Namespace: traefikNamespace, Labels: named("traefik"), Port: "traefik"})
	}
	return out
}

// relabel is a step of how Prometheus finds what to ask and calls it, in the words of its own configuration.
type relabel struct {
	Source      []string
	Separator   string
	Regex       string
	Target      string
	Replacement string
	Action      string
}

// plain is the step in prometheus.yml, and operated in the operator's objects.
func (r relabel) plain() map[string]any    { return r.words("source_labels", "target_label") }
func (r relabel) operated() map[string]any { return r.words("sourceLabels", "targetLabel") }

func (r relabel) words(source, target string) map[string]any {
	out := map[string]any{}
	for key, value := range map[string]string{"separator": r.Separator, "regex": r.Regex, target: r.Target, "replacement": r.Replacement, "action": r.Action} {
		if value != "" {
			out[key] = value
		}
	}
	if len(r.Source) > 0 {
		var all []any
		for _, s := range r.Source {
			all = append(all, s)
		}
		out[source] = all
	}
	return out
}

func relabels(as func(relabel) map[string]any, all ...relabel) []any {
	var out []any
	for _, r := range all {
		out = append(out, as(r))
	}
	return out
}

// calls are what a target's samples are called by, besides what finds it: the same in both profiles. A kubelet's node is known by a label that they do not share.
func (t target) calls(kubeletNode string) []relabel {
	out := []relabel{{Target: "job", Replacement: t.Job}}
	node := "__meta_kubernetes_pod_node_name"
	switch {
	case t.Kubelet:
		node = kubeletNode
		out = append(out, relabel{Source: []string{"__metrics_path__"}, Target: "metrics_path"})
	case !t.Foreign:
		out = append(out, relabel{Source: []string{"__meta_kubernetes_namespace"}, Target: "namespace"}, relabel{Source: []string{"__meta_kubernetes_pod_name"}, Target: "pod"})
	}
	if t.Kubelet || !t.Foreign {
		out = append(out, relabel{Source: []string{node}, Target: "node"})
	}
	if t.PerNode {
		out = append(out, relabel{Source: []string{node}, Regex: "(.+)", Target: "instance"})
	}
	return out
}

// dropped is what becomes of the samples that nobody looks at.
func (t target) dropped() []relabel {
	drop := "kubernetes_feature_enabled"
	if t.Drop != "" {
		drop += "|" + t.Drop
	}
	return []relabel{{Source: []string{"__name__"}, Regex: drop, Action: "drop"}}
}

// kubeletPaths are where a kubelet tells of itself, of containers and of probes.
var kubeletPaths = []string{"/metrics", "/metrics/cadvisor", "/metrics/probes"}

// annotated are the pods that say themselves that they want to be asked, as the field has it.
const annotatedJob = "annotated-pods"

var annotated = []relabel{
	{Source: []string{"__meta_kubernetes_pod_annotation_prometheus_io_scrape"}, Regex: "true", Action: "keep"},
	{Source: []string{"__meta_kubernetes_pod_phase"}, Regex: "Pending|Succeeded|Failed", Action: "drop"},
	{Source: []string{"__meta_kubernetes_pod_annotation_prometheus_io_scheme"}, Regex: "(https?)", Target: "__scheme__"},
	{Source: []string{"__meta_kubernetes_pod_annotation_prometheus_io_path"}, Regex: "(.+)", Target: "__metrics_path__"},
	{Source: []string{"__meta_kubernetes_pod_ip", "__meta_kubernetes_pod_annotation_prometheus_io_port"}, Separator: ":", Regex: "(.+:[0-9]+)", Target: "__address__"},
	{Target: "job", Replacement: annotatedJob},
	{Source: []string{"__meta_kubernetes_namespace"}, Target: "namespace"},
	{Source: []string{"__meta_kubernetes_pod_name"}, Target: "pod"},
	{Source: []string{"__meta_kubernetes_pod_node_name"}, Target: "node"},
}
