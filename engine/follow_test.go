package engine

import (
	"errors"
	"testing"

	"github.com/kubewright/kubewright/ops"
)

// TestTheFirstFailureIsTold: where steps are carried out side by side, one that fails stops the others, which are not to blame.
func TestTheFirstFailureIsTold(t *testing.T) {
	n := &node{PlannedWork: PlannedWork{Work: Work{Target: "m", Phase: "serve", Steps: []Step{{Op: thing{Name: "a"}}, {Op: thing{Name: "b"}}}}}}
	f := newFollower(&runner{events: newEmitter(func(Event) {})}, n)
	refused := errors.New("it is refused")
	f.progress(ops.Progress{Key: "thing:b", State: ops.Failed, Error: refused.Error()})
	f.progress(ops.Progress{Key: "thing:a", State: ops.Failed, Error: "context canceled"})
	if e := f.fault(refused); e.Key != "thing:b" || e.Cause.Error() != "it is refused" {
		t.Errorf("%s: %v", e.Key, e.Cause)
	}
}
