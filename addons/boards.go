package addons

import (
	"encoding/json"
	"strings"

	"github.com/kubewright/kubewright/inventory"
)

// Query is what one panel of a dashboard asks Prometheus.
type Query struct{ Dashboard, Panel, Expr string }

// DashboardQueries are all that the dashboards for a cluster ask, whether Grafana shows them or not.
func DashboardQueries(e Env) []Query {
	var out []Query
	for _, d := range boards(e.Cluster) {
		for _, p := range d.Panels {
			out = append(out, Query{d.Title, p.Title, p.Expr})
		}
	}
	return out
}

type board struct {
	Title  string
	Panels []panel
}

// panel shows the answer to one query: as lines over time, or as one figure where Legend is empty.
type panel struct{ Title, Unit, Expr, Legend string }

// boards are about what the cluster has.
func boards(c *inventory.Cluster) []board {
	out := []board{clusterBoard, nodesBoard, workloadsBoard, dnsBoard}
	if *c.Spec.Addons.Monitoring.ControlPlane {
		out = append(out, controlPlaneBoard)
	}
	if c.Spec.Addons.Ingress.Enabled {
		out = append(out, ingressBoard)
	}
	return out
}

var clusterBoard = board{"Cluster", []panel{
	{"Nodes that are Ready", "short", `sum(kube_node_status_condition{condition="Ready", status="true"})`, ""},
	{"Pods that run", "short", `sum(kube_pod_status_phase{phase="Running"})`, ""},
	{"Targets that are down", "short", `count(up == 0) or vector(0)`, ""},
	{"Alerts", "short", `count(ALERTS{alertstate="firing", alertname!="Watchdog"}) or vector(0)`, ""},
	{"CPU used", "percentunit", `avg(node:cpu_used:ratio)`, ""},
	{"Memory used", "percentunit", `avg(node:memory_used:ratio)`, ""},
	{"CPU asked for, of what nodes have", "percentunit", `sum(kube_pod_container_resource_requests{resource="cpu"}) / sum(kube_node_status_allocatable{resource="cpu"})`, ""},
	{"Memory asked for, of what nodes have", "percentunit", `sum(kube_pod_container_resource_requests{resource="memory"}) / sum(kube_node_status_allocatable{resource="memory"})`, ""},
	{"CPU by namespace", "short", `sum by (namespace) (pod:cpu_used:rate5m)`, "{{namespace}}"},
	{"Memory by namespace", "bytes", `sum by (namespace) (pod:memory_used:bytes)`, "{{namespace}}"},
	{"Pods by phase", "short", `sum by (phase) (kube_pod_status_phase)`, "{{phase}}"},
	{"Pods by node", "short", `count by (node) (kube_pod_info)`, "{{node}}"},
}}

var nodesBoard = board{"Nodes", []panel{
	{"CPU", "percentunit", `node:cpu_used:ratio`, "{{node}}"},
	{"Load, of one minute", "short", `sum by (node) (node_load1)`, "{{node}}"},
	{"Memory", "percentunit", `node:memory_used:ratio`, "{{node}}"},
	{"Disks, how full", "percentunit", `node:filesystem_used:ratio`, "{{node}} {{device}}"},
	{"Disks, how busy", "percentunit", `sum by (node, device) (rate(node_disk_io_time_seconds_total[5m]))`, "{{node}} {{device}}"},
	{"Network, received", "Bps", `node:network_received_bytes:rate5m`, "{{node}}"},
	{"Network, sent", "Bps", `node:network_sent_bytes:rate5m`, "{{node}}"},
	{"Clock, how far from Prometheus'", "s", `node_time_seconds - timestamp(node_time_seconds)`, "{{node}}"},
}}

var workloadsBoard = board{"Workloads", []panel{
	{"CPU by pod", "short", `topk(15, pod:cpu_used:rate5m)`, "{{namespace}}/{{pod}}"},
	{"Memory by pod", "bytes", `topk(15, pod:memory_used:bytes)`, "{{namespace}}/{{pod}}"},
	{"Restarts within an hour", "short", `sum by (namespace, pod) (increase(kube_pod_container_status_restarts_total[1h]))`, "{{namespace}}/{{pod}}"},
	{"Network received by pod", "Bps", `topk(15, sum by (namespace, pod) (rate(container_network_receive_bytes_total{namespace!=""}[5m])))`, "{{namespace}}/{{pod}}"},
	{"Deployments, pods available", "short", `kube_deployment_status_replicas_available`, "{{namespace}}/{{deployment}}"},
	{"DaemonSets, pods ready", "short", `kube_daemonset_status_number_ready`, "{{namespace}}/{{daemonset}}"},
	{"Containers that wait", "short", `sum by (namespace, pod, reason) (kube_pod_container_status_waiting_reason) or vector(0)`, "{{namespace}}/{{pod}} {{reason}}"},
}}

