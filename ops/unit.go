package ops

import (
	"context"
	"fmt"
	"os"
)

// Unit is a unit of the service manager.
type Unit struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled,omitempty"` // starts with the host
	Active  bool   `json:"active,omitempty"`
	Inputs  string `json:"inputs,omitempty"`  // digest of what it reads (see InputsVar); another one restarts it; "" is not compared
	KillAll bool   `json:"killAll,omitempty"` // stopping it also ends what it left behind in its control group
	// Reads are files that its process reads only when it starts, and whose content the plan does not know. Where one of them was modified
	// after the unit became active, an observation says which, and setting restarts the unit.
	Reads    []string `json:"reads,omitempty"`
	Outdated string   `json:"outdated,omitempty"`
	// Unsettled is, in observations, that it is neither active nor at rest: it has failed, or is about to be tried again.
	Unsettled bool `json:"unsettled,omitempty"`
}

func (u Unit) Key() Key { return Key("unit:" + u.Name) }

func (u Unit) Observe(ctx context.Context, m Machine) (Op, error) {
	s, err := m.Units().State(ctx, u.Name)
	if err != nil {
		return nil, err
	}
	seen := Unit{Name: u.Name, Enabled: s.Enabled, Active: s.Active, KillAll: u.KillAll, Unsettled: s.Unsettled}
	if u.Inputs != "" {
		seen.Inputs = s.Inputs
	}
	// Reads stay with the wish: undoing it is no reason to restart what was there before.
	seen.Outdated, err = u.outdated(m, s)
	return seen, err
}

// outdated names the first file that was modified since the unit became active. A time that is yet to come says nothing: somebody's clock
// was wrong, and no restart would mend it.
func (u Unit) outdated(m Machine, s UnitState) (string, error) {
	if u.Name == dockerUnit && exists(m, interruptedFile(m)) {
		return interruptedFile(m), nil
	}
	if !s.Active || s.Since.IsZero() {
		return "", nil
	}
	for _, file := range u.Reads {
		fi, err := os.Stat(m.Path(file))
		if missing(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", file, cause(err))
		}
		if at := fi.ModTime(); at.After(s.Since) && !at.After(m.Now()) {
			return file, nil
		}
	}
	return "", nil
}

func (u Unit) Set(ctx context.Context, m Machine, _ Op) error {
	now, err := m.Units().State(ctx, u.Name)
	if err != nil {
		return err
	}
	old, err := u.outdated(m, now)
	if err != nil {
		return err
	}
	// Enabled before started: should the host lose power now, it comes back with the unit.
	if u.Enabled && !now.Enabled {
		if err := changing(m, "enable "+u.Name); err != nil {
			return err
		}
		if err := m.Units().Enable(ctx, u.Name); err != nil {
			return err
		}
	}
	switch {
	case u.Active && (!now.Active || old != "" || u.Inputs != "" && u.Inputs != now.Inputs):
		if err := changing(m, "restart "+u.Name); err != nil {
			return err
		}
		if err := restart(ctx, m, u.Name); err != nil {
			return err
		}
	case !u.Active && (now.Active || !u.Unsettled && (now.Exists || now.Unsettled)):
		if err := changing(m, "stop "+u.Name); err != nil {
			return err
		}
		if err := m.Units().Stop(ctx, u.Name, u.KillAll); err != nil {
			return err
		}
	}
	if !u.Enabled && now.Enabled {
		if err := changing(m, "disable "+u.Name); err != nil {
			return err
		}
		return m.Units().Disable(ctx, u.Name)
	}
	return nil
}

func (u Unit) same(seen Op) bool {
	s := seen.(Unit)
	return u.Enabled == s.Enabled && u.Active == s.Active && (len(u.Reads) == 0 || s.Outdated == "") && (u.Active || u.Unsettled || !s.Unsettled) && (u.Inputs == "" || u.Inputs == s.Inputs)
}
