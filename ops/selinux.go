package ops

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

// SELinux is the mode of SELinux now and from the next start on. Where there is none it says nothing, and does nothing.
type SELinux struct {
	Now  string `json:"now,omitempty"`  // enforcing or permissive; "" where the kernel has none now
	Boot string `json:"boot,omitempty"` // enforcing, permissive or disabled, as it is written; "" where no configuration says it
	None bool   `json:"none,omitempty"` // in observations: there is none on this machine
}

const (
	selinuxEnforce = "/sys/fs/selinux/enforce"
	selinuxConfig  = "/etc/selinux/config"
)

func (SELinux) Key() Key { return "selinux:" }

// Touches names what is changed, so that it can be kept.
func (SELinux) Touches() []string { return []string{selinuxConfig} }

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
	start, end := bootMode(config)
	seen.Now, seen.Boot = selinuxModes[strings.TrimSpace(string(live))], string(config[start:end])
	return seen, nil
}

// bootMode is where in the configuration the mode is written. As libselinux has it, that is the first line which begins with SELINUX= and one of the
// modes, in whatever case and with whatever behind it.
func bootMode(config []byte) (start, end int) {
	at := 0
	for line := range bytes.Lines(config) {
		if value, ok := bytes.CutPrefix(line, []byte("SELINUX=")); ok {
			value = bytes.TrimLeft(value, " \t\v\f\r\n")
			for _, mode := range []string{"enforcing", "permissive", "disabled"} {
				if len(value) >= len(mode) && strings.EqualFold(string(value[:len(mode)]), mode) {
					start = at + len(line) - len(value)
					return start, start + len(mode)
				}
			}
		}
		at += len(line)
	}
	return 0, 0
}

// Set changes the configuration first: should the host lose power now, it starts in the mode that is wished.
func (s SELinux) Set(ctx context.Context, m Machine, _ Op) error {
	seen, err := s.Observe(ctx, m)
	if err != nil || s.same(seen) {
		return err
	}
	now := seen.(SELinux)
	if !(SELinux{Boot: s.Boot}).same(SELinux{Boot: now.Boot}) {
		if err := setBootMode(m, s.Boot); err != nil {
			return err
		}
	}
	if sameMode(s.Now, now.Now) {
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
	start, end := bootMode(config)
	return rewrite(m, selinuxConfig, slices.Concat(config[:start], []byte(mode), config[end:]), 0o644)
}

// same: what a machine has none of cannot be set, and where SELinux is off from the next start on, it is not turned on to be permissive.
func (s SELinux) same(seen Op) bool {
	o := seen.(SELinux)
	if s.None || o.None {
		return true
	}
	return sameMode(s.Now, o.Now) && (sameMode(s.Boot, o.Boot) || sameMode(s.Boot, "permissive") && sameMode("disabled", o.Boot))
}

// sameMode: where nothing is wished or nothing is there, there is nothing to do.
func sameMode(wish, seen string) bool {
	return wish == "" || seen == "" || strings.EqualFold(wish, seen)
}
