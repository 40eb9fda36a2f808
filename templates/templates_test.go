package templates

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestCorefile compares with files that a reviewer can read: CoreDNS' own syntax is the argument.
func TestCorefile(t *testing.T) {
	for _, row := range []struct {
		file, domain string
		upstream     bool
	}{
		{"upstream.corefile", "cluster.local", true},
		{"alone.corefile", "one.test", false},
	} {
		want, err := os.ReadFile(filepath.Join("testdata", row.file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Corefile(row.domain, row.upstream)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", row.file, got, want)
		}
	}
}

func TestPoliciesAreWhatTheyAreCalled(t *testing.T) {
	kinds := map[string]string{
		"audit.yaml":            "audit.k8s.io/v1 Policy",
		"authentication.yaml":   "apiserver.config.k8s.io/v1 AuthenticationConfiguration",
		"admission.yaml":        "apiserver.config.k8s.io/v1 AdmissionConfiguration",
		"event-rate-limit.yaml": "eventratelimit.admission.k8s.io/v1alpha1 Configuration",
		"pod-security.yaml":     "pod-security.admission.config.k8s.io/v1 PodSecurityConfiguration",
	}
	for _, p := range policies(t) {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(p.Content, &head); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if got := head.APIVersion + " " + head.Kind; got != kinds[p.Name] {
			t.Errorf("%s is a %s, not a %s", p.Name, got, kinds[p.Name])
		}
		if p.Why == "" || strings.HasSuffix(p.Why, ".") {
			t.Errorf("%s: why %q", p.Name, p.Why)
		}
		delete(kinds, p.Name)
	}
	for name := range kinds {
		t.Errorf("%s is not among the policies", name)
	}
	embedded, err := files.ReadDir("policy")
	if err != nil || len(embedded) != len(policies(t)) {
		t.Errorf("%d files are embedded, %d are policies (%v)", len(embedded), len(policies(t)), err)
	}
}

// TestAdmissionNamesFilesThatAreThere: the API server looks for them beside the file that names them.
func TestAdmissionNamesFilesThatAreThere(t *testing.T) {
	var admission struct {
		Plugins []struct{ Name, Path string }
	}
	read(t, "admission.yaml", &admission)
	for _, p := range admission.Plugins {
		if !slices.ContainsFunc(policies(t), func(q Policy) bool { return q.Name == p.Path }) {
			t.Errorf("the plugin %s reads %q, which is not written", p.Name, p.Path)
		}
	}
	if len(admission.Plugins) == 0 {
		t.Error("no plugin is configured")
	}
}

// TestAnonymousReachesHealthOnly: with conditions, whoever is not known may ask for exactly these paths.
func TestAnonymousReachesHealthOnly(t *testing.T) {
	var config struct {
		Anonymous struct {
			Enabled    bool
			Conditions []struct{ Path string }
		}
	}
	read(t, "authentication.yaml", &config)
	var paths []string
	for _, c := range config.Anonymous.Conditions {
		paths = append(paths, c.Path)
	}
	slices.Sort(paths)
	if !config.Anonymous.Enabled || !slices.Equal(paths, []string{"/healthz", "/livez", "/readyz"}) {
		t.Errorf("enabled: %t, paths %q", config.Anonymous.Enabled, paths)
	}
}

func TestPodsKeepToTheBaseline(t *testing.T) {
	var config struct {
		Defaults   map[string]string
		Exemptions struct{ Namespaces, Usernames, RuntimeClasses []string }
	}
	read(t, "pod-security.yaml", &config)
	if config.Defaults["enforce"] != "baseline" {
		t.Errorf("enforced is %q", config.Defaults["enforce"])
	}
	e := config.Exemptions
	if !slices.Equal(e.Namespaces, []string{"kube-system", "kube-flannel"}) || len(e.Usernames)+len(e.RuntimeClasses) > 0 {
		t.Errorf("exempt are %+v", e)
	}
}

// rule is an audit rule, as far as these tests read it.
type rule struct {
	Level                       string
	Users, UserGroups, Verbs    []string
	NonResourceURLs, Namespaces []string
	OmitStages                  []string
	Resources                   []struct {
		Group                    string
		Resources, ResourceNames []string
	}
}

// TestAuditTellsWhoDidWhatButNoSecret: the first rule that matches decides, as in the API server.
func TestAuditTellsWhoDidWhatButNoSecret(t *testing.T) {
	var policy struct{ Rules []rule }
	read(t, "audit.yaml", &policy)
	for _, row := range []struct{ user, group, verb, apiGroup, resource, want string }{
		{"ada", "system:authenticated", "get", "", "secrets", "Metadata"},
		{"ada", "system:authenticated", "create", "", "secrets", "Metadata"},
		{"ada", "system:authenticated", "update", "", "configmaps", "Metadata"},
		{"system:kube-scheduler", "system:authenticated", "create", "", "serviceaccounts/token", "Metadata"},
		{"system:apiserver", "system:masters", "create", "authentication.k8s.io", "tokenreviews", "Metadata"},
		{"system:node:x", "system:nodes", "get", "", "secrets", "Metadata"},
		{"system:node:x", "system:nodes", "get", "", "nodes", "None"},
		{"system:kube-proxy", "system:authenticated", "watch", "", "services", "None"},
		{"ada", "system:masters", "update", "coordination.k8s.io", "leases", "None"},
		{"ada", "system:masters", "delete", "coordination.k8s.io", "leases", "some"},
		{"ada", "system:masters", "create", "", "pods/exec", "some"},
		{"ada", "system:masters", "delete", "", "pods", "some"},
		{"ada", "system:masters", "create", "rbac.authorization.k8s.io", "clusterrolebindings", "some"},
		{"ada", "system:masters", "get", "", "nodes", "some"},
	} {
		got := "None"
		for _, r := range policy.Rules {
			if r.matches(row.user, row.group, row.verb, row.apiGroup, row.resource) {
				got = r.Level
				break
			}
		}
		if got != row.want && (row.want != "some" || got == "None") {
			t.Errorf("%s %ss %s: recorded is %s, not %s", row.user, row.verb, row.resource, got, row.want)
		}
	}
	if last := policy.Rules[len(policy.Rules)-1]; len(last.Users)+len(last.UserGroups)+len(last.Verbs)+len(last.NonResourceURLs)+len(last.Resources)+len(last.Namespaces) > 0 || last.Level == "None" {
		t.Errorf("the last rule is for everything else, and records it: %+v", last)
	}
}

func (r rule) matches(user, group, verb, apiGroup, resource string) bool {
	in := func(all []string, s string) bool {
		return len(all) == 0 || slices.Contains(all, s) || slices.Contains(all, "*")
	}
	if len(r.NonResourceURLs) > 0 || len(r.Namespaces) > 0 || !in(r.Users, user) || !in(r.UserGroups, group) || !in(r.Verbs, verb) {
		return false
	}
	if len(r.Resources) == 0 {
		return true
	}
	for _, g := range r.Resources {
		if g.Group == apiGroup && in(g.Resources, resource) {
			return true
		}
	}
	return false
}

func policies(t *testing.T) []Policy {
	t.Helper()
	all, err := Policies()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// read decodes one policy.
func read(t *testing.T, name string, into any) {
	t.Helper()
	for _, p := range policies(t) {
		if p.Name == name {
			if err := yaml.Unmarshal(p.Content, into); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return
		}
	}
	t.Fatalf("there is no %s", name)
}
