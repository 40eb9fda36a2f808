package inventory

// MetricsPort is a port of nodes where the addon monitoring listens on the node's own address, for Prometheus on other nodes.
type MetricsPort struct {
	Port         int
	Program      string // who listens, as the kernel shortens its name
	ControlPlane bool   // on control-plane hosts only
	Proxy        bool   // in front of one of the cluster's parts that listens on the loopback
}

// The program in front of what tells its figures on the loopback alone, as the kernel shortens its name.
const metricsProxy = "kube-rbac-proxy"

// MetricsPorts are all of them.
var MetricsPorts = []MetricsPort{
	{Port: 9100, Program: "node_exporter"},
	{Port: 10349, Program: metricsProxy, Proxy: true},                     // kube-proxy
	{Port: 10357, Program: metricsProxy, Proxy: true, ControlPlane: true}, // kube-controller-manager
	{Port: 10359, Program: metricsProxy, Proxy: true, ControlPlane: true}, // kube-scheduler
	{Port: 12381, Program: metricsProxy, Proxy: true, ControlPlane: true}, // etcd
}

// On says whether it is open on a node where the addon is enabled.
func (p MetricsPort) On(m Monitoring, h Host) bool {
	return (!p.Proxy || *m.ControlPlane) && (!p.ControlPlane || h.Has(ControlPlane))
}
