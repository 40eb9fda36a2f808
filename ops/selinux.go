package ops

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// SELinux is the mode of SELinux now and from the next start on. Where there is none it says nothing, and does nothing.
type SELinux struct {
	Now  string `json:"now,omitempty"`  // enforcing or permissive; "" where the kernel has none now
	Boot string `json:"boot,omitempty"` // enforcing, permissive or disabled; "" where no configuration says it
	None bool   `json:"none,omitempty"` // in observations: there is none on this machine
}

const (
	selinuxEnforce = "/sys/fs/selinux/enforce"
	selinuxConfig  = "/etc/selinux/config"
)

func (SELinux) Key() Key { return "selinux:" }

var selinuxModes = map[string]string{"0": "permissive", "1": "enforcing"}

func (s SELinux) Observe(_ context.Context, m Machine) (Op, error) {
	var seen SELinux
	live, err := readSmall(m, selinuxEnforce, false)
	if err != nil {
		return nil, err
	}
	config, err := readSmall(m, selinuxConfig, true)
	if err != nil {
		return nil, err
	}
	seen.None = live == nil && config == nil
	seen.Now, seen.Boot = selinuxModes[strings.TrimSpace(string(live))], bootMode(config)
	return seen, nil
}

// bootMode is the value of the last SELINUX line, as libselinux takes it.
func bootMode(config []byte) string {
	mode := ""
	for line := range strings.Lines(string(config)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "SELINUX="); ok {
			mode = strings.ToLower(strings.TrimSpace(value))
		}
	}
	return mode
}

// Set changes the configuration first: should the host lose power now, it starts in the mode that is wished.
func (s SELinux) Set(ctx context.Context, m Machine, _ Op) error {
	seen, err := s.Observe(ctx, m)
	if err != nil || s.same(seen) {
		return err
	}
	now := seen.(SELinux)
	if now.Boot != "" && s.Boot != "" && now.Boot != s.Boot {
		if err := setBootMode(m, s.Boot); err != nil {
			return err
		}
	}
	if now.Now == "" || s.Now == "" || now.Now == s.Now {
		return nil
	}
	for value, mode := range selinuxModes {
		if mode != s.Now {
			continue
		}
		if err := changing(m, "write "+selinuxEnforce); err != nil {
			return err
		}
		// Not by rename: the kernel's own file is written in place.
		if err := os.WriteFile(m.Path(selinuxEnforce), []byte(value), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", selinuxEnforce, cause(err))
		}
		return nil
	}
	return fmt.Errorf("%q is not a mode of SELinux", s.Now)
}

// setBootMode changes that value and no other byte.
func setBootMode(m Machine, mode string) error {
	config, err := readSmall(m, selinuxConfig, true)
	if err != nil {
		return err
	}
	var out strings.Builder
	for line := range strings.Lines(string(config)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "SELINUX="); ok && value != "" {
			before, after, _ := strings.Cut(line, value)
			line = before + mode + after
		}
		out.WriteString(line)
	}
	return rewrite(m, selinuxConfig, []byte(out.String()), 0o644)
}

// same: what a machine has none of cannot be set.
func (s SELinux) same(seen Op) bool {
	o := seen.(SELinux)
	if s.None || o.None {
		return true
	}
	return (s.Now == "" || o.Now == "" || s.Now == o.Now) && (s.Boot == "" || o.Boot == "" || s.Boot == o.Boot)
}
