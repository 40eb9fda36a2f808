package addons

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// metricsProxy is a door on a node's address to what one of its components tells on the loopback alone: whoever comes shows the API server's token, and has to
// be allowed to read metrics.
type metricsProxy struct {
	Job           string // as Prometheus calls it
	Port          int    // on the node's address: one of inventory.MetricsPorts
	Set, PortName string // the DaemonSet that it is a part of, and what it is called there
	Upstream      string
	Drop          string // as a target's
}

const (
	controlPlaneMetrics = "control-plane-metrics"
	kubeProxyMetrics    = "kube-proxy-metrics"
)

var proxies = []metricsProxy{
	{Job: "etcd", Port: 12381, Set: controlPlaneMetrics, PortName: "etcd", Upstream: "http://127.0.0.1:2381/", Drop: "grpc_server_.*|etcd_grpc_unary_.*_bucket"},
	{Job: "kube-controller-manager", Port: 10357, Set: controlPlaneMetrics, PortName: "controllers", Upstream: "https://127.0.0.1:10257/", Drop: "(workqueue|rest_client|attachdetach|storage)_.*_bucket"},
	{Job: "kube-scheduler", Port: 10359, Set: controlPlaneMetrics, PortName: "scheduler", Upstream: "https://127.0.0.1:10259/", Drop: "(workqueue|rest_client|scheduler_plugin_execution)_.*_bucket"},
	{Job: "kube-proxy", Port: 10349, Set: kubeProxyMetrics, PortName: "kube-proxy", Upstream: "http://127.0.0.1:10249/", Drop: "rest_client_.*_bucket"},
}

// controlPlaneProxies ask the API server who comes and whether they may; then they ask their component, whose certificate they verify where it has one.
func controlPlaneProxies(e Env) Parts {
	const ns = monitoringNamespace
	parts := Parts{
		Objects: []runtime.Object{
			serviceAccount(ns, proxyCertificate),
			clusterBinding("kubewright:"+proxyCertificate, "system:auth-delegator", ns, proxyCertificate),
		},
		Secrets: []Member{TLSSecret{Namespace: ns, Name: proxyCertificate + "-tls", Request: serviceCertificate(proxyCertificate, ns)}},
		Ready:   rolledOut("DaemonSet", ns, controlPlaneMetrics, kubeProxyMetrics),
	}
	for _, set := range []struct {
		name string
		on   map[string]string
	}{{controlPlaneMetrics, map[string]string{"node-role.kubernetes.io/control-plane": ""}}, {kubeProxyMetrics, linux()}} {
		labels := named(set.name)
		spec := corev1.PodSpec{
			ServiceAccountName: proxyCertificate, HostNetwork: true, PriorityClassName: "system-node-critical", NodeSelector: set.on, Tolerations: everywhere(),
			Volumes: []corev1.Volume{secretVolume("tls", proxyCertificate+"-tls")},
		}
		var ports []corev1.ServicePort
		for _, p := range proxies {
			if p.Set != set.name {
				continue
			}
			spec.Containers = append(spec.Containers, p.container(e.Image("kube-rbac-proxy")))
			ports = append(ports, port(p.PortName, int32(p.Port), p.PortName))
		}
		parts.Objects = append(parts.Objects, headless(set.name, labels, ports...), daemonSet(ns, set.name, labels, "", spec))
	}
	return parts
}

func (p metricsProxy) container(image string) corev1.Container {
	return corev1.Container{
		Name: p.PortName, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Args: []string{
			fmt.Sprintf("--secure-listen-address=$(NODE_IP):%d", p.Port), "--upstream=" + p.Upstream, "--upstream-ca-file=" + clusterCA, "--allow-paths=/metrics",
			"--tls-cert-file=/tls/tls.crt", "--tls-private-key-file=/tls/tls.key", "--http2-disable=true",
		},
		Env:             []corev1.EnvVar{fieldEnv("NODE_IP", "status.hostIP")},
		Ports:           []corev1.ContainerPort{{Name: p.PortName, ContainerPort: int32(p.Port), HostPort: int32(p.Port), Protocol: corev1.ProtocolTCP}},
		Resources:       requests("5m", "16Mi"),
		SecurityContext: locked(65532),
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString(p.PortName)}},
			PeriodSeconds: 2, FailureThreshold: 3, TimeoutSeconds: 5,
		},
		VolumeMounts: []corev1.VolumeMount{{Name: "tls", MountPath: "/tls", ReadOnly: true}},
	}
}
