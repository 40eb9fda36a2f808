package addons

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/inventory"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// watched is what a cluster with monitoring is made of.
func watched(t *testing.T, settings string) (Env, Parts) {
	t.Helper()
	c, err := inventory.Parse("cluster.yaml", fmt.Appendf(nil, `
apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: one}
spec:
  hosts:
  - {name: box, address: 10.1.0.1, roles: [control-plane, worker, registry]}
  addons:
    ingress: {enabled: true}
    metricsServer: {enabled: true}
    monitoring: {enabled: true, %s}
`, settings))
	if err != nil {
		t.Fatal(err)
	}
	e := Env{
		Cluster: c,
		Image:   func(name string) string { return "10.1.0.1:5000/" + name + ":v3.4.5@sha256:0" },
		File:    func(string) []byte { return definitions() },
	}
	parts, err := monitoring.Make(e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Steps(monitoring, parts); err != nil {
		t.Fatal(err)
	}
	return e, parts
}

// definitions are as many kinds as the bundle's file has that matter, and one that does not.
func definitions() []byte {
	var out []byte
	for _, kind := range append(slices.Clone(operatorKinds), "ThanosRuler") {
		out = fmt.Appendf(out, "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: %ss.monitoring.coreos.com}\nspec: {names: {kind: %s}}\n", strings.ToLower(kind), kind)
	}
	return out
}

var monitoringSettings = []string{"profile: plain", "profile: operator", "profile: plain, controlPlane: false", "profile: operator, controlPlane: false", "grafana: {enabled: true}"}

// TestMonitoringMayLittle: nobody reads Secrets but the operator, which keeps its own in the addon's namespace, and nobody may do everything.
func TestMonitoringMayLittle(t *testing.T) {
	for _, settings := range monitoringSettings {
		_, parts := watched(t, settings)
		for _, o := range parts.Objects {
			var name string
			var rules []rbacv1.PolicyRule
			switch o := o.(type) {
			case *rbacv1.ClusterRole:
				name, rules = o.Name, o.Rules
			case *rbacv1.Role:
				name, rules = "the Role "+o.Name, o.Rules
				if o.Namespace != monitoringNamespace {
					t.Errorf("%s: %s is in %s", settings, name, o.Namespace)
				}
			}
			for _, r := range rules {
				for _, word := range slices.Concat(r.Verbs, r.Resources, r.APIGroups) {
					if word == "*" || word == "escalate" || word == "impersonate" || word == "bind" || word == "nodes/proxy" {
						t.Errorf("%s: %s has %s", settings, name, word)
					}
				}
				if slices.Contains(r.Resources, "secrets") && name != "the Role "+operatorName {
					t.Errorf("%s: %s has Secrets: %v", settings, name, r.Verbs)
				}
			}
		}
	}
}

// TestMonitoringIsLocked: every container of ours runs as nobody, on a root that it cannot write; nobody is among the hosts' processes.
func TestMonitoringIsLocked(t *testing.T) {
	for _, settings := range monitoringSettings {
		_, parts := watched(t, settings)
		for _, o := range parts.Objects {
			var name string
			var spec corev1.PodSpec
			switch o := o.(type) {
			case *appsv1.DaemonSet:
				name, spec = o.Name, o.Spec.Template.Spec
			case *appsv1.Deployment:
				name, spec = o.Name, o.Spec.Template.Spec
			case *appsv1.StatefulSet:
				name, spec = o.Name, o.Spec.Template.Spec
			}
			if spec.HostPID || spec.HostIPC {
				t.Errorf("%s: %s is among the host's processes", settings, name)
			}
			for _, c := range spec.Containers {
				s := c.SecurityContext
				if s == nil || !*s.RunAsNonRoot || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || s.SeccompProfile == nil || len(s.Capabilities.Drop) != 1 || len(c.Resources.Requests) != 2 {
					t.Errorf("%s: %s, %s: %+v", settings, name, c.Name, s)
				}
				for _, m := range c.VolumeMounts {
					if strings.HasPrefix(m.MountPath, "/host") && !m.ReadOnly {
						t.Errorf("%s: %s may write to the host's %s", settings, name, m.MountPath)
					}
				}
			}
		}
	}
}

// TestProfilesAskTheSame: in both profiles the same jobs by the same names, so that the same rules fit.
func TestProfilesAskTheSame(t *testing.T) {
	_, plain := watched(t, "profile: plain")
	var config struct {
		Scrape []struct {
			Job   string           `json:"job_name"`
			Steps []map[string]any `json:"relabel_configs"`
		} `json:"scrape_configs"`
	}
	for _, o := range plain.Objects {
		if cm, ok := o.(*corev1.ConfigMap); ok && cm.Name == plainPrometheusName {
			if err := yaml.Unmarshal([]byte(cm.Data["prometheus.yml"]), &config); err != nil {
				t.Fatal(err)
			}
		}
	}
	jobs := func(all []map[string]any, target string) string {
		for _, s := range all {
			if s[target] == "job" {
				return s["replacement"].(string)
			}
		}
		return ""
	}
	var one, two []string
	for _, s := range config.Scrape {
		one = append(one, jobs(s.Steps, "target_label"))
	}
	_, operated := watched(t, "profile: operator")
	for _, o := range operated.Objects {
		m := New(o).Manifest
		raw, err := json.Marshal(m["spec"])
		if err != nil {
			t.Fatal(err)
		}
		var spec struct {
			Endpoints, PodMetricsEndpoints []struct{ Relabelings []map[string]any }
			Relabelings                    []map[string]any
		}
		switch m["kind"] {
		case "ServiceMonitor", "PodMonitor", "ScrapeConfig":
			if err := json.Unmarshal(raw, &spec); err != nil {
				t.Fatal(err)
			}
			for _, e := range append(spec.Endpoints, spec.PodMetricsEndpoints...) {
				two = append(two, jobs(e.Relabelings, "targetLabel"))
			}
			if m["kind"] == "ScrapeConfig" {
				two = append(two, jobs(spec.Relabelings, "targetLabel"))
			}
		}
	}
	slices.Sort(one)
	two = slices.DeleteFunc(two, func(job string) bool { return job == operatorName })
	slices.Sort(two)
	if !slices.Equal(one, two) || len(one) != 16 || slices.Contains(one, "") {
		t.Errorf("plain: %q\noperator: %q", one, two)
	}
}

// TestPortsOfMonitoring: what is let through firewalls is what somebody listens on, and nothing else.
func TestPortsOfMonitoring(t *testing.T) {
	_, parts := watched(t, "profile: plain")
	var listened, open []int
	for _, o := range parts.Objects {
		if d, ok := o.(*appsv1.DaemonSet); ok {
			for _, c := range d.Spec.Template.Spec.Containers {
				for _, p := range c.Ports {
					listened = append(listened, int(p.HostPort))
				}
				if !d.Spec.Template.Spec.HostNetwork {
					t.Errorf("%s is not in the host's network", d.Name)
				}
			}
		}
	}
	for _, p := range inventory.MetricsPorts {
		open = append(open, p.Port)
	}
	slices.Sort(listened)
	slices.Sort(open)
	if !slices.Equal(listened, open) {
		t.Errorf("listened on: %v; let through: %v", listened, open)
	}
}

// TestRules: each has one name and one expression, every alert says what is wrong and what to do, and what they and the dashboards ask is recorded.
func TestRules(t *testing.T) {
	e, _ := watched(t, "profile: plain")
	seen := map[string]string{}
	var asked []string
	for _, g := range ruleGroups(e.Cluster) {
		for _, r := range g.Rules {
			name := r.Record + r.Alert
			if other := seen[r.Expr]; other != "" || seen[name] != "" {
				t.Errorf("%s is there twice, or as %s", name, other)
			}
			seen[r.Expr], seen[name] = name, name
			if r.Alert != "" && (r.Annotations["summary"] == "" || r.Annotations["description"] == "" || !slices.Contains([]string{critical, warning, "none"}, r.Labels["severity"])) {
				t.Errorf("%s: %v %v", name, r.Annotations, r.Labels)
			}
			asked = append(asked, r.Expr)
		}
	}
	panels := map[string]bool{}
	for _, q := range DashboardQueries(e) {
		if panels[q.Dashboard+q.Panel] {
			t.Errorf("%s: %s is there twice", q.Dashboard, q.Panel)
		}
		panels[q.Dashboard+q.Panel] = true
		asked = append(asked, q.Expr)
	}
	recorded := regexp.MustCompile(`\b(node|pod|apiserver|coredns):[a-z_]+:[a-z0-9]+`)
	for _, expr := range asked {
		if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
			t.Errorf("%s does not close", expr)
		}
		for _, name := range recorded.FindAllString(expr, -1) {
			if seen[name] == "" {
				t.Errorf("%s asks for %s, which nobody records", expr, name)
			}
		}
	}
}

