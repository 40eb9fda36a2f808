//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/inventory"
)

// watchedJobs are what has to answer Prometheus in the lab, in either profile.
var watchedJobs = []string{
	"alertmanager", "apiserver", "coredns", "etcd", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kube-state-metrics", "kubelet", "metrics-server", "node-exporter",
	"prometheus", "traefik",
}

// TestMonitoring has Prometheus run by the operator and plain: everything answers it, every panel of every dashboard has data, and nothing is wrong but what says that alerts are sent.
func TestMonitoring(t *testing.T) {
	with := func(profile string, grafana bool) string {
		return withAddons(t, fmt.Sprintf("    metricsServer: {enabled: true}\n    ingress: {enabled: true}\n"+
			"    monitoring: {enabled: true, profile: %s, grafana: {enabled: %t}}\n", profile, grafana))
	}
	t.Cleanup(func() { must(t, kubewright(bounded(t), "reset", "--yes=lab")) })
	for _, profile := range []string{inventory.ProfileOperator, inventory.ProfilePlain} {
		t.Run(profile, func(t *testing.T) {
			file := with(profile, false)
			c, err := inventory.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			r := must(t, inLab(bounded(t), "kubewright", "up", "--timing", "-f", file))
			t.Logf("%s", r.stdout)
			monitored(t, c, profile)
			if r := must(t, inLab(bounded(t), "kubewright", "up", "-f", file)); !strings.HasPrefix(r.stdout, "nothing to do") {
				t.Errorf("up again did something:\n%s%s", r.stdout, r.stderr)
			}
		})
	}
	t.Run("who asks", whoAsks)
	t.Run("grafana", func(t *testing.T) {
		grafanaFits(t, with(inventory.ProfilePlain, true))
	})
	t.Run("disabled", func(t *testing.T) {
		must(t, kubewright(bounded(t), "up"))
		left := kubectl(t, "get", "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings", "-o", "name")
		for _, word := range []string{"namespace/monitoring", "monitoring.coreos.com", "kubewright:"} {
			if strings.Contains(left, word) {
				t.Errorf("there is still %s:\n%s", word, left)
			}
		}
	})
}

// prometheus asks Prometheus' API on a node's port.
func prometheus[T any](t *testing.T, path string) (T, error) {
	t.Helper()
	var answer struct {
		Status, Error string
		Data          T
	}
	at := fmt.Sprintf("http://%s:30090/api/v1/%s", cluster.Nodes()[len(cluster.Nodes())-1].Address, path)
	r := run(t, inLab(bounded(t), "curl", "-sS", "--noproxy", "*", "--max-time", "20", at))
	if err := json.Unmarshal([]byte(r.stdout), &answer); err != nil {
		return answer.Data, fmt.Errorf("%s: %s%s", at, r.stdout, r.stderr)
	}
	if answer.Status != "success" {
		return answer.Data, fmt.Errorf("%s: %s", at, answer.Error)
	}
	return answer.Data, nil
}

type samples struct {
	Result []struct {
		Metric map[string]string
		Value  [2]any
	}
}

func query(t *testing.T, expr string) (samples, error) {
	t.Helper()
	return prometheus[samples](t, "query?query="+url.QueryEscape(expr))
}

// settles looks again until nothing is lacking any more.
func settles(t *testing.T, within time.Duration, lacking func() string) {
	t.Helper()
	began := time.Now()
	for {
		lack := lacking()
		if lack == "" {
			t.Logf("so after %s", time.Since(began).Round(time.Second))
			return
		}
		if time.Since(began) > within {
			t.Errorf("after %s: %s", within, lack)
			return
		}
		time.Sleep(5 * time.Second)
	}
}

func monitored(t *testing.T, c *inventory.Cluster, profile string) {
	t.Helper()
	settles(t, 2*time.Minute, func() string { return targetsDown(t, profile) })
	queries := addons.DashboardQueries(addons.Env{Cluster: c})
	settles(t, 3*time.Minute, func() string {
		for i := 0; i < len(queries); i++ {
			q := queries[i]
			if got, err := query(t, q.Expr); err != nil || len(got.Result) == 0 || got.Result[0].Value[1] == "NaN" {
				queries = queries[i:] // those before have answered
				return fmt.Sprintf("%s, %s: %s: %v %v", q.Dashboard, q.Panel, q.Expr, got, err)
			}
		}
		return ""
	})
	settles(t, 2*time.Minute, func() string { return rulesUnwell(t) })
	settles(t, 2*time.Minute, func() string { // alerts are samples only from the third evaluation on, when Prometheus knows for how long they have been
		got, err := query(t, `ALERTS{alertstate="firing"}`)
		if err != nil {
			return err.Error()
		}
		for _, r := range got.Result {
			if r.Metric["alertname"] != "Watchdog" {
				t.Errorf("%v", r.Metric)
			}
		}
		if len(got.Result) == 0 {
			return "the alert Watchdog does not fire"
		}
		return ""
	})
	settles(t, 2*time.Minute, func() string { // what it could not send at first is sent again after a minute
		sent := run(t, inLab(bounded(t), "kubectl", "get", "--raw", "/api/v1/namespaces/monitoring/services/alertmanager-main:web/proxy/api/v2/alerts"))
		if !strings.Contains(sent.stdout, "Watchdog") {
			return "Alertmanager has " + sent.stdout + sent.stderr
		}
		return ""
	})
	for _, h := range c.Nodes() {
		page := run(t, inLab(bounded(t), "curl", "-sS", "--noproxy", "*", "--max-time", "20", "-L", fmt.Sprintf("http://%s:30090/", h.Address)))
		if !strings.Contains(page.stdout, "<title>Prometheus") {
			t.Errorf("the page at %s is %.200s%s", h.Name, page.stdout, page.stderr)
		}
	}
	t.Logf("memory:\n%s", run(t, inLab(bounded(t), "kubectl", "-n", "monitoring", "top", "pods")).stdout)
}

