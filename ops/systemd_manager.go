package ops

import (
	"context"
	"strings"
)

// Manager is how a host's service manager is as a whole, and what it says of the units that were asked for.
type Manager struct {
	Version string   `json:"version,omitempty"`
	State   string   `json:"state,omitempty"`  // running, degraded, maintenance, starting
	Failed  []string `json:"failed,omitempty"` // units, of all
	Masked  []string `json:"masked,omitempty"` // of those asked for
	Stale   []string `json:"stale,omitempty"`  // of those asked for: their files changed since they were read
	// Environment is what every service is started with, or one of those asked for: by where it was found. It may hold secrets.
	Environment map[string][]string `json:"-"`
}

// managed is a machine whose service manager can be asked about itself.
type managed interface {
	Manager(ctx context.Context, units []string) (Manager, error)
}

// ManagerOf asks a machine's service manager; ok is false where it cannot be asked.
func ManagerOf(ctx context.Context, m Machine, units []string) (state Manager, ok bool) {
	h, ok := find[managed](m)
	if !ok {
		return Manager{}, false
	}
	state, err := h.Manager(ctx, units)
	return state, err == nil
}

// Manager implements managed.
func (s *systemd) Manager(ctx context.Context, units []string) (Manager, error) {
	conn, err := s.get(ctx)
	if err != nil {
		return Manager{}, err
	}
	property := func(name string) string {
		value, err := conn.GetManagerProperty(name) // printed as D-Bus prints values
		if err != nil {
			return ""
		}
		return value
	}
	m := Manager{
		Version: strings.Trim(property("Version"), `"`), State: strings.Trim(property("SystemState"), `"`),
		Environment: map[string][]string{"systemd's own environment": words(property("Environment"))},
	}
	failed, err := conn.ListUnitsFilteredContext(ctx, []string{"failed"})
	if err != nil {
		return Manager{}, err
	}
	for _, u := range failed {
		m.Failed = append(m.Failed, u.Name)
	}
	for _, name := range units {
		p, err := conn.GetUnitPropertiesContext(ctx, name)
		if err != nil {
			continue
		}
		if text(p["LoadState"]) == "masked" {
			m.Masked = append(m.Masked, name)
		}
		if stale, _ := p["NeedDaemonReload"].(bool); stale {
			m.Stale = append(m.Stale, name)
		}
		if text(p["LoadState"]) != "loaded" || !strings.HasSuffix(name, ".service") {
			continue
		}
		if v, err := conn.GetServicePropertyContext(ctx, name, "Environment"); err == nil {
			if all, ok := v.Value.Value().([]string); ok && len(all) > 0 {
				m.Environment[name] = all
			}
		}
	}
	return m, nil
}

// words takes apart a list of strings as D-Bus prints it: ["a" "b"], or with commas.
func words(printed string) (all []string) {
	for i, part := range strings.Split(printed, `"`) {
		if i%2 == 1 {
			all = append(all, part)
		}
	}
	return all
}
