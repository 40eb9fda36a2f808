//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// otherWays are the addons set up in the ways that the other tests leave out.
const otherWays = `  addons:
    flannel: {backend: host-gw}
    ingress: {enabled: true, expose: nodePort, httpPort: 30081, httpsPort: 30444, domain: lab.internal}
    metricsServer: {enabled: true}
    dashboard: {enabled: true}
    monitoring: {enabled: true, profile: plain}
`

// TestOtherWays has addons on hosts whose firewalls run, pods routed instead of wrapped, and the ingress on NodePorts; and reset leaves no route.
func TestOtherWays(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	before, routes := map[string]string{}, map[string]string{}
	for _, h := range hosts {
		ok(t, onHost(t, h, walls[h].up))
		t.Cleanup(func() { onHost(t, h, walls[h].down) })
		before[h], routes[h] = firewallOf(t, h), routesOf(t, h)
	}
	file := withAddons(t, otherWays)
	must(t, inLab(bounded(t), "kubewright", "up", "-f", file))
	works(t, 10*time.Second)
	for _, n := range nodes {
		if got := strings.Count(routesOf(t, n), "10.244."); got < len(nodes) { // its own pods' network, and one for each other node
			t.Errorf("%s has %d routes to pods:\n%s", n, got, routesOf(t, n))
		}
		if r := onHost(t, n, "ip", "link", "show", "flannel.1"); r.code == 0 {
			t.Errorf("%s wraps packets:\n%s", n, r.stdout)
		}
	}
	apply(t, strings.ReplaceAll(site, "IMAGE", imageOf(t, "agnhost")))
	kubectl(t, "-n", "site", "rollout", "status", "deployment/site", "--timeout=90s")
	for _, n := range cluster.Nodes() {
		for _, url := range []string{"http://site.lab.internal:30081/hostname", "https://site.lab.internal:30444/hostname"} {
			port := url[strings.LastIndex(url, ":")+1:][:5]
			r := run(t, inLab(bounded(t), "curl", "-sSk", "--noproxy", "*", "--max-time", "5", "--retry", "5", "--retry-delay", "1", "--retry-all-errors", "--fail",
				"--resolve", "site.lab.internal:"+port+":"+n.Address.String(), url))
			if !strings.HasPrefix(r.stdout, "site-") {
				t.Errorf("%s by %s: %s%s", url, n.Name, r.stdout, r.stderr)
			}
		}
	}
	kubectl(t, "delete", "namespace", "site", "--timeout=60s")
	must(t, inLab(bounded(t), "kubewright", "verify", "-f", file, "ingress", "ingress-nginx", "ingress-tls", "metrics", "dashboard", "prometheus-targets", "node-port"))
	if r := run(t, inLab(bounded(t), "kubewright", "plan", "--exit-code", "-f", file)); r.code != 0 {
		t.Errorf("there is something left to do:\n%s%s", r.stdout, r.stderr)
	}
	must(t, inLab(bounded(t), "kubewright", "reset", "--yes=lab", "-f", file))
	for _, h := range hosts {
		if now := firewallOf(t, h); now != before[h] {
			t.Errorf("%s: the firewall is not as it was:\n%s", h, lineDiff(before[h], now))
		}
		if now := routesOf(t, h); now != routes[h] {
			t.Errorf("%s: the routes are not as they were:\n%s", h, lineDiff(routes[h], now))
		}
	}
}

// routesOf are a host's routes, of IPv4.
func routesOf(t *testing.T, host string) string {
	t.Helper()
	r := onHost(t, host, "ip", "-4", "route")
	ok(t, r)
	return r.stdout
}

// site is a page behind the ingress.
const site = `
apiVersion: v1
kind: Namespace
metadata: {name: site}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: site, namespace: site}
spec:
  replicas: 2
  selector: {matchLabels: {app: site}}
  template:
    metadata: {labels: {app: site}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: site, image: "IMAGE", command: [/agnhost, netexec, --http-port=8080], readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: site, namespace: site}
spec: {selector: {app: site}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: site, namespace: site}
spec:
  rules:
  - host: site.lab.internal
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: site, port: {number: 80}}}}]}
`