// TestWithoutTheControlPlane: neither its proxies, nor its certificate, nor what asks for it.
func TestWithoutTheControlPlane(t *testing.T) {
	for _, profile := range []string{"plain", "operator"} {
		e, parts := watched(t, "controlPlane: false, profile: "+profile)
		if len(parts.Secrets) != 0 {
			t.Errorf("%s: %v", profile, parts.Secrets)
		}
		for _, o := range parts.Objects {
			raw, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			for _, word := range []string{"kube-rbac-proxy", "SchedulerDown", "etcd_server_has_leader", `job=\"kube-proxy`} {
				if strings.Contains(string(raw), word) {
					t.Errorf("%s: %s has %s", profile, New(o).Key(), word)
				}
			}
		}
		for _, q := range DashboardQueries(e) {
			if q.Dashboard == controlPlaneBoard.Title {
				t.Errorf("%s: %v", profile, q)
			}
		}
	}
}

// TestGrafana: with its image the same queries as are told; without it a sentence, before anything is changed.
func TestGrafana(t *testing.T) {
	e, parts := watched(t, "grafana: {enabled: true}")
	var shown []string
	for _, o := range parts.Objects {
		cm, ok := o.(*corev1.ConfigMap)
		if !ok || cm.Name != "grafana-dashboards" {
			continue
		}
		for name, text := range cm.Data {
			var board struct {
				Panels []struct{ Targets []struct{ Expr string } }
			}
			if err := json.Unmarshal([]byte(text), &board); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, p := range board.Panels {
				shown = append(shown, p.Targets[0].Expr)
			}
		}
	}
	var told []string
	for _, q := range DashboardQueries(e) {
		told = append(told, q.Expr)
	}
	slices.Sort(shown)
	slices.Sort(told)
	if !slices.Equal(shown, told) {
		t.Errorf("shown: %d, told: %d", len(shown), len(told))
	}
	e.Has = func(name string) bool { return name != "grafana" }
	if _, err := monitoring.Make(e); err == nil || err.Error() != "the bundle has no image grafana: leave monitoring.grafana out, or add the image to the bundle" {
		t.Errorf("%v", err)
	}
}

func TestVersionIn(t *testing.T) {
	for ref, want := range map[string]string{
		"10.1.0.1:5000/prometheus:v3.13.1@sha256:0": "3.13.1", "r.example:5000/a/prometheus:2.42.0-ds-5-deb12u1": "2.42.0", "r:5000/prometheus@sha256:0": "1.0.0", "p:latest": "1.0.0",
	} {
		if got := versionIn(ref, "1.0.0"); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}
