package phases_test

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
)

// TestUndoOfAChangedInventory brings the specimens up, then wants much of them otherwise, then undoes that: every host is as after the first run, and
// a reset still finds the first state.
func TestUndoOfAChangedInventory(t *testing.T) {
	for _, row := range worlds(t)[:2] {
		t.Run(row.name, func(t *testing.T) {
			f := newFleet(t, row.cluster, row.facts)
			f.finish("first")
			want := f.states()
			changed, err := inventory.Parse("changed.yaml", inventory.Render(row.cluster))
			if err != nil {
				t.Fatal(err)
			}
			changed.Spec.Kubelet.MaxPods = 60
			changed.Spec.APIServer.CertSANs = append(changed.Spec.APIServer.CertSANs, "another.example")
			changed.Spec.Network.DNSDomain = "other.example"
			if len(changed.Spec.Packages) == 0 {
				changed.Spec.Packages = []inventory.Package{{Name: "nfs-common"}}
			}
			works, err := engine.Expand(phases.Up(), hosts(phases.Inputs(changed, f.laterFacts(), lock(), nil)))
			if err != nil {
				t.Fatal(err)
			}
			f.works, f.answers = works, phases.NewAnswers(changed, works, f.world)
			f.finish("second")
			for name, now := range f.states() {
				if h, _ := changed.Host(name); h.Node() && now == want[name] {
					t.Errorf("the second run changed nothing on %s", name)
				}
			}
			for _, target := range f.targets {
				s := f.sessions[target.Name()]
				past, err := s.Past(t.Context())
				if err == nil && past.Run == "second" {
					err = s.Undo(t.Context(), "second", nil)
				}
				if err != nil {
					t.Fatalf("%s: %v", target.Name(), err)
				}
			}
			for name, now := range f.states() {
				if d := differences(want[name], now); d != "" {
					t.Errorf("undone, %s is another than it was:\n%s", name, d)
				}
			}
			f.reset("after an undo")
			for _, p := range f.problems {
				t.Error(p)
			}
		})
	}
}

// finish makes a run and ends it on every host.
func (f *fleet) finish(run string) {
	f.t.Helper()
	plan, err := engine.Observe(f.t.Context(), f.works, f.targets)
	if err == nil {
		err = engine.Run(f.t.Context(), plan, f.targets, engine.Options{Run: run})
	}
	if err != nil {
		f.t.Fatalf("the %s run: %v", run, err)
	}
	for _, target := range f.targets {
		if err := f.sessions[target.Name()].End(f.t.Context(), run); err != nil {
			f.t.Fatal(err)
		}
	}
}

// states are the machines without kubewright's own memory.
func (f *fleet) states() map[string]string {
	f.t.Helper()
	out := map[string]string{}
	for name, m := range f.machines {
		text, err := m.Snapshot()
		if err != nil {
			f.t.Fatal(err)
		}
		var kept strings.Builder
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, agent.StateDir) {
				kept.WriteString(line)
			}
		}
		out[name] = kept.String()
	}
	return out
}
