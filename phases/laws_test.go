package phases_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/engine/laws"
	"github.com/kubewright/kubewright/phases"
)

// TestLaws holds the phases against all laws, failing at changes all along every host: some minutes of work, so it is done when asked for.
// TestUpAndReset does the same at few changes, and is done always.
func TestLaws(t *testing.T) {
	every := os.Getenv("KUBEWRIGHT_LAWS")
	if every == "" {
		t.Skip("it takes minutes; KUBEWRIGHT_LAWS=some runs it, KUBEWRIGHT_LAWS=every at every single change")
	}
	for _, row := range worlds(t) {
		t.Run(row.name, func(t *testing.T) {
			in := hosts(phases.Inputs(row.cluster, row.facts, lock(), nil))
			w := newWorld(row.cluster, row.facts, expand(t, row.cluster, row.facts))
			laws.Check(t, laws.World{Prepare: w.prepare, Answer: w.answer, Every: every == "every"}, phases.Up(), in...)
			for _, p := range w.problems {
				t.Error(p)
			}
		})
	}
}

// TestPhasesAreExplainedAndPure is the two laws that need no machine, for all targets: the cluster's own is no machine.
func TestPhasesAreExplainedAndPure(t *testing.T) {
	for _, p := range phases.Up() {
		if p.Short == "" || strings.HasSuffix(p.Short, ".") || !strings.HasSuffix(p.Long, ".") {
			t.Errorf("%s: the short text is no line or the long one no sentence: %q, %q", p.Name, p.Short, p.Long)
		}
	}
	for _, row := range worlds(t) {
		t.Run(row.name, func(t *testing.T) {
			first := expand(t, row.cluster, row.facts) // which wants a reason for each step
			for range 3 {
				if !reflect.DeepEqual(first, expand(t, row.cluster, row.facts)) {
					t.Error("the same input gave other steps")
				}
			}
		})
	}
}
