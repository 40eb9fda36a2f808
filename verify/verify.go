// Package verify is the scenarios that a working cluster must pass: what a course on Kubernetes has its students do, each as a named check that says
// what it saw. A check uses the cluster as anybody would, through its API, in namespaces of its own that are gone afterwards.
package verify

import (
	"context"
	"net"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Check is one scenario. It holds where Run returns nil; what it saw on the way it tells with Env.Saw.
type Check struct {
	Name  string // short, as verify NAME takes it
	Short string // the lesson in one line

	Needs  []Need
	Images []string // beside agnhost
	Level  string   // the pod-security level of its namespace; baseline where it is empty
	Slow   bool     // waits for minutes by its nature
	Within time.Duration

	Remedy string // where to look when it fails

	Run func(context.Context, *Env) error
}

// Need is something that not every cluster has. A check whose needs are not met is skipped.
type Need string

// What checks need.
const (
	Ingress    Need = "ingress"    // an ingress controller that can be reached
	Metrics    Need = "metrics"    // the API group metrics.k8s.io
	Storage    Need = "storage"    // a default StorageClass
	NFS        Need = "nfs"        // an NFS server with an export
	Dashboard  Need = "dashboard"  // Headlamp
	Monitoring Need = "monitoring" // Prometheus
	Panels     Need = "panels"     // the queries of dashboards
	Workers    Need = "workers"    // two nodes that take any pod
)

// Cluster is what checks run on.
type Cluster struct {
	Config *rest.Config // must authenticate by certificate, as who may do anything
	Client kubernetes.Interface
	Domain string // cluster.local

	// Image renders the reference of an image; without one, the error says why.
	Image func(name string) (string, error)

	// Dial is the workstation's own way, without tunnels.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	NFS     *NFSExport // nil: there is none
	Queries []Query    // every query of the dashboards
}

// NFSExport is where volumes can be mounted from.
type NFSExport struct {
	Server string
	Path   string
}

// Query is one question of a dashboard to Prometheus.
type Query struct {
	Name string // dashboard and panel
	Expr string
}

// All are the checks, as list shows them.
func All() []Check {
	return []Check{
		namespaces,
		deployment, rollout, selfHealing, nodeName, nodeSelector, affinity, daemonSet, taints, job, cronJob,
		clusterIP, nodePort, hostPort, headless, dns, ingress, ingressNginx, ingressTLS,
		configMap, php, emptyDir, hostPath, nfs,
		staticPod, initContainers, hooks, probes, restartPolicy, execLogs,
		statefulSet, statefulSetData,
		metrics, hpa, dashboard, prometheusTargets, prometheusQueries,
	}
}
