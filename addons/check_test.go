package addons

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/inventory"
)

const hosts = `apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  hosts: [{name: m, address: 192.168.1.21, roles: [control-plane, worker, registry], ssh: {port: 32022}}]
  addons:
    monitoring: {enabled: true, nodePort: 30091}
    dashboard: {enabled: true}
    metricsServer: {enabled: true}
    ingress: {enabled: true, expose: nodePort}
    own:
`

func cluster(t *testing.T, own string) *inventory.Cluster {
	t.Helper()
	c, err := inventory.Parse("cluster.yaml", []byte(hosts+own))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheck(t *testing.T) {
	const web = `    - name: %
      manifests: |
        apiVersion: v1
        kind: Service
        metadata: {name: %}
        spec: {type: NodePort, ports: [{port: 80, nodePort: 30090}, {port: 81}]}
`
	pod := func(images ...string) string {
		text := "    - name: a\n      manifests: |\n        apiVersion: v1\n        kind: Pod\n        metadata: {name: a}\n        spec:\n          containers:\n"
		for _, image := range images {
			text += "          - image: \"" + image + "\"\n"
		}
		return text
	}
	addon := func(name, text string) string { return strings.ReplaceAll(text, "%", name) }
	for _, row := range []struct{ name, own, want string }{
		{"all is well", addon("a", web), ""},
		{"a port of ours", addon("a", strings.ReplaceAll(web, "30090", "30080")), "addon a: Service/default/a: the NodePort 30080 is that of the addon ingress; choose another"},
		{"a port of the other", addon("a", web) + addon("b", web), "addon b: Service/default/b: the NodePort 30090 is that of Service/default/a of the addon a; choose another"},
		{"no NodePort", addon("a", strings.ReplaceAll(web, "30090", "8080")), "addon a: Service/default/a: 8080 is not a NodePort; write a number from 30000 to 32767"},
		{"an API that metrics-server has", "    - name: a\n      manifests: |\n        apiVersion: apiregistration.k8s.io/v1\n        kind: APIService\n        metadata: {name: v1beta1.metrics.k8s.io}\n",
			"addon a: APIService.apiregistration.k8s.io/v1beta1.metrics.k8s.io is in the addon metrics-server as well; leave it out of one of them"},
		{"one port for two protocols", "    - name: a\n      manifests: |\n        apiVersion: v1\n        kind: Service\n        metadata: {name: a}\n        spec: {ports: [{name: a, nodePort: 30053, protocol: UDP}, {name: b, nodePort: 30053}]}\n", ""},
		{"one port twice", "    - name: a\n      manifests: |\n        apiVersion: v1\n        kind: Service\n        metadata: {name: a}\n        spec: {ports: [{name: a, nodePort: 30053, protocol: TCP}, {name: b, nodePort: 30053}]}\n",
			"addon a: Service/default/a: two of its ports have the NodePort 30053; choose another for one"},
		{"sshd's port", addon("a", strings.ReplaceAll(web, "30090", "32022")), "addon a: Service/default/a: the NodePort 32022 is that of sshd on m; choose another"},
		{"a namespace that must not go", "    - name: a\n      manifests: |\n        apiVersion: v1\n        kind: Namespace\n        metadata: {name: kube-system}\n",
			"addon a: Namespace/kube-system is the cluster's own, and would go with the addon; leave it out"},
		{"a node", "    - name: a\n      manifests: |\n        apiVersion: v1\n        kind: Node\n        metadata: {name: m, labels: {disk: ssd}}\n",
			"addon a: Node/m is the cluster's own, and would go with the addon; leave it out"},
		{"what makes a cluster", "    - name: a\n      manifests: |\n        apiVersion: v1\n        kind: ConfigMap\n        metadata: {name: coredns, namespace: kube-system}\n",
			"addon a: ConfigMap/kube-system/coredns is the cluster's own, and would go with the addon; leave it out"},
		{"who may do what", "    - name: a\n      manifests: |\n        apiVersion: rbac.authorization.k8s.io/v1\n        kind: ClusterRole\n        metadata: {name: 'system:node'}\n",
			"addon a: ClusterRole.rbac.authorization.k8s.io/system:node is the cluster's own, and would go with the addon; leave it out"},
		{"a kind that the operator defines", "    - name: a\n      manifests: |\n        apiVersion: apiextensions.k8s.io/v1\n        kind: CustomResourceDefinition\n        metadata: {name: prometheuses.monitoring.coreos.com}\n",
			"addon a: CustomResourceDefinition.apiextensions.k8s.io/prometheuses.monitoring.coreos.com is in the addon monitoring as well; leave it out of one of them"},
		{"images that can be", pod("nginx", "r:5000/web", "r:5000/a/b:v1", "r:5000/a:v1@sha256:"+strings.Repeat("0", 64)), ""},
		{"images that cannot be", pod("r:5000/Web:v1", "r:5000/web@sha256:12", "a b"),
			`addon a: Pod/default/a: "r:5000/Web:v1" is no image; write REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST, in lower-case letters` + "\n" +
				`addon a: Pod/default/a: "r:5000/web@sha256:12" is no image; write REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST, in lower-case letters` + "\n" +
				`addon a: Pod/default/a: "a b" is no image; write REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST, in lower-case letters`},
		{"what cannot be read", "    - {name: a, manifests: 'kind: x'}\n", "addon a: document 1 of its manifests: it has no apiVersion or no kind"},
	} {
		got := ""
		if err := Check(cluster(t, row.own)); err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%s: got %s", row.name, got)
		}
	}
}

// TestCatalogue: every addon has what a reader wants to know, and every object of it its namespace.
func TestCatalogue(t *testing.T) {
	c := cluster(t, "")
	for _, a := range Catalogue() {
		if a.Short == "" || len(a.Images) == 0 {
			t.Errorf("%+v", a)
		}
		if _, known := inventory.AddonKey(a.Name); !known {
			t.Errorf("the inventory does not know the addon %s", a.Name)
		}
		parts, err := a.Make(Env{Cluster: c, Image: func(name string) string { return "registry:5000/" + name + ":v1@sha256:0" }, File: func(string) []byte { return definitions() }})
		if err != nil {
			t.Errorf("%s: %v", a.Name, err)
		}
		if len(parts.Ready) == 0 {
			t.Errorf("%s: nothing says when it works", a.Name)
		}
		if _, err := Steps(a, parts); err != nil {
			t.Error(err)
		}
	}
}
