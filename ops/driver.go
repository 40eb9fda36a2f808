package ops

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Driver is the cgroup driver of a container runtime, as the runtime itself says. Setting it is waiting until the runtime answers: what it answers is decided by
// its configuration, and a wrong answer is an error before the kubelet meets it.
type Driver struct {
	Runtime string `json:"runtime"`          // a name for people
	Socket  string `json:"socket,omitempty"` // of a runtime that speaks CRI; "" is Docker's engine, with its own API
	Want    string `json:"want"`             // systemd
	Within  int    `json:"within,omitempty"` // seconds until it has to answer
	Says    string `json:"says,omitempty"`   // in observations: the driver; "" when nothing answers
	OK      bool   `json:"ok,omitempty"`     // it is the wanted one
}

func (d Driver) Key() Key { return Key("driver:" + d.Runtime) }

func (d Driver) Observe(ctx context.Context, m Machine) (Op, error) {
	asking, cancel := context.WithTimeout(ctx, probeOnce)
	defer cancel()
	says, err := d.ask(asking, m)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	d.Says, d.OK = says, err == nil && says == d.Want
	return d, nil
}

// Set waits; a wish that it should not be so, which only an undo has, waits for nothing.
func (d Driver) Set(ctx context.Context, m Machine, _ Op) error {
	if !d.OK {
		return nil
	}
	if err := changing(m, "ask "+d.Runtime); err != nil {
		return err
	}
	within := time.Duration(max(d.Within, 1)) * time.Second
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	last := errors.New("it did not answer")
	for {
		says, err := d.ask(waiting, m)
		switch {
		case err == nil && says == d.Want:
			return nil
		case err == nil:
			return fmt.Errorf("the cgroup driver of %s is %s, not %s: something else than its configuration file decides it", d.Runtime, says, d.Want)
		case errors.Is(err, errNoCRI):
			return err
		}
		if waiting.Err() == nil { // else it says only that time is over
			last = err
		}
		if pause(waiting, probeEvery) != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s did not say which cgroup driver it has within %s: %w", d.Runtime, within, last)
		}
	}
}

// same: that it answers although it did not before is nothing to undo.
func (d Driver) same(seen Op) bool { return !d.OK || seen.(Driver).OK }

func (d Driver) ask(ctx context.Context, m Machine) (string, error) {
	if d.Socket != "" {
		return criDriver(ctx, m, d.Socket)
	}
	var info struct {
		CgroupDriver string
	}
	if err := engineOf(m).get(ctx, "/info", nil, &info); err != nil {
		return "", err
	}
	return info.CgroupDriver, nil
}