var dnsBoard = board{"CoreDNS", []panel{
	{"Questions", "reqps", `sum by (type) (rate(coredns_dns_requests_total[5m])) or vector(0)`, "{{type}}"},
	{"Answers", "reqps", `sum by (rcode) (rate(coredns_dns_responses_total[5m])) or vector(0)`, "{{rcode}}"},
	{"Errors", "percentunit", `coredns:errors:ratio`, ""},
	{"Time to answer, 99 of 100", "s", `histogram_quantile(0.99, sum by (le) (rate(coredns_dns_request_duration_seconds_bucket[5m]))) >= 0 or vector(0)`, "p99"},
	{"Answers kept", "short", `sum by (type) (coredns_cache_entries) or vector(0)`, "{{type}}"},
}}

var controlPlaneBoard = board{"Control plane", []panel{
	{"API requests", "reqps", `sum by (verb) (apiserver:requests:rate5m)`, "{{verb}}"},
	{"API errors", "percentunit", `apiserver:errors:ratio`, ""},
	{"API latency, 99 of 100", "s", `apiserver:latency:p99`, "{{verb}}"},
	{"API requests at work", "short", `sum by (request_kind) (apiserver_current_inflight_requests)`, "{{request_kind}}"},
	{"etcd has a leader", "short", `min(etcd_server_has_leader)`, ""},
	{"etcd, size", "bytes", `etcd_mvcc_db_total_size_in_bytes`, "{{node}}"},
	{"etcd, time to keep, 99 of 100", "s", `histogram_quantile(0.99, sum by (node, le) (rate(etcd_disk_wal_fsync_duration_seconds_bucket[5m])))`, "{{node}}"},
	{"Pods that wait for a node", "short", `sum by (queue) (scheduler_pending_pods)`, "{{queue}}"},
	{"Controllers' queues", "short", `topk(10, sum by (name) (workqueue_depth{job="kube-controller-manager"}))`, "{{name}}"},
	{"kube-proxy, time to follow Services, 99 of 100", "s", `histogram_quantile(0.99, sum by (node, le) (rate(kubeproxy_sync_proxy_rules_duration_seconds_bucket[5m]))) >= 0 or vector(0)`, "{{node}}"},
	{"Memory of its parts", "bytes", `process_resident_memory_bytes{job=~"apiserver|etcd|kube-.*"}`, "{{job}} {{node}}"},
}}

var ingressBoard = board{"Ingress", []panel{
	{"Requests", "reqps", `sum by (entrypoint) (rate(traefik_entrypoint_requests_total[5m])) or vector(0)`, "{{entrypoint}}"},
	{"Answers by code", "reqps", `sum by (code) (rate(traefik_service_requests_total[5m])) or vector(0)`, "{{code}}"},
	{"Time to answer, 95 of 100", "s", `histogram_quantile(0.95, sum by (service, le) (rate(traefik_service_request_duration_seconds_bucket[5m]))) >= 0 or vector(0)`, "{{service}}"},
	{"Connections", "short", `sum by (entrypoint) (traefik_open_connections) or vector(0)`, "{{entrypoint}}"},
	{"Last change of what is served", "dateTimeFromNow", `max(traefik_config_last_reload_success) * 1000`, ""},
}}

// render is the dashboard as Grafana reads it.
func (d board) render() (string, error) {
	source := map[string]any{"type": "prometheus", "uid": "prometheus"}
	var all []any
	for i, p := range d.Panels {
		kind, legend := "timeseries", p.Legend
		if legend == "" {
			kind, legend = "stat", "__auto"
		}
		all = append(all, map[string]any{
			"id": i + 1, "title": p.Title, "type": kind, "datasource": source,
			"gridPos":     map[string]any{"x": i % 2 * 12, "y": i / 2 * 8, "w": 12, "h": 8},
			"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.Unit}, "overrides": []any{}},
			"targets":     []any{map[string]any{"refId": "A", "expr": p.Expr, "legendFormat": legend, "datasource": source}},
		})
	}
	out, err := json.MarshalIndent(map[string]any{
		"uid": "kubewright-" + d.slug(), "title": d.Title, "tags": []string{"kubewright"}, "schemaVersion": 39, "editable": true, "refresh": "30s",
		"time": map[string]any{"from": "now-1h", "to": "now"}, "panels": all,
	}, "", " ")
	return string(out), err
}

func (d board) slug() string { return strings.ReplaceAll(strings.ToLower(d.Title), " ", "-") }
