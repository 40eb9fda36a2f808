package phases_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/aymanbagabas/go-udiff"
	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/templates"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGoldenPlan is what is done for the example inventory: which host, in which phase, what, and why.
func TestGoldenPlan(t *testing.T) {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 4, 2, ' ', 0)
	last := ""
	for _, w := range expand(t, course(t), machineFacts()) {
		if w.Target != last && last != "" {
			fmt.Fprintln(table)
		}
		last = w.Target
		for _, s := range w.Steps {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", w.Target, w.Phase, readable(string(s.Op.Key())), s.Why)
		}
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata", map[string]string{"plan.txt": out.String()})
}

// TestGoldenFiles is what is written on the hosts of the example inventory, beside the policies, which are written as they stand
// in package templates. The second worker's files are the first one's but for what TestWorkersDifferInTheirNameOnly says.
func TestGoldenFiles(t *testing.T) {
	out := map[string]string{}
	for _, w := range expand(t, course(t), machineFacts()) {
		for path, content := range files(t, w) {
			if w.Target != "node-0002" && !isPolicy(t, path) {
				out[w.Target+path] = content
			}
		}
	}
	golden(t, "testdata/files", out)
}

// TestGoldenObjects is what the cluster is told, in the order in which it is.
func TestGoldenObjects(t *testing.T) {
	golden(t, "testdata", map[string]string{"objects.yaml": objects(t, expand(t, course(t), machineFacts()))})
}

// TestGoldenSingle is what differs where one host does everything, with other ranges, names and ports, ipvs, and no name servers.
func TestGoldenSingle(t *testing.T) {
	works := expand(t, single(t), machineFacts())
	wanted := []string{
		"/etc/hosts#hosts", "/etc/kubewright/registry.yaml", "/etc/modules-load.d/kubewright.conf", "/var/lib/kubelet/config.yaml",
		"/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/manifests/kube-controller-manager.yaml",
	}
	out := map[string]string{"objects.yaml": objects(t, works)}
	for _, w := range works {
		all := files(t, w)
		for _, path := range wanted {
			if content, ok := all[path]; ok {
				out[path] = content
			}
		}
	}
	if len(out) != len(wanted)+1 {
		t.Errorf("%d of %d files are written", len(out)-1, len(wanted))
	}
	golden(t, "testdata/single", out)
}

func TestWorkersDifferInTheirNameOnly(t *testing.T) {
	facts := machineFacts()
	facts["node-0002"] = facts["node-0001"]
	all := map[string]map[string]string{"node-0001": {}, "node-0002": {}}
	for _, w := range expand(t, course(t), facts) {
		if all[w.Target] == nil {
			continue
		}
		for path, content := range files(t, w) {
			all[w.Target][path] = strings.NewReplacer(w.Target, "NAME", "192.168.1.31", "ADDRESS", "192.168.1.32", "ADDRESS").Replace(content)
		}
	}
	if len(all["node-0001"]) != len(all["node-0002"]) {
		t.Errorf("%d files and %d", len(all["node-0001"]), len(all["node-0002"]))
	}
	for path, one := range all["node-0001"] {
		two := all["node-0002"][path]
		// The kubelet's unit carries a digest of what the kubelet reads, its name included.
		if path != "/etc/systemd/system/kubelet.service" && path != "/etc/hosts#hosts" && one != two {
			t.Errorf("%s:\n%s\n%s", path, one, two)
		}
	}
}

// files are the texts of a work's steps, by path.
func files(t *testing.T, w engine.Work) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, s := range w.Steps {
		switch op := s.Op.(type) {
		case ops.File:
			if op.Digest == "" {
				out[op.Path] = readable(string(op.Content))
			}
		case ops.Block:
			out[op.Path+"#"+op.Name] = strings.Join(op.Lines, "\n") + "\n"
		case ops.Merge:
			out[op.Path] = readable(written(t, op))
		}
	}
	return out
}

// written is the file that keys make where there was none.
func written(t *testing.T, op ops.Merge) string {
	t.Helper()
	m := ops.NewPretend(t.TempDir())
	if err := op.Set(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(m.Path(op.Path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func isPolicy(t *testing.T, path string) bool {
	t.Helper()
	policies, err := templates.Policies()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies {
		if filepath.Base(path) == p.Name && strings.Contains(path, "/policy/") {
			return true
		}
	}
	return path == agent.StateDir+"/cluster"
}

// objects are the cluster's steps: objects as YAML, everything else as a comment.
func objects(t *testing.T, works []engine.Work) string {
	t.Helper()
	var out strings.Builder
	for _, w := range works {
		if w.Target != phases.ClusterTarget {
			continue
		}
		fmt.Fprintf(&out, "# phase %s\n", w.Phase)
		for _, s := range w.Steps {
			switch op := s.Op.(type) {
			case addons.Object:
				fmt.Fprintf(&out, "---\n# %s\n%s", s.Why, op.Text())
			case addons.ClusterInfo:
				fmt.Fprintf(&out, "---\n# %s\n# %s with server %s\n", s.Why, op.Key(), op.Server)
			case addons.Ready:
				fmt.Fprintf(&out, "---\n# %s\n# wait for %s\n", s.Why, op.Key())
			case addons.Retired:
				fmt.Fprintf(&out, "---\n# %s\n# no addons but %v\n", s.Why, op.Addons)
			default:
				t.Errorf("%s: a cluster knows no %T", op.Key(), op)
			}
		}
	}
	return readable(out.String())
}

// golden compares texts with the files of a directory that a reviewer can read and argue with; there must be no others below it.
func golden(t *testing.T, dir string, got map[string]string) {
	t.Helper()
	if *update && dir != "testdata" {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	known := map[string]bool{}
	for name, text := range got {
		path := filepath.Join(dir, plainName(name))
		known[path] = true
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if text != string(want) {
			t.Errorf("%s is not as it was (-update accepts it):\n%s", path, udiff.Unified("want", "got", string(want), text))
		}
	}
	if dir == "testdata" {
		return
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !known[path] {
			t.Errorf("%s is not written any more", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// plainName is a path as a file of a Go module may be called.
func plainName(path string) string { return strings.NewReplacer(":", "_", "#", ".").Replace(path) }
