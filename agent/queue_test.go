package agent_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

// Many who look at once wait for each other; nobody is refused, and what is no look goes ahead.
func TestManyLooksAtOnceWait(t *testing.T) {
	b := newBench(t)
	var now, most atomic.Int64
	open := make(chan struct{})
	b.machine.(*ops.Pretend).Serve("http://slow/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-open
	}))
	s := b.open(t, nil)
	const all = 200
	errs := make(chan error, all)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			_, err := s.Observe(t.Context(), []ops.Op{ops.Probe{Name: fmt.Sprint(i), URL: "http://slow/"}})
			errs <- err
		})
	}
	for deadline := time.Now().Add(10 * time.Second); now.Load() < 64; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d are looked at", now.Load())
		}
	}
	if err := s.Lock(t.Context(), agent.Holder{User: "u", Workstation: "w", Run: "r"}); err != nil {
		t.Errorf("a lock behind the looks: %v", err)
	}
	close(open)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := most.Load(); n != 64 {
		t.Errorf("%d were looked at once", n)
	}
}
