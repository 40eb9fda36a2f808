//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/bundle"
	corev1 "k8s.io/api/core/v1"
)

// probes is one pod on every node that answers with its name, and a Service of each kind in front of them.
const probes = `
apiVersion: v1
kind: Namespace
metadata: {name: probes}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: probe, namespace: probes}
spec:
  selector: {matchLabels: {app: probe}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      containers:
      - name: probe
        image: %s
        command: [/agnhost, netexec, --http-port=8080]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: probe, namespace: probes}
spec: {selector: {app: probe}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: probe-outside, namespace: probes}
spec: {type: NodePort, selector: {app: probe}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
`

// clusterWorks holds that everything works at once, and that nothing had to be restarted for it.
func clusterWorks(t *testing.T) {
	works(t, 0)
	notRestarted(t)
}

// works uses the cluster; each thing may take so long to work.
func works(t *testing.T, settle time.Duration) { worksWith(t, settle, imageOf(t, "agnhost")) }

// worksWith uses the cluster with probes of this image.
func worksWith(t *testing.T, settle time.Duration, image string) {
	apply(t, fmt.Sprintf(probes, image))
	kubectl(t, "-n", "probes", "rollout", "status", "daemonset/probe", "--timeout=120s")
	pods := decode[corev1.PodList](t, "-n", "probes", "pods", "-l", "app=probe").Items
	if len(pods) != len(nodes) {
		t.Fatalf("%d probes run, want %d", len(pods), len(nodes))
	}
	for _, from := range pods {
		for _, to := range pods {
			reach(t, settle, from, to.Status.PodIP+":8080", "pod on "+to.Spec.NodeName)
		}
		service := decode[corev1.Service](t, "-n", "probes", "service", "probe")
		reach(t, settle, from, service.Spec.ClusterIP+":80", "Service by address")
		reach(t, settle, from, "probe.probes.svc.cluster.local:80", "Service by full name")
		reach(t, settle, from, "probe:80", "Service by short name")
	}
	for _, h := range cluster.Nodes() {
		r := run(t, inLab(bounded(t), "curl", "-sS", "--noproxy", "*", "--max-time", "10", "http://"+h.Address.String()+":30080/hostname"))
		if r.code != 0 || !strings.HasPrefix(r.stdout, "probe-") {
			t.Errorf("the NodePort on %s does not answer: %s%s", h.Name, r.stdout, r.stderr)
		}
	}
	for _, p := range pods {
		if kubectl(t, "-n", "probes", "logs", p.Name) == "" {
			t.Errorf("the probe on %s has no logs", p.Spec.NodeName)
		}
	}
	kubectl(t, "delete", "namespace", "probes", "--timeout=60s")
}

// reach connects from a pod, through kubectl exec.
func reach(t *testing.T, settle time.Duration, from corev1.Pod, to, what string) {
	t.Helper()
	var r result
	for end := time.Now().Add(settle); ; time.Sleep(time.Second) {
		r = run(t, inLab(bounded(t), "kubectl", "-n", from.Namespace, "exec", from.Name, "--", "/agnhost", "connect", "--timeout=5s", to))
		if r.code == 0 || time.Now().After(end) {
			break
		}
	}
	if r.code != 0 {
		t.Errorf("from %s: %s (%s) does not answer: %s%s", from.Spec.NodeName, what, to, r.stdout, r.stderr)
	}
}

// notRestarted holds that nothing of the system has crashed on the way.
func notRestarted(t *testing.T) {
	t.Helper()
	for _, p := range decode[corev1.PodList](t, "pods", "-A").Items {
		for _, c := range p.Status.ContainerStatuses {
			if c.RestartCount > 0 {
				t.Errorf("%s/%s: %s was restarted %d times: %+v", p.Namespace, p.Name, c.Name, c.RestartCount, c.LastTerminationState)
			}
		}
	}
}

// imageOf is an image of the bundle in the lab's registry, by digest.
func imageOf(t *testing.T, name string) string {
	t.Helper()
	c, err := lock(t).Image(name)
	if err != nil {
		t.Fatal(err)
	}
	return c.Pinned(labRegistry)
}

// blobURL is where the lab's registry serves a program of the bundle.
func blobURL(t *testing.T, name string) string {
	t.Helper()
	c, err := lock(t).File(name)
	if err != nil {
		t.Fatal(err)
	}
	return "https://" + labRegistry + c.BlobPath()
}

func lock(t *testing.T) bundle.Lock {
	t.Helper()
	b, err := bundle.Open(filepath.Join(cache(t), "kubewright", "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	return b.Lock
}
