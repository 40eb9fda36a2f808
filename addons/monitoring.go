package addons

import (
	"fmt"

	"github.com/kubewright/kubewright/inventory"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

var monitoring = Addon{
	Name: inventory.AddonMonitoring, Short: "Prometheus sees what the cluster does and tells when something is wrong",
	// Grafana's image is not among them: most bundles do not have it, and it is asked for by name where it is wanted.
	Images: []string{
		"prometheus", "alertmanager", "node-exporter", "kube-state-metrics", "kube-rbac-proxy", "prometheus-operator", "prometheus-config-reloader",
	},
	Texts: []string{operatorDefinitions},
	Make:  makeMonitoring,
}

const (
	monitoringNamespace = "monitoring"
	prometheusName      = "prometheus-k8s" // of the account and of the Service, in both profiles
	alertmanagerName    = "alertmanager-main"
	proxyCertificate    = "node-metrics" // the name that the proxies on nodes prove to be
)

func makeMonitoring(e Env) (Parts, error) {
	m := e.Cluster.Spec.Addons.Monitoring
	parts := Parts{Objects: []runtime.Object{
		namespaceObject(monitoringNamespace, "privileged"), // node-exporter looks at the host
		front(prometheusName, m.NodePort, "web", 9090, prometheusLabels(m)),
	}}
	parts.Doors = append(parts.Doors, Door{Name: "Prometheus", URL: fmt.Sprintf("http://%s:%d", e.Cluster.Door().String(), m.NodePort)})
	for _, some := range [][]runtime.Object{nodeExporter(e), stateMetrics(e), prometheusAccess()} {
		parts.Objects = append(parts.Objects, some...)
	}
	parts.Ready = append(rolledOut("DaemonSet", monitoringNamespace, "node-exporter"), rolledOut("Deployment", monitoringNamespace, "kube-state-metrics")...)
	if *m.ControlPlane {
		parts.add(controlPlaneProxies(e))
	}
	var own Parts
	var err error
	if m.Profile == inventory.ProfilePlain {
		own, err = plainPrometheus(e)
	} else {
		own, err = operatedPrometheus(e)
	}
	if err != nil {
		return Parts{}, err
	}
	parts.add(own)
	if m.Grafana.Enabled {
		shown, err := grafana(e)
		if err != nil {
			return Parts{}, err
		}
		parts.add(shown)
	}
	return parts, nil
}

func (p *Parts) add(more Parts) {
	p.Objects = append(p.Objects, more.Objects...)
	p.Secrets = append(p.Secrets, more.Secrets...)
	p.Ready = append(p.Ready, more.Ready...)
	p.Doors = append(p.Doors, more.Doors...)
}

// front is a Service that people reach on every node, or only pods where the port is 0.
func front(name string, nodePort int, portName string, number int32, labels map[string]string) *corev1.Service {
	s := service(monitoringNamespace, name, labels, port(portName, number, portName))
	s.Labels = map[string]string{labelName: name} // by which Prometheus finds what it asks
	if nodePort != 0 {
		s.Spec.Type, s.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, int32(nodePort)
	}
	return s
}

// labelName is how Services of the addon are told from each other.
const labelName = "app.kubernetes.io/name"

func named(name string) map[string]string { return map[string]string{labelName: name} }

// headless is a Service that only lists pods, so that Prometheus finds them.
func headless(name string, labels map[string]string, ports ...corev1.ServicePort) *corev1.Service {
	s := service(monitoringNamespace, name, labels, ports...)
	s.Spec.ClusterIP = corev1.ClusterIPNone
	return s
}

func textMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: monitoringNamespace, Name: name},
		Data:       data,
	}
}
