//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubewright/kubewright/verify"
	corev1 "k8s.io/api/core/v1"
)

// verifyFile is the lab's inventory with addons.
func verifyFile() string { return filepath.Join(labDir, "verify.yaml") }

// TestVerify: on a healthy cluster every check passes or is skipped for what the cluster does not have, and nothing is left; with something broken exactly
// those fail that are about it.
func TestVerify(t *testing.T) {
	text, err := os.ReadFile(withAddons(t, three+"    dashboard: {enabled: true}\n    monitoring: {enabled: true, profile: plain}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(verifyFile(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, kubewright(bounded(t), "reset", "--yes=lab")) })
	must(t, inLab(bounded(t), "kubewright", "up", "-f", verifyFile()))
	if !t.Run("a healthy cluster", verifyHealthy) {
		return
	}
	t.Run("interrupted", verifyInterrupted)
	t.Run("killed", verifyKilled)
	for _, b := range breakages {
		t.Run(b.name, b.try)
	}
	t.Run("healthy again", func(t *testing.T) {
		found, code := runVerify(t, "namespaces", "deployment", "cluster-ip", "dns", "static-pod", "ingress", "statefulset-data")
		if code != 0 || found.Failed > 0 {
			t.Errorf("ended with %d: %+v", code, found)
		}
	})
}

// runVerify runs checks and reads the report.
func runVerify(t *testing.T, args ...string) (verify.Report, int) {
	t.Helper()
	r := run(t, inLab(bounded(t), append([]string{"kubewright", "verify", "-f", verifyFile(), "-o", "json"}, args...)...))
	var found verify.Report
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil {
		t.Fatalf("%v\n%s\n%s", err, r.stdout, r.stderr)
	}
	for _, x := range found.Results {
		t.Logf("%-11s %-20s %5.1fs %s", x.Result, x.Name, x.Seconds, x.Error)
	}
	return found, r.code
}

func verifyHealthy(t *testing.T) {
	report := filepath.Join(t.TempDir(), "report.xml")
	found, code := runVerify(t, "--junit", report)
	for _, x := range found.Results {
		switch {
		case x.Name == "nfs":
			if x.Result != verify.Skipped || x.Error == "" {
				t.Errorf("%s: %s %s", x.Name, x.Result, x.Error)
			}
		case x.Result != verify.Passed:
			t.Errorf("%s: %s: %s", x.Name, x.Result, x.Error)
		case len(x.Evidence) == 0:
			t.Errorf("%s passed without evidence", x.Name)
		}
	}
	if code != 0 || len(found.Results) != len(verify.All()) {
		t.Errorf("it ended with %d after %d checks", code, len(found.Results))
	}
	slices.SortFunc(found.Results, func(a, b verify.Result) int { return int(1000 * (b.Seconds - a.Seconds)) })
	for _, x := range found.Results[:8] {
		t.Logf("slow: %-20s %5.1fs", x.Name, x.Seconds)
	}
	t.Logf("%.1fs in all", found.Seconds)
	raw, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var junit struct {
		Suite struct {
			Tests int `xml:"tests,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(raw, &junit); err != nil || junit.Suite.Tests != len(verify.All()) {
		t.Errorf("JUnit: %v, %d tests", err, junit.Suite.Tests)
	}
	nothingLeft(t)
}

// nothingLeft holds that no run has left anything: namespaces, volumes, bindings, taints, files.
func nothingLeft(t *testing.T) {
	t.Helper()
	for _, kind := range []string{"namespaces", "persistentvolumes", "clusterrolebindings"} {
		if out := kubectl(t, "get", kind, "-o", "name"); strings.Contains(out, "kw-verify") || kind == "persistentvolumes" && strings.TrimSpace(out) != "" {
			t.Errorf("%s are left:\n%s", kind, out)
		}
	}
	for _, n := range decode[corev1.NodeList](t, "nodes").Items {
		for _, taint := range n.Spec.Taints {
			if strings.Contains(taint.Key, "verify") {
				t.Errorf("%s still has the taint %+v", n.Name, taint)
			}
		}
	}
	for _, h := range nodes {
		r := onHost(t, h, "find", "/etc/kubernetes/manifests", "/var/tmp", "/var/lib/kubewright-volumes", "-name", "*verify*")
		if strings.TrimSpace(r.stdout) != "" {
			t.Errorf("%s still has %s", h, r.stdout)
		}
	}
}

// disturbing are checks that make something outside of their namespaces.
var disturbing = []string{"static-pod", "host-path", "taints", "statefulset-data", "deployment"}

// beginVerify starts those checks and waits until they are under way.
func beginVerify(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := inLab(bounded(t), append([]string{"kubewright", "verify", "-f", verifyFile()}, disturbing...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		pods := run(t, inLab(bounded(t), "kubectl", "get", "pods", "-A", "-l", "kubewright.io/verify", "-o", "name"))
		if strings.Contains(pods.stdout, "kw-verify-") { // the mirror of the static pod
			return cmd
		}
		if time.Now().After(end) {
			t.Fatal("no static pod has come")
		}
	}
}

func verifyInterrupted(t *testing.T) {
	cmd := beginVerify(t)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("it ended with %d, want 130", code)
	}
	nothingLeft(t)
}

// verifyKilled: what a run leaves that is killed, the next one removes, whichever checks it runs.
func verifyKilled(t *testing.T) {
	cmd := beginVerify(t)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if out := kubectl(t, "get", "namespaces", "-l", "kubewright.io/verify", "-o", "name"); strings.TrimSpace(out) == "" {
		t.Error("a run that was killed has left nothing, so this says nothing")
	}
	if _, code := runVerify(t, "namespaces"); code != 0 {
		t.Errorf("the next ended with %d", code)
	}
	nothingLeft(t)
}

// breakage is something that is broken, and which of some checks are about it.
type breakage struct {
	name   string
	breaks func(*testing.T)
	mend   func(*testing.T)
	fail   []string // these fail
	pass   []string // these do not
}

// broken is how long checks wait for what does not come.
const broken = "25s"

func (b breakage) try(t *testing.T) {
	t.Cleanup(func() { b.mend(t) }) // first, as breaking may fail in the middle
	b.breaks(t)
	found, code := runVerify(t, append(slices.Concat(b.fail, b.pass), "--timeout", broken, "--parallel", "8")...)
	var failed []string
	for _, x := range found.Results {
		if x.Result == verify.Failed {
			failed = append(failed, x.Name)
			if x.Error == "" || x.Remedy == "" {
				t.Errorf("%s failed and says neither why nor where to look", x.Name)
			}
		}
	}
	want := slices.Clone(b.fail)
	slices.Sort(want)
	slices.Sort(failed)
	if !slices.Equal(failed, want) || code != 5 {
		t.Errorf("it ended with %d, and these failed: %v, want %v", code, failed, want)
	}
}

// helpers are Deployments of addons by their namespaces.
var helpers = map[string]string{
	"deployment/local-path-provisioner": "local-path-storage", "deployment/headlamp": "headlamp", "deployment/kube-state-metrics": "monitoring",
}

var breakages = []breakage{
	{
		name: "controllers that do not run",
		breaks: func(t *testing.T) {
			quiet(t, "master")
			controllers(t, "*,bootstrapsigner,tokencleaner,-replicaset-controller,-daemonset-controller,-statefulset-controller,-job-controller,-cronjob-controller,-taint-eviction-controller,-horizontal-pod-autoscaler-controller")
		},
		mend: func(t *testing.T) { controllers(t, "*,bootstrapsigner,tokencleaner") },
		fail: []string{"deployment", "rollout", "self-healing", "affinity", "daemonset", "taints", "job", "cronjob", "statefulset", "statefulset-data", "hpa"},
		pass: []string{"namespaces", "node-name", "node-selector", "probes", "php"},
	},
	{
		name: "no DNS",
		breaks: func(t *testing.T) {
			kubectl(t, "-n", "kube-system", "scale", "deployment/coredns", "--replicas=0")
			noPods(t, "kube-system", "k8s-app=kube-dns")
		},
		mend: func(t *testing.T) {
			kubectl(t, "-n", "kube-system", "scale", "deployment/coredns", "--replicas=2")
			kubectl(t, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s")
		},
		fail: []string{"dns", "headless", "statefulset"},
		pass: []string{"cluster-ip", "node-port", "php", "ingress"},
	},
	{
		name:   "no kube-proxy",
		breaks: func(t *testing.T) { exile(t, "kube-system", "daemonset/kube-proxy", "k8s-app=kube-proxy") },
		mend:   func(t *testing.T) { recall(t, "kube-system", "daemonset/kube-proxy") },
		fail:   []string{"cluster-ip", "node-port", "php"},
		pass:   []string{"deployment", "host-port", "ingress-nginx"},
	},
	{
		name: "no ingress, no storage, no dashboard, and nobody who counts objects",
		breaks: func(t *testing.T) {
			exile(t, "traefik", "daemonset/traefik", "app.kubernetes.io/name=traefik")
			for what, ns := range helpers {
				kubectl(t, "-n", ns, "scale", what, "--replicas=0")
			}
			noticed(t, "absent(kube_node_info)")
		},
		mend: func(t *testing.T) {
			recall(t, "traefik", "daemonset/traefik")
			for what, ns := range helpers {
				kubectl(t, "-n", ns, "scale", what, "--replicas=1")
				kubectl(t, "-n", ns, "rollout", "status", what, "--timeout=90s")
			}
		},
		fail: []string{"ingress", "ingress-nginx", "ingress-tls", "statefulset-data", "dashboard", "prometheus-queries"},
		pass: []string{"node-port", "deployment"},
	},
	{
		name: "no scheduler, and a kubelet without a folder for static pods",
		breaks: func(t *testing.T) {
			ok(t, onHost(t, "master", "mv", "/etc/kubernetes/manifests/kube-scheduler.yaml", "/root/"))
			ok(t, onHost(t, "node-0001", "sed", "-i.was", "/^staticPodPath:/d", "/var/lib/kubelet/config.yaml"))
			ok(t, onHost(t, "node-0001", "systemctl", "restart", "kubelet.service"))
			noPods(t, "kube-system", "component=kube-scheduler")
		},
		mend: func(t *testing.T) {
			_ = onHost(t, "master", "mv", "/root/kube-scheduler.yaml", "/etc/kubernetes/manifests/")
			_ = onHost(t, "node-0001", "mv", "/var/lib/kubelet/config.yaml.was", "/var/lib/kubelet/config.yaml")
			_ = onHost(t, "node-0001", "systemctl", "restart", "kubelet.service")
			kubectl(t, "wait", "--for=condition=Ready", "node/node-0001", "--timeout=60s")
		},
		fail: []string{"node-selector", "static-pod"},
		pass: []string{"node-name", "host-path", "host-port", "exec-logs-cp-forward", "namespaces"},
	},
	{
		name: "a kubelet that cannot be asked",
		breaks: func(t *testing.T) {
			ok(t, onHost(t, "node-0001", "nft", "'add table inet deaf { chain in { type filter hook input priority -5; tcp dport 10250 drop; }; }'"))
			for end := time.Now().Add(90 * time.Second); ; time.Sleep(time.Second) { // metrics-server tells the last numbers for a while
				if run(t, inLab(bounded(t), "kubectl", "get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes/node-0001")).code != 0 {
					break
				}
				if time.Now().After(end) {
					t.Fatal("metrics-server still has numbers of a node that it cannot ask")
				}
			}
			noticed(t, `up{job="kubelet"} == 0`)
		},
		mend: func(t *testing.T) { _ = onHost(t, "node-0001", "nft", "delete", "table", "inet", "deaf") },
		fail: []string{"exec-logs-cp-forward", "host-path", "metrics", "prometheus-targets"},
		pass: []string{"node-name", "node-selector", "job"},
	},
	{
		name: "a namespace of the system's that goes and cannot",
		breaks: func(t *testing.T) {
			kubectl(t, "patch", "namespace", "kube-node-lease", "--type=merge", "-p", `{"metadata":{"finalizers":["example.org/stays"]}}`)
			kubectl(t, "delete", "namespace", "kube-node-lease", "--wait=false")
		},
		mend: func(t *testing.T) { // soon: without their leases nodes pass for dead
			kubectl(t, "patch", "namespace", "kube-node-lease", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
			kubectl(t, "wait", "namespace/kube-node-lease", "--for=delete", "--timeout=30s")
			apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-node-lease}\n")
		},
		fail: []string{"namespaces"},
		pass: []string{"node-name"},
	},
	{
		name: "pods that may not have what the lesson is about",
		breaks: func(t *testing.T) {
			apply(t, forbidding)
			kubectl(t, "create", "namespace", "kw-policy")
			kubectl(t, "label", "namespace", "kw-policy", "kubewright.io/verify=none")
			for end := time.Now().Add(30 * time.Second); ; time.Sleep(300 * time.Millisecond) { // the API server learns of a policy a moment later
				r := run(t, inLab(bounded(t), "kubectl", "-n", "kw-policy", "run", "x", "--image=x", "--restart=Never", "--dry-run=server"))
				if r.code != 0 {
					return
				}
				if time.Now().After(end) {
					t.Fatal("the policy does not come into force")
				}
			}
		},
		mend: func(t *testing.T) {
			kubectl(t, "delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "kw-forbidding", "--ignore-not-found")
			kubectl(t, "delete", "namespace", "kw-policy", "--ignore-not-found")
		},
		fail: []string{"configmap", "php", "empty-dir", "init-containers", "host-path", "host-port", "hooks", "probes", "restart-policy", "node-name"},
		pass: []string{"node-selector", "deployment", "dns"},
	},
}

// forbidding keeps pods out that have what those checks are about, in the namespaces of checks; the run's own, where the pods are that ask, has no check's name.
const forbidding = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: kw-forbidding}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchExpressions: [{key: kubewright.io/verify, operator: Exists}]}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  variables:
  - {name: own, expression: "namespaceObject.metadata.name.matches('^kw-verify-[a-z0-9]+$')"}
  validations:
  - expression: "variables.own || !has(object.spec.volumes) || !object.spec.volumes.exists(v, has(v.configMap) || has(v.emptyDir) || has(v.hostPath))"
  - expression: "variables.own || !has(object.spec.initContainers)"
  - expression: "variables.own || !object.spec.containers.exists(c, has(c.lifecycle) || has(c.livenessProbe))"
  - expression: "variables.own || !object.spec.containers.exists(c, has(c.ports) && c.ports.exists(p, has(p.hostPort)))"
  - expression: "variables.own || !has(object.spec.restartPolicy) || object.spec.restartPolicy == 'Always'"
  - expression: "variables.own || !has(object.spec.schedulerName) || object.spec.schedulerName == 'default-scheduler'"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: kw-forbidding}
spec: {policyName: kw-forbidding, validationActions: [Deny]}
`

// controllers has the controller manager run these, and waits until the one that does leads.
func controllers(t *testing.T, which string) {
	t.Helper()
	const file = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
	was := leader(t)
	// Not in the kubelet's folder, where sed's own file would be a manifest too.
	ok(t, onHost(t, "master", "cp", file, "/root/controllers.yaml"))
	ok(t, onHost(t, "master", "sed", "-i", "s/--controllers=.*/--controllers="+which+"/", "/root/controllers.yaml"))
	ok(t, onHost(t, "master", "mv", "/root/controllers.yaml", file))
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		if now := leader(t); now != was && now != "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no other controller manager leads")
		}
	}
}

// quiet moves CoreDNS away from a node, so that a taint sends nobody away from there.
func quiet(t *testing.T, node string) {
	t.Helper()
	kubectl(t, "cordon", node)
	kubectl(t, "-n", "kube-system", "delete", "pods", "-l", "k8s-app=kube-dns", "--field-selector", "spec.nodeName="+node)
	kubectl(t, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s")
	kubectl(t, "uncordon", node)
}

func leader(t *testing.T) string {
	t.Helper()
	return run(t, inLab(bounded(t), "kubectl", "-n", "kube-system", "get", "lease", "kube-controller-manager", "-o", "jsonpath={.spec.holderIdentity}")).stdout
}

// exile sends a DaemonSet's pods to a node that is not there.
func exile(t *testing.T, ns, what, label string) {
	t.Helper()
	kubectl(t, "-n", ns, "patch", what, "-p", `{"spec":{"template":{"spec":{"nodeSelector":{"kw-nowhere":"yes"}}}}}`)
	noPods(t, ns, label)
}

func recall(t *testing.T, ns, what string) {
	t.Helper()
	kubectl(t, "-n", ns, "patch", what, "-p", `{"spec":{"template":{"spec":{"nodeSelector":{"kw-nowhere":null}}}}}`)
	kubectl(t, "-n", ns, "rollout", "status", what, "--timeout=90s")
}

// noticed waits until Prometheus has found out: it asks every 30 seconds.
func noticed(t *testing.T, expr string) {
	t.Helper()
	settles(t, 2*time.Minute, func() string {
		if got, err := query(t, expr); err != nil || len(got.Result) == 0 {
			return fmt.Sprintf("%s: %v %v", expr, got, err)
		}
		return ""
	})
}

// noPods waits until there are no pods with that label.
func noPods(t *testing.T, ns, label string) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(300 * time.Millisecond) {
		if strings.TrimSpace(kubectl(t, "-n", ns, "get", "pods", "-l", label, "-o", "name")) == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("pods with %s are still there", label)
		}
	}
}
