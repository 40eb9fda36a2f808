package inventory

import (
	"os"
	"strings"
	"testing"
)

func TestEnable(t *testing.T) {
	const head = "apiVersion: kubewright.io/v1alpha1\nkind: Cluster\nmetadata: {name: lab}\nspec:\n"
	const hosts = "  hosts:\n    - {name: m, address: 192.168.1.21, roles: [control-plane, worker, registry]}\n"
	for _, row := range []struct{ name, text, addon, want string }{
		{"nothing of addons", head + hosts, AddonMetricsServer, head + "  addons:\n    metricsServer: {enabled: true}\n" + hosts},
		{"addons without this one", head + hosts + "  addons:\n    # ours\n    storage: {enabled: true}\n", AddonIngress, head + hosts + "  addons:\n    # ours\n    ingress: {enabled: true}\n    storage: {enabled: true}\n"},
		{"settings alone", head + hosts + "  addons:\n    ingress: # from outside\n      domain: a.lab # mine\n", AddonIngress, head + hosts + "  addons:\n    ingress: # from outside\n      enabled: true\n      domain: a.lab # mine\n"},
		{"off", head + hosts + "  addons:\n    ingress:\n      enabled: false # for now\n", AddonIngress, head + hosts + "  addons:\n    ingress:\n      enabled: true # for now\n"},
		{"in braces", head + hosts + "  addons: {ingress: {enabled: false}}\n", AddonIngress, head + hosts + "  addons: {ingress: {enabled: true}}\n"},
		{"in braces without this one", head + hosts + "  addons: {ingress: {enabled: false}}\n", AddonStorage, head + hosts + "  addons: {storage: {enabled: true}, ingress: {enabled: false}}\n"},
		{"empty braces", head + hosts + "  addons: {ingress: {}}\n", AddonIngress, head + hosts + "  addons: {ingress: {enabled: true}}\n"},
		{"all of it commented out", head + hosts + "  addons:\n    # ingress: {enabled: true}\n", AddonIngress, head + hosts + "  addons:\n    ingress: {enabled: true}\n    # ingress: {enabled: true}\n"},
		{"words beside it", head + "  # 中文\n" + hosts + "  addons: {ingress: {domain: a.lab, enabled: false}} # 入口\n", AddonIngress, head + "  # 中文\n" + hosts + "  addons: {ingress: {domain: a.lab, enabled: true}} # 入口\n"},
		{"an editor's line ends", crlf(head + hosts + "  addons:\n    ingress: {enabled: false}\n    # none\n"), AddonIngress, crlf(head + hosts + "  addons:\n    ingress: {enabled: true}\n    # none\n")},
		{"an editor's line ends, and a section to add", crlf(head + hosts), AddonIngress, crlf(head + "  addons:\n    ingress: {enabled: true}\n" + hosts)},
		{"one odd line end", head + "  # a\r\n" + hosts, AddonIngress, head + "  # a\r\n  addons:\r\n    ingress: {enabled: true}\r\n" + hosts},
		{"a byte-order mark", byteOrderMark + head + hosts + "  addons: {ingress: {enabled: false}}\n", AddonIngress, byteOrderMark + head + hosts + "  addons: {ingress: {enabled: true}}\n"},
		{"no line end at the end", head + hosts + "  addons: {ingress: {enabled: false}}", AddonIngress, head + hosts + "  addons: {ingress: {enabled: true}}"},
	} {
		got, err := Enable("cluster.yaml", []byte(row.text), row.addon, true)
		if err != nil || string(got) != row.want {
			t.Errorf("%s: %v\n%s", row.name, err, got)
			continue
		}
		off, err := Enable("cluster.yaml", got, row.addon, false)
		if err != nil || !strings.Contains(string(off), "enabled: false") {
			t.Errorf("%s, and off again: %v\n%s", row.name, err, off)
		}
	}
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// TestEnableWhatCannotBe: with the reason, and without a change.
func TestEnableWhatCannotBe(t *testing.T) {
	example, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, text, addon, want string }{
		{"an addon that nobody knows", string(example), "ingres", `there is no addon "ingres" that can be switched on and off: did you mean ingress?`},
		{"an addon that nobody knows at all", string(example), "weather", `there is no addon "weather" that can be switched on and off: write one of dashboard, ingress, metrics-server, monitoring and storage`},
		{"a port that is taken", string(example) + "  addons: {monitoring: {enabled: true, nodePort: 30000}}\n", AddonDashboard, "is the port that spec.addons.dashboard.nodePort has"},
		{"a file that is wrong", string(example) + "  addon: {}\n", AddonDashboard, "is not a key here"},
	} {
		if _, err := Enable("cluster.yaml", []byte(row.text), row.addon, true); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v", row.name, err)
		}
	}
}
