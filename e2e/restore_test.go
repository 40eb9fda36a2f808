//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// TestRestore holds that reset leaves every host exactly as it was, whatever was done with the cluster before, and whatever else was on the host.
func TestRestore(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	plant(t)
	before := look(t)
	sameHosts(t, before, look(t), "two looks at an idle host differ, so that they cannot tell what reset leaves")
	if t.Failed() {
		t.FailNow()
	}

	upReady(t)
	use(t)
	more := inventoryWith(t, func(s string) string { return withPods(s, 60) })
	must(t, inLab(bounded(t), "kubewright", "up", "-f", more))
	must(t, kubewright(bounded(t), "up"))
	must(t, inLab(bounded(t), "kubewright", "up", "-f", more))
	l := ride(t, inventoryFile(), func(h happening) syscall.Signal {
		if h.Target == nodes[0] && h.Key == "unit:kubelet.service" {
			return syscall.SIGKILL
		}
		return never
	})
	if !l.killed { // on the way back to what it was
		t.Errorf("up did not come to the kubelet: exit %d\n%s", l.code, lastOf(l.stderr))
	}
	ok(t, run(t, kubewright(bounded(t), "reset", "--yes=lab")))
	sameHosts(t, before, look(t), "reset left something after several runs, one of them cut off")

	upReady(t)
	// Somebody writes into a file of which we own a part, after our part.
	last := hosts[len(hosts)-1]
	ok(t, onHost(t, last, "cp -a /etc/hosts /dev/shm/hosts; echo '172.29.0.10 after.mine' >> /etc/hosts"))
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	hostsFile := onHost(t, last, "cat /etc/hosts").stdout
	if !strings.HasSuffix(hostsFile, "before.mine # mine\n172.29.0.10 after.mine\n") || strings.Contains(hostsFile, "kubewright") {
		t.Errorf("of /etc/hosts on %s reset left:\n%s", last, hostsFile)
	}
	// What was written is not ours to take back, so the test does it.
	ok(t, onHost(t, last, "sed -i /after.mine/d /etc/hosts; touch -d 2002-02-03 /etc/hosts; rm /dev/shm/hosts"))
	sameHosts(t, before, look(t), "reset left something after a second life")
}

// used is a workload of the kinds that leave traces on nodes: Services, volumes, ports of the host. It is still there when reset comes.
const used = `
apiVersion: v1
kind: Namespace
metadata: {name: used}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: used}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes:
      - {name: scratch, emptyDir: {}}
      - {name: memory, emptyDir: {medium: Memory}}
      - {name: settings, configMap: {name: settings}}
      containers:
      - name: web
        image: %[1]s
        command: [/agnhost, netexec, --http-port=8080]
        volumeMounts: [{name: scratch, mountPath: /scratch}, {name: memory, mountPath: /memory}, {name: settings, mountPath: /settings}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: used}
data: {a: b}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: used}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: used}
spec: {type: NodePort, externalTrafficPolicy: Local, sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30081}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: port, namespace: used, labels: {app: port}}
spec:
  selector: {matchLabels: {app: port}}
  template:
    metadata: {labels: {app: port}}
    spec:
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      volumes: [{name: host, hostPath: {path: /srv/mine, type: Directory}}]
      containers:
      - name: port
        image: %[1]s
        command: [/agnhost, netexec, --http-port=8080]
        ports: [{containerPort: 8080, hostPort: 18080}]
        volumeMounts: [{name: host, mountPath: /host, readOnly: true}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
`

// use uses the cluster in the ways that leave something on its nodes, and leaves it running.
func use(t *testing.T) {
	t.Helper()
	works(t, 0)
	kubectl(t, "create", "namespace", "used")
	kubectl(t, "label", "namespace", "used", "pod-security.kubernetes.io/enforce=privileged") // ports and volumes of the host
	apply(t, fmt.Sprintf(used, imageOf(t, "agnhost")))
	kubectl(t, "-n", "used", "rollout", "status", "deployment/web", "--timeout=120s")
	kubectl(t, "-n", "used", "rollout", "status", "daemonset/port", "--timeout=120s")
	for _, h := range cluster.Nodes() {
		if r := run(t, inLab(bounded(t), "curl", "-sS", "--noproxy", "*", "--max-time", "10", "http://"+h.Address.String()+":18080/hostname")); r.code != 0 {
			t.Errorf("the host's port on %s does not answer: %s%s", h.Name, r.stdout, r.stderr)
		}
	}
	kubectl(t, "-n", "used", "exec", "deployment/web", "--", "/agnhost", "connect", "--timeout=5s", "web.used.svc.cluster.local:80")
	if kubectl(t, "-n", "used", "logs", "deployment/web") == "" {
		t.Error("a pod has no logs")
	}
}
