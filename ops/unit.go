package ops

import "context"

// Unit is a unit of the service manager.
type Unit struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled,omitempty"` // starts with the host
	Active  bool   `json:"active,omitempty"`
	Inputs  string `json:"inputs,omitempty"`  // digest of what it reads (see InputsVar); another one restarts it; "" is not compared
	KillAll bool   `json:"killAll,omitempty"` // stopping it also ends what it left behind in its control group
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
	return seen, nil
}

func (u Unit) Set(ctx context.Context, m Machine, _ Op) error {
	now, err := m.Units().State(ctx, u.Name)
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
	case u.Active && (!now.Active || u.Inputs != "" && u.Inputs != now.Inputs):
		if err := changing(m, "restart "+u.Name); err != nil {
			return err
		}
		if err := m.Units().Restart(ctx, u.Name); err != nil {
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
	return u.Enabled == s.Enabled && u.Active == s.Active && (u.Active || u.Unsettled || !s.Unsettled) && (u.Inputs == "" || u.Inputs == s.Inputs)
}
