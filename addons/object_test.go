package addons

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/ops"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestKeys(t *testing.T) {
	for _, row := range []struct {
		op   ops.Op
		want ops.Key
	}{
		{config("kube-system", "a", "1"), "object:ConfigMap/kube-system/a"},
		{namespace("kube-flannel"), "object:Namespace/kube-flannel"},
		{config("kube-system", "a", "1").absent(), "object:ConfigMap/kube-system/a"},
		{ClusterInfo{Server: "x"}, "object:ConfigMap/kube-public/cluster-info"},
		{Ready{Kind: "Node", Name: "master"}, "ready:Node/master"},
		{Ready{Kind: "DaemonSet", Namespace: "kube-system", Name: "kube-proxy"}, "ready:DaemonSet/kube-system/kube-proxy"},
	} {
		if got := row.op.Key(); got != row.want {
			t.Errorf("got %s, want %s", got, row.want)
		}
	}
}

// TestNewHoldsOnlyWhatIsWished: typed objects carry nulls and a status, which would be claims on fields that are others'.
func TestNewHoldsOnlyWhatIsWished(t *testing.T) {
	got := New(&appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "n"},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{}}},
		}}},
		Status: appsv1.DeploymentStatus{Replicas: 3},
	}).Manifest
	if _, there := got["status"]; there {
		t.Error("it wishes for a status")
	}
	var nulls []string
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case nil:
			nulls = append(nulls, at)
		case map[string]any:
			for k, x := range v {
				walk(at+"."+k, x)
			}
		case []any:
			for _, x := range v {
				walk(at+"[]", x)
			}
		}
	}
	walk("", got)
	if len(nulls) > 0 {
		t.Errorf("null is wished for at %q", nulls)
	}
}

func TestPrune(t *testing.T) {
	m := map[string]any{
		"a": nil, "b": "x", "c": map[string]any{"d": nil, "e": map[string]any{"f": nil}},
		"g": []any{map[string]any{"h": nil, "i": 1}, "j", nil}, "k": map[string]any{},
	}
	prune(m)
	want := map[string]any{"b": "x", "c": map[string]any{"e": map[string]any{}}, "g": []any{map[string]any{"i": 1}, "j", nil}, "k": map[string]any{}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %v, want %v", m, want)
	}
}

func TestProject(t *testing.T) {
	for _, row := range []struct {
		name             string
		live, wish, want any
	}{
		{"fields of others", map[string]any{"ours": "1", "theirs": "2"}, map[string]any{"ours": "0"}, map[string]any{"ours": "1"}},
		{"a field that is gone", map[string]any{}, map[string]any{"ours": "0"}, map[string]any{}},
		{"deep down", map[string]any{"a": map[string]any{"ours": "1", "theirs": "2"}}, map[string]any{"a": map[string]any{"ours": "0"}}, map[string]any{"a": map[string]any{"ours": "1"}}},
		{"defaults in a list's entries", []any{map[string]any{"port": 53, "protocol": "UDP"}}, []any{map[string]any{"port": 53}}, []any{map[string]any{"port": 53}}},
		{"a list of another length", []any{"a", "b"}, []any{"a"}, []any{"a", "b"}},
		{"another type", "text", map[string]any{"a": "b"}, "text"},
		{"a list that is none any more", "text", []any{"a"}, "text"},
		{"a value", "1", "0", "1"},
	} {
		if got := project(row.live, row.wish); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}

func TestSame(t *testing.T) {
	base := func(change func(map[string]any)) *unstructured.Unstructured {
		o := map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"a": "1"}, "status": map[string]any{"phase": "x"},
			"metadata": map[string]any{"name": "c", "resourceVersion": "1", "generation": int64(1), "uid": "u", "managedFields": []any{map[string]any{"manager": "x"}}},
		}
		if change != nil {
			change(o)
		}
		return &unstructured.Unstructured{Object: o}
	}
	meta := func(o map[string]any) map[string]any { return o["metadata"].(map[string]any) }
	for _, row := range []struct {
		name   string
		change func(map[string]any)
		same   bool
	}{
		{"nothing", nil, true},
		{"the version that the server counts", func(o map[string]any) { meta(o)["resourceVersion"] = "2" }, true},
		{"the generation", func(o map[string]any) { meta(o)["generation"] = int64(2) }, true},
		{"who owns which field", func(o map[string]any) { meta(o)["managedFields"] = []any{} }, true},
		{"the status", func(o map[string]any) { o["status"] = map[string]any{"phase": "y"} }, true},
		{"the data", func(o map[string]any) { o["data"] = map[string]any{"a": "2"} }, false},
		{"a field more", func(o map[string]any) { o["immutable"] = true }, false},
		{"a label", func(o map[string]any) { meta(o)["labels"] = map[string]any{"a": "b"} }, false},
	} {
		a, b := base(nil), base(row.change)
		if got := same(a, b); got != row.same {
			t.Errorf("%s makes it the same: %t, want %t", row.name, got, row.same)
		}
		if !reflect.DeepEqual(a, base(nil)) {
			t.Errorf("%s: comparing changed what was compared", row.name)
		}
	}
}

