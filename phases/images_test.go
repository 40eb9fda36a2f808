package phases_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/pelletier/go-toml/v2"
	"sigs.k8s.io/yaml"
)

// TestEveryImageIsInTheLock walks everything that is rendered: whatever is run in a container is named by a digest that the lock has, and
// comes from the private registry. So is every program.
func TestEveryImageIsInTheLock(t *testing.T) {
	for _, row := range worlds(t) {
		t.Run(row.name, func(t *testing.T) {
			registry := row.cluster.Registry()
			known := map[string]string{} // references by digest, and the component they are
			for _, c := range lock().Components {
				if c.Kind != bundle.KindFile {
					known[c.Pinned(registry)], known[c.Reference(registry)] = c.Name, c.Name // the digest decides; a tag is for people
				}
			}
			used := map[string]bool{}
			for _, w := range expand(t, row.cluster, row.facts) {
				for _, s := range w.Steps {
					for _, ref := range references(t, s.Op, registry) {
						if known[ref] == "" {
							t.Errorf("%s: %s: %q is not in the lock, or not by digest", w.Ref(), s.Op.Key(), ref)
						}
						used[known[ref]] = true
					}
				}
			}
			for _, name := range []string{"pause", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "flannel", "coredns"} {
				if !used[name] {
					t.Errorf("nothing runs %s: were the references found?", name)
				}
			}
		})
	}
}

// references are the images that an op speaks of: where a container says image, where containerd keeps one, and anything else that begins with the
// registry's address and has a path below it.
func references(t *testing.T, op ops.Op, registry string) []string {
	t.Helper()
	var out []string
	var text string
	switch op := op.(type) {
	case ops.Image:
		return []string{op.Ref}
	case addons.Object:
		out = values(op.Manifest, "image")
		raw, err := json.Marshal(op.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		text = string(raw)
	case ops.Merge:
		text = written(t, op)
		var any map[string]any
		if strings.HasSuffix(op.Path, ".toml") {
			if err := toml.Unmarshal([]byte(text), &any); err != nil {
				t.Fatalf("%s: %v", op.Path, err)
			}
		}
		out = values(any, "sandbox")
	case ops.File:
		if strings.HasPrefix(op.From, "https:") {
			return nil // TestEveryProgramIsInTheLock
		}
		text = string(op.Content)
		var any map[string]any
		switch {
		case strings.HasSuffix(op.Path, ".yaml"):
			if err := yaml.Unmarshal(op.Content, &any); err != nil {
				t.Fatalf("%s: %v", op.Path, err)
			}
			out = values(any, "image")
		}
	}
	for _, found := range regexp.MustCompile(`[^/\w]`+regexp.QuoteMeta(registry)+`/[^\s"'\\]+`).FindAllString(text, -1) {
		out = append(out, found[1:])
	}
	return out
}

// values are the texts below a key, however deep.
func values(in any, key string) []string {
	var out []string
	switch in := in.(type) {
	case map[string]any:
		for k, v := range in {
			if s, ok := v.(string); ok && k == key {
				out = append(out, s)
			}
			out = append(out, values(v, key)...)
		}
	case []any:
		for _, v := range in {
			out = append(out, values(v, key)...)
		}
	}
	return out
}

func TestEveryProgramIsInTheLock(t *testing.T) {
	c := course(t)
	n := 0
	for _, w := range expand(t, c, machineFacts()) {
		for _, s := range w.Steps {
			f, ok := s.Op.(ops.File)
			if !ok || f.Digest == "" {
				continue
			}
			n++
			i := slices.IndexFunc(lock().Components, func(c bundle.Component) bool { return c.Kind == bundle.KindFile && c.Digest == f.Digest })
			if i < 0 {
				t.Errorf("%s: %s is not in the lock", w.Ref(), f.Path)
				continue
			}
			known := lock().Components[i]
			fromRegistry := "https://" + c.Registry() + known.BlobPath()
			switch {
			case !strings.HasSuffix(f.Path, "/"+known.Name):
				t.Errorf("%s: %s is %s", w.Ref(), f.Path, known.Name)
			case f.Mode != 0o755:
				t.Errorf("%s: %s has mode %o", w.Ref(), f.Path, f.Mode)
			case f.From == ops.FromWorkstation && known.Name != "registry":
				t.Errorf("%s: %s is sent by the workstation, not fetched from the registry", w.Ref(), f.Path)
			case f.From != ops.FromWorkstation && (f.From != fromRegistry || f.CA == ""):
				t.Errorf("%s: %s comes from %s, verified by %q", w.Ref(), f.Path, f.From, f.CA)
			}
		}
	}
	if n == 0 {
		t.Error("there is no program")
	}
}

// TestWhatTheLockLacksIsNamed takes one component after the other away.
func TestWhatTheLockLacksIsNamed(t *testing.T) {
	// Nothing of these is rendered: they are for people, for tests and for comparison, or of addons that the course's cluster has not.
	optional := []string{"kubeadm", "etcdctl", "agnhost", "traefik", "metrics-server", "kube-state-metrics", "node-exporter", "prometheus-operator",
		"prometheus-config-reloader", "prometheus-operator-crds", "kube-rbac-proxy", "prometheus", "alertmanager", "local-path-provisioner", "busybox", "lab-web", "headlamp"}
	for i, gone := range lock().Components {
		c := course(t)
		if gone.Kind == bundle.KindGzip || gone.Name == "cri-dockerd" { // what only Docker needs
			c = mixed(t)
		}
		l := lock()
		l.Components = slices.Delete(l.Components, i, i+1)
		in := slices.DeleteFunc(phases.Inputs(c, machineFacts(), l, nil), func(at engine.At[phases.Input]) bool { return strings.HasPrefix(at.Name, "node-") })
		_, err := engine.Expand(phases.Up(), in) // what a worker needs, the master needs too
		if slices.Contains(optional, gone.Name) {
			if err != nil {
				t.Errorf("without %s: %v", gone.Name, err)
			}
			continue
		}
		if want := `no ` + gone.Kind + ` "` + gone.Name + `"`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without the %s %s: got %v", gone.Kind, gone.Name, err)
		}
	}
}

