package ops

import (
	"context"
	"fmt"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
)

// How often a unit is looked at while a job of systemd's is waited for, and how long altogether: twice the minute and a half that systemd gives a start or
// a stop by default.
const (
	jobLook  = 3 * time.Second
	jobBound = 3 * time.Minute
)

// job is how far systemd has come with what it was asked for.
type job struct {
	pending bool   // there still is a job for the unit
	active  string // systemd's word for the unit's state
}

// waitJob waits for the result of a job. It comes as a signal, which is lost where the connection drops (systemd executes itself anew on an
// upgrade), so the unit is looked at, too: without a job it has come to what it will be. wish is "active" or "inactive".
func waitJob(ctx context.Context, every, bound time.Duration, result <-chan string, wish string, look func(context.Context) (job, error)) (string, error) {
	timeout := time.NewTimer(bound)
	defer timeout.Stop()
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	last := "it could not be asked"
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case r := <-result:
			return r, nil
		case <-timeout.C:
			return "", fmt.Errorf("systemd was not done with it after %s: %s", bound, last)
		case <-ticks.C:
		}
		now, err := look(ctx)
		switch {
		case err != nil:
			last = err.Error()
		case now.pending:
			last = "it is " + now.active
		case now.active == wish || wish == "active" && now.active == "reloading":
			return "done", nil
		case wish == "inactive" && now.active == "failed": // stopped, if not well
			return "done", nil
		default:
			return "failed", nil
		}
	}
}

// finish waits for a job for the unit, if need be over a new connection.
func (s *systemd) finish(ctx context.Context, name, wish string, result <-chan string) (string, error) {
	return waitJob(ctx, jobLook, jobBound, result, wish, func(ctx context.Context) (job, error) {
		ctx, cancel := context.WithTimeout(ctx, jobLook)
		defer cancel()
		conn, err := s.get(ctx)
		if err != nil {
			return job{}, err
		}
		return jobOf(ctx, conn, name)
	})
}

func jobOf(ctx context.Context, conn *sd.Conn, name string) (job, error) {
	p, err := conn.GetUnitPropertiesContext(ctx, name)
	if err != nil {
		return job{}, err
	}
	named, _ := p["Job"].([]any) // a number and an object; 0 is none
	if len(named) != 2 {
		return job{}, fmt.Errorf("systemd does not say which job there is for %s", name)
	}
	number, _ := named[0].(uint32)
	return job{pending: number != 0, active: text(p["ActiveState"])}, nil
}
