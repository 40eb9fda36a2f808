package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/agent"
)

// lock takes the locks of hosts that were reached: the first one's alone, then the others' at the same time. Of two runs over the same inventory, in
// whose order they are named, one so gets them all and the other none.
func (f *fleet) lock(ctx context.Context, holder agent.Holder, reached []string) error {
	if len(reached) == 0 {
		return nil
	}
	if err := f.lockOne(ctx, reached[0], holder); err != nil {
		return err
	}
	errs := make([]error, len(reached))
	var wg sync.WaitGroup
	for i, name := range reached[1:] {
		wg.Go(func() { errs[i] = f.lockOne(ctx, name, holder) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// deadPatience is how long the agent of a run that was cut off may keep a host: a minute until it takes the silent connection for dead,
// and half a minute for the change it is in the middle of.
const deadPatience = 100 * time.Second

// lockOne waits only for a run of our own that is dead already; any other holder is named at once.
func (f *fleet) lockOne(ctx context.Context, name string, holder agent.Holder) error {
	m := f.hosts[name]
	for end := time.Now().Add(deadPatience); ; {
		err := m.Lock(ctx, holder)
		var locked *agent.LockedError
		if err == nil {
			return nil
		}
		if !errors.As(err, &locked) || !parts(locked.Holder) && !dead(locked.Holder, holder) || time.Now().After(end) {
			return fmt.Errorf("%s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// parts says whether a lock is held only for the moment in which an agent takes itself away from a host that was looked at.
func parts(holder agent.Holder) bool { return holder.Run == agent.Forgetting }

// dead says whether a lock's holder was a process of this workstation that is no more.
func dead(holder, self agent.Holder) bool {
	if holder.Workstation != self.Workstation || holder.PID == 0 || holder.PID == os.Getpid() {
		return false
	}
	return errors.Is(syscall.Kill(holder.PID, 0), syscall.ESRCH)
}