// TestWhoNeedsAComponent: the list that users see names the phase in which the component really appears, and no component that a phase needs is without one.
func TestWhoNeedsAComponent(t *testing.T) {
	seen := map[string]map[string]bool{} // phases by component
	for _, row := range worlds(t) {
		for _, w := range expand(t, row.cluster, row.facts) {
			if w.Phase == "addon" {
				continue // the catalogue says what is theirs alone
			}
			for _, s := range w.Steps {
				text, err := json.Marshal(s.Op)
				if err != nil {
					t.Fatal(err)
				}
				switch op := s.Op.(type) {
				case ops.Stored:
					continue // the registry has them all
				case ops.File:
					text = append(text, op.Content...) // which JSON has in base64
				}
				for _, c := range lock().Components {
					if strings.Contains(string(text), c.Digest) {
						key := c.Kind + " " + c.Name
						if seen[key] == nil {
							seen[key] = map[string]bool{}
						}
						seen[key][w.Phase] = true
					}
				}
			}
		}
	}
	for _, c := range lock().Components {
		by := phases.NeededBy(c)
		in := seen[c.Kind+" "+c.Name]
		switch {
		case len(by) > 0 && strings.HasPrefix(by[0], phases.AddonTarget("")): // the catalogue says so itself
		case len(by) == 0 && len(in) > 0:
			t.Errorf("%s is in %v, and nobody is said to need it", c.Repository, in)
		case len(by) > 0 && len(in) > 0 && !in[by[0]]:
			t.Errorf("%s is said to be for %s, and is in %v", c.Repository, by[0], in)
		case len(by) > 0 && len(in) == 0 && c.Kind != bundle.KindGzip: // of those only what Docker hosts run is there
			t.Errorf("%s is said to be for %s, and is nowhere", c.Repository, by[0])
		}
	}
}
