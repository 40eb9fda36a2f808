package addons

import (
	"github.com/kubewright/kubewright/inventory"
)

// ruleGroup and rule are in Prometheus' own words.
type ruleGroup struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

type rule struct {
	Record      string            `json:"record,omitempty"`
	Alert       string            `json:"alert,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// record is a figure that several panels and alerts ask for.
func record(name, expr string) rule { return rule{Record: name, Expr: expr} }

// How bad it is: critical needs somebody now, warning soon.
const (
	critical = "critical"
	warning  = "warning"
)

// alert says what is wrong, and what somebody who reads it does first.
func alert(name, severity, after, expr, summary, remedy string) rule {
	return rule{
		Alert: name, Expr: expr, For: after, Labels: map[string]string{"severity": severity},
		Annotations: map[string]string{"summary": summary, "description": remedy},
	}
}

// ruleGroups are the rules that a cluster has: none is about something that is not there.
func ruleGroups(c *inventory.Cluster) []ruleGroup {
	out := []ruleGroup{
		{"records", records}, {"nodes", nodeAlerts}, {"workloads", workloadAlerts}, {"cluster", clusterAlerts}, {"monitoring", monitoringAlerts},
	}
	if *c.Spec.Addons.Monitoring.ControlPlane {
		out = append(out, ruleGroup{"control-plane", controlPlaneAlerts})
	}
	if c.Spec.Addons.Ingress.Enabled {
		out = append(out, ruleGroup{"ingress", ingressAlerts})
	}
	return out
}

var records = []rule{
	record("node:cpu_used:ratio", `1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[5m]))`),
	record("node:memory_used:ratio", `1 - sum by (node) (node_memory_MemAvailable_bytes) / sum by (node) (node_memory_MemTotal_bytes)`),
	record("node:filesystem_used:ratio", `max by (node, device) (1 - node_filesystem_avail_bytes{fstype!~"tmpfs|nfs.*"} / node_filesystem_size_bytes{fstype!~"tmpfs|nfs.*"})`),
	record("node:network_received_bytes:rate5m", `sum by (node) (rate(node_network_receive_bytes_total{device!~"lo|flannel.*|cni.*"}[5m]))`),
	record("node:network_sent_bytes:rate5m", `sum by (node) (rate(node_network_transmit_bytes_total{device!~"lo|flannel.*|cni.*"}[5m]))`),
	record("pod:cpu_used:rate5m", `sum by (namespace, pod, node) (rate(container_cpu_usage_seconds_total{container!="", container!="POD"}[5m]))`),
	record("pod:memory_used:bytes", `sum by (namespace, pod, node) (container_memory_working_set_bytes{container!="", container!="POD"})`),
	record("apiserver:requests:rate5m", `sum by (verb, code) (rate(apiserver_request_total[5m]))`),
	record("apiserver:errors:ratio", `(sum(rate(apiserver_request_total{code=~"5.."}[5m])) or vector(0)) / clamp_min(sum(rate(apiserver_request_total[5m])), 0.001)`),
	record("apiserver:latency:p99", `histogram_quantile(0.99, sum by (verb, le) (rate(apiserver_request_duration_seconds_bucket{verb!~"WATCH|CONNECT", subresource!~"log|exec|portforward|attach|proxy"}[5m]))) >= 0`), // a verb that nobody used has no figure
	record("coredns:errors:ratio", `(sum(rate(coredns_dns_responses_total{rcode="SERVFAIL"}[5m])) or vector(0)) / clamp_min(sum(rate(coredns_dns_responses_total[5m])), 0.001)`),
}

var nodeAlerts = []rule{
	alert("NodeNotReady", critical, "3m", `kube_node_status_condition{condition="Ready", status="true"} == 0`,
		"node {{ $labels.node }} is not Ready", "Look at the kubelet and the runtime on it: kubewright status, journalctl -u kubelet."),
	alert("NodeAway", critical, "3m", `up{job="node-exporter"} == 0`,
		"nobody answers for node {{ $labels.node }}", "The host is off, its network is gone, or a firewall stops port 9100 between nodes."),
	alert("KubeletDown", critical, "5m", `up{job="kubelet", metrics_path="/metrics"} == 0`,
		"the kubelet of {{ $labels.node }} does not answer", "Look at journalctl -u kubelet there, and whether port 10250 is open between nodes."),
	alert("DiskAlmostFull", critical, "10m", `(node_filesystem_avail_bytes{fstype!~"tmpfs|nfs.*"} / node_filesystem_size_bytes < 0.1) and node_filesystem_avail_bytes < 5e9`,
		"{{ $labels.mountpoint }} of {{ $labels.node }} is almost full", "The kubelet removes pods soon. Remove images and logs, or give it more room."),
	alert("DiskWillFill", warning, "30m", `predict_linear(node_filesystem_avail_bytes{fstype!~"tmpfs|nfs.*"}[3h], 24 * 3600) < 0 and node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.2 and on (instance) (time() - process_start_time_seconds{job="node-exporter"} > 3 * 3600)`,
		"{{ $labels.mountpoint }} of {{ $labels.node }} is full within a day if it goes on like this", "See what grows there."),
	alert("MemoryAlmostFull", warning, "10m", `node:memory_used:ratio > 0.92`,
		"node {{ $labels.node }} has little memory left", "Move pods away, or give them limits."),
	alert("CPUBusy", warning, "30m", `node:cpu_used:ratio > 0.95`,
		"node {{ $labels.node }} has been busy for half an hour", "See in the dashboard Workloads which pods use it."),
	alert("ClockWrong", critical, "5m", `abs(node_time_seconds - timestamp(node_time_seconds)) > 2`,
		"the clock of {{ $labels.node }} is off by {{ $value | humanizeDuration }}", "Certificates and tokens fail if clocks differ. Look at its time service."),
}

var workloadAlerts = []rule{
	alert("PodCrashLooping", warning, "5m", `max_over_time(kube_pod_container_status_waiting_reason{reason="CrashLoopBackOff"}[5m]) >= 1`,
		"{{ $labels.namespace }}/{{ $labels.pod }} ({{ $labels.container }}) ends again and again", "kubectl -n {{ $labels.namespace }} logs --previous {{ $labels.pod }} -c {{ $labels.container }}"),
	alert("ImageCannotBePulled", warning, "5m", `max_over_time(kube_pod_container_status_waiting_reason{reason=~"ImagePullBackOff|ErrImagePull|InvalidImageName"}[5m]) >= 1`,
		"{{ $labels.namespace }}/{{ $labels.pod }} waits for an image", "Nodes pull from the private registry alone: is the image there, under that name?"),
	alert("PodNotRunning", warning, "15m", `sum by (namespace, pod) (kube_pod_status_phase{phase=~"Pending|Unknown"}) > 0`,
		"{{ $labels.namespace }}/{{ $labels.pod }} does not run", "kubectl -n {{ $labels.namespace }} describe pod {{ $labels.pod }}"),
	alert("DeploymentIncomplete", warning, "10m", `kube_deployment_spec_replicas != kube_deployment_status_replicas_available`,
		"{{ $labels.namespace }}/{{ $labels.deployment }} has not all its pods", "kubectl -n {{ $labels.namespace }} describe deployment {{ $labels.deployment }}"),
	alert("StatefulSetIncomplete", warning, "10m", `kube_statefulset_replicas != kube_statefulset_status_replicas_ready`,
		"{{ $labels.namespace }}/{{ $labels.statefulset }} has not all its pods", "kubectl -n {{ $labels.namespace }} describe statefulset {{ $labels.statefulset }}"),
	alert("DaemonSetIncomplete", warning, "10m", `kube_daemonset_status_number_ready < kube_daemonset_status_desired_number_scheduled`,
		"{{ $labels.namespace }}/{{ $labels.daemonset }} does not run on all its nodes", "kubectl -n {{ $labels.namespace }} get pods -o wide"),
	alert("JobFailed", warning, "1m", `kube_job_failed{condition="true"} > 0`,
		"{{ $labels.namespace }}/{{ $labels.job_name }} has failed", "Look at its pods' logs, then delete it."),
	alert("VolumeAlmostFull", warning, "5m", `kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes < 0.1 and kubelet_volume_stats_available_bytes < 5e9`,
		"the volume {{ $labels.namespace }}/{{ $labels.persistentvolumeclaim }} is almost full", "Remove something, or claim a larger one."),
}

var clusterAlerts = []rule{
	alert("APIErrors", critical, "10m", `apiserver:errors:ratio > 0.05`,
		"the API server fails {{ $value | humanizePercentage }} of what it is asked", "Look at its log and at etcd's."),
	alert("APISlow", warning, "10m", `apiserver:latency:p99{verb=~"GET|POST|PUT|PATCH|DELETE"} > 4`,
		"the API server needs {{ $value | humanizeDuration }} for a {{ $labels.verb }}", "Mostly etcd's disk is slow, or the host is busy."),
	alert("KubeletCertificateEnds", critical, "10m", `kubelet_certificate_manager_client_ttl_seconds < 14 * 86400`,
		"the certificate of the kubelet of {{ $labels.node }} ends within two weeks", "It renews it itself unless something keeps it from that: run kubewright up."),
	alert("ClientCertificateEnds", warning, "10m", `histogram_quantile(0.01, sum by (le) (rate(apiserver_client_certificate_expiration_seconds_bucket{job="apiserver"}[5m]))) < 7 * 86400`,
		"somebody logs in to the API with a certificate that ends within a week", "Run kubewright up: it makes those anew that are near their end."),
	alert("CoreDNSDown", critical, "3m", `absent(up{job="coredns"} == 1)`,
		"nobody answers the cluster's names", "kubectl -n kube-system get pods -l k8s-app=kube-dns"),
	alert("CoreDNSErrors", warning, "10m", `coredns:errors:ratio > 0.05 and sum(rate(coredns_dns_responses_total[5m])) > 0.2`,
		"CoreDNS fails {{ $value | humanizePercentage }} of what it is asked", "Do the hosts' own name servers answer? kubectl -n kube-system logs -l k8s-app=kube-dns"),
}

var controlPlaneAlerts = []rule{
	alert("EtcdDown", critical, "3m", `absent(up{job="etcd"} == 1)`,
		"etcd does not answer", "On the control-plane host: crictl ps -a --name etcd, and its log."),
	alert("EtcdNoLeader", critical, "1m", `etcd_server_has_leader == 0`,
		"etcd on {{ $labels.node }} has no leader", "Look at its log, its disk and its clock."),
	alert("EtcdDiskSlow", warning, "10m", `histogram_quantile(0.99, sum by (node, le) (rate(etcd_disk_wal_fsync_duration_seconds_bucket[5m]))) > 1`,
		"the disk of etcd on {{ $labels.node }} needs {{ $value | humanizeDuration }} to keep something", "Everything waits for it. Give it a disk of its own."),
	alert("EtcdAlmostFull", critical, "10m", `etcd_mvcc_db_total_size_in_bytes / etcd_server_quota_backend_bytes > 0.8`,
		"etcd on {{ $labels.node }} is almost full", "Then it takes nothing more. Delete objects and defragment it."),
	alert("SchedulerDown", critical, "3m", `absent(up{job="kube-scheduler"} == 1)`,
		"no scheduler answers", "New pods get no node. On the control-plane host: crictl ps -a --name kube-scheduler"),
	alert("ControllerManagerDown", critical, "3m", `absent(up{job="kube-controller-manager"} == 1)`,
		"no controller manager answers", "Nothing is replaced or rolled out. On the control-plane host: crictl ps -a --name kube-controller-manager"),
	alert("KubeProxyDown", critical, "5m", `up{job="kube-proxy"} == 0`,
		"kube-proxy on {{ $labels.node }} does not answer", "Services that change are not followed there: kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide"),
}

var ingressAlerts = []rule{
	alert("IngressDown", critical, "3m", `absent(up{job="traefik"} == 1)`,
		"no Traefik answers", "kubectl -n traefik get pods"),
	alert("IngressErrors", warning, "10m", `sum by (service) (rate(traefik_service_requests_total{code=~"5.."}[5m])) / sum by (service) (rate(traefik_service_requests_total[5m])) > 0.1`,
		"{{ $value | humanizePercentage }} of the answers of {{ $labels.service }} are errors", "Look at the logs of its pods."),
}

var monitoringAlerts = []rule{
	alert("Watchdog", "none", "", `vector(1)`,
		"alerts are sent", "This one always is: whoever misses it knows that no other would come either."),
	alert("TargetDown", warning, "5m", `up == 0`,
		"{{ $labels.job }} ({{ $labels.instance }}) does not answer Prometheus", "The page Status, Targets of Prometheus says why."),
	alert("PrometheusConfigBad", critical, "5m", `max_over_time(prometheus_config_last_reload_successful[5m]) == 0`,
		"Prometheus could not read its configuration", "It goes on with the one before. Its log says what is wrong."),
	alert("RulesFail", warning, "10m", `increase(prometheus_rule_evaluation_failures_total[5m]) > 0`,
		"rules of {{ $labels.rule_group }} fail", "The page Status, Rules of Prometheus says why."),
	alert("AlertsNotSent", warning, "10m", `rate(prometheus_notifications_dropped_total[5m]) > 0 or prometheus_notifications_alertmanagers_discovered < 1`,
		"alerts do not reach Alertmanager", "kubectl -n monitoring get pods"),
	alert("AlertmanagerDown", critical, "5m", `absent(up{job="alertmanager"} == 1)`,
		"Alertmanager does not answer", "kubectl -n monitoring get pods"),
	alert("AlertmanagerConfigBad", warning, "5m", `max_over_time(alertmanager_config_last_reload_successful[5m]) == 0`,
		"Alertmanager could not read its configuration", "It goes on with the one before. Its log says what is wrong."),
}