func targetsDown(t *testing.T, profile string) string {
	type found struct {
		ActiveTargets []struct {
			Labels                       map[string]string
			Health, LastError, ScrapeURL string
		}
	}
	all, err := prometheus[found](t, "targets?state=active")
	if err != nil {
		return err.Error()
	}
	up := map[string]int{}
	for _, x := range all.ActiveTargets {
		if x.Health != "up" {
			return fmt.Sprintf("%v is %s: %s", x.Labels, x.Health, x.LastError)
		}
		up[x.Labels["job"]]++
	}
	want := slices.Clone(watchedJobs)
	if profile == inventory.ProfileOperator {
		want = append(want, "prometheus-operator")
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(up)); !slices.Equal(got, want) {
		return fmt.Sprintf("asked are %q", got)
	}
	if up["node-exporter"] != len(nodes) || up["kube-proxy"] != len(nodes) || up["kubelet"] != 3*len(nodes) {
		return fmt.Sprintf("not every node is asked: %v", up)
	}
	return ""
}

func rulesUnwell(t *testing.T) string {
	type rules struct {
		Groups []struct {
			Name  string
			Rules []struct{ Name, Health, LastError string }
		}
	}
	all, err := prometheus[rules](t, "rules")
	if err != nil {
		return err.Error()
	}
	n := 0
	for _, g := range all.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" {
				return fmt.Sprintf("%s: %s is %s: %s", g.Name, r.Name, r.Health, r.LastError)
			}
		}
	}
	if n < 40 {
		return fmt.Sprintf("there are %d rules", n)
	}
	return ""
}

// whoAsks: what the control plane tells on the loopback it tells others through a proxy alone, and that only whom RBAC lets.
func whoAsks(t *testing.T) {
	master := cluster.With(inventory.ControlPlane)[0]
	for _, p := range []int{10357, 10359, 12381, 10349} {
		at := fmt.Sprintf("https://%s:%d/metrics", master.Address, p)
		status := func(token string) string {
			return onHost(t, nodes[len(nodes)-1], fmt.Sprintf("curl -sk -o /dev/null -w %%{http_code} -H 'Authorization: Bearer %s' %s", token, at)).stdout
		}
		nobody := strings.TrimSpace(kubectl(t, "-n", "default", "create", "token", "default"))
		allowed := strings.TrimSpace(kubectl(t, "-n", "monitoring", "create", "token", "prometheus-k8s"))
		if got := status("nonsense") + " " + status(nobody) + " " + status(allowed); got != "401 403 200" {
			t.Errorf("%s answers %s", at, got)
		}
	}
	for _, p := range []string{"10257", "10259", "2381", "10249"} {
		if r := onHost(t, nodes[len(nodes)-1], "curl -sk --max-time 5 https://"+master.Address.String()+":"+p+"/metrics"); len(nodes) > 1 && r.code != 7 {
			t.Errorf("port %s of %s is open to others: %d %s", p, master.Name, r.code, r.stdout)
		}
	}
	for _, account := range []string{"prometheus-k8s", "kube-state-metrics", "node-exporter", "node-metrics"} {
		r := run(t, inLab(bounded(t), "kubectl", "auth", "can-i", "list", "secrets", "-n", "monitoring", "--as", "system:serviceaccount:monitoring:"+account))
		if strings.TrimSpace(r.stdout) != "no" {
			t.Errorf("%s may list Secrets: %s%s", account, r.stdout, r.stderr)
		}
	}
}

// grafanaFits: without its image up says so before it changes anything, and what would be made the API server would take.
func grafanaFits(t *testing.T, file string) {
	r := run(t, inLab(bounded(t), "kubewright", "up", "-f", file))
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, "the bundle has no image grafana: leave monitoring.grafana out, or add the image to the bundle") {
		t.Errorf("up: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	c, err := inventory.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, a := range addons.Catalogue() {
		if a.Name != inventory.AddonMonitoring {
			continue
		}
		parts, err := a.Make(addons.Env{Cluster: c, Image: func(name string) string {
			return labRegistry + "/" + name + ":v13.0.2@sha256:" + strings.Repeat("0", 64)
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range parts.Objects {
			made := addons.New(o)
			if !strings.Contains(string(made.Key()), "/grafana") {
				continue
			}
			raw, err := json.Marshal(made.Manifest)
			if err != nil {
				t.Fatal(err)
			}
			dry := inLab(bounded(t), "kubectl", "apply", "--server-side", "--dry-run=server", "-f", "-")
			dry.Stdin = strings.NewReader(string(raw))
			must(t, dry)
			n++
		}
	}
	if n != 6 {
		t.Errorf("%d objects are Grafana's", n)
	}
	if r := run(t, inLab(bounded(t), "kubectl", "-n", "monitoring", "get", "deployment", "grafana")); r.code == 0 {
		t.Errorf("there is a Grafana: %s", r.stdout)
	}
}