// TestAChangedConfigReplacesPods: what a pod reads at its start is told by its template, or a rollout would not follow.
func TestAChangedConfigReplacesPods(t *testing.T) {
	reads := func(all []runtime.Object) string {
		for _, o := range all {
			m := New(o).Manifest
			if u := (&unstructured.Unstructured{Object: m}); u.GetKind() == "DaemonSet" || u.GetKind() == "Deployment" {
				v, _, _ := unstructured.NestedString(m, "spec", "template", "metadata", "annotations", "kubewright.io/reads")
				return v
			}
		}
		return ""
	}
	proxy := func(config, server string) string {
		return reads(KubeProxy(KubeProxySettings{Image: "i", Config: config, Server: server}))
	}
	flannel := func(cidr string, nft bool) string {
		all, err := Flannel(FlannelSettings{Image: "i", PodCIDR: cidr, Backend: "vxlan", NFTables: nft})
		if err != nil {
			t.Fatal(err)
		}
		return reads(all)
	}
	dns := func(domain string, upstream bool) string {
		all, err := CoreDNS(CoreDNSSettings{Image: "i", Domain: domain, Upstream: upstream, Replicas: 2})
		if err != nil {
			t.Fatal(err)
		}
		return reads(all)
	}
	for name, pair := range map[string][2]string{
		"kube-proxy's mode":     {proxy("mode: nftables", "https://a"), proxy("mode: ipvs", "https://a")},
		"kube-proxy's server":   {proxy("mode: nftables", "https://a"), proxy("mode: nftables", "https://b")},
		"flannel's range":       {flannel("10.244.0.0/16", true), flannel("10.42.0.0/16", true)},
		"flannel's masquerade":  {flannel("10.244.0.0/16", true), flannel("10.244.0.0/16", false)},
		"CoreDNS' domain":       {dns("cluster.local", true), dns("one.test", true)},
		"CoreDNS' name servers": {dns("cluster.local", true), dns("cluster.local", false)},
	} {
		if pair[0] == "" || pair[0] == pair[1] {
			t.Errorf("%s: the pods stay: %q", name, pair)
		}
	}
	first, second := dns("cluster.local", true), dns("cluster.local", true)
	if first != second {
		t.Error("pods are replaced without a reason")
	}
}

func TestTextIsForPeople(t *testing.T) {
	o := config("default", "a", "1")
	if text := o.Text(); !strings.HasPrefix(text, "apiVersion: v1\n") || !strings.Contains(text, "\n  key: \"1\"\n") {
		t.Errorf("got\n%s", text)
	}
	if text := o.absent().(Object).Text(); text != "" {
		t.Errorf("what is absent reads %q", text)
	}
}

// TestTouched: a diff shows what the wish names and what goes, and nothing that others have there.
func TestTouched(t *testing.T) {
	read := func(text string) map[string]any {
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, row := range []struct{ name, live, wish, would, want string }{
		{"as it should be, with what others have", `{"a": 1, "b": {"c": 2}, "d": [1]}`, `{"a": 1}`, `{"a": 1, "b": {"c": 2}, "d": [1]}`, `{"a": 1}`},
		{"another value", `{"a": {"b": 2, "c": 3}}`, `{"a": {"b": 1}}`, `{"a": {"b": 1, "c": 3}}`, `{"a": {"b": 2}}`},
		{"a selector of which one word goes", `{"s": {"x": "1", "y": "2"}}`, `{"s": {"x": "1"}}`, `{"s": {"x": "1"}}`, `{"s": {"x": "1", "y": "2"}}`},
		{"a field that goes, where nothing is wished any more", `{"m": {"l": {"x": "1", "y": "2"}}, "k": 1}`, `{"k": 1}`, `{"m": {"l": {"y": "2"}}, "k": 1}`, `{"m": {"l": {"x": "1"}}, "k": 1}`},
		{"a field of an element that goes", `{"c": [{"n": "a", "p": 1, "z": 0}]}`, `{"c": [{"n": "a"}]}`, `{"c": [{"n": "a", "z": 0}]}`, `{"c": [{"n": "a", "p": 1}]}`},
		{"an element that goes", `{"c": [1, 2]}`, `{"c": [1]}`, `{"c": [1]}`, `{"c": [1, 2]}`},
		{"what is not there yet", `{"a": 1}`, `{"a": 1, "b": 2}`, `{"a": 1, "b": 2}`, `{"a": 1}`},
	} {
		if got := touched(read(row.live), read(row.wish), read(row.would)); !reflect.DeepEqual(got, read(row.want)) {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}
