package ops

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type pretendUnit struct {
	UnitState
	given  bool // there without a file
	effect func(active bool)
	broken error
	read   *readUnit // what was read of its files, as long as that counts
}

// readUnit is what a service manager has read of a unit's files. Until it is told to read again it knows a change only by a file that is newer.
type readUnit struct {
	inputs string
	newest time.Time
}

// Give says that there is a unit, whether or not there is a file of it, and how it is.
func (p *Pretend) Give(name string, s UnitState) {
	u := p.unit(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Exists = true
	u.UnitState, u.given = s, true
}

// OnUnit has effect called when a unit has been started or stopped.
func (p *Pretend) OnUnit(name string, effect func(active bool)) {
	u := p.unit(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	u.effect = effect
}

// Break has a unit fail to start, with this error; nil mends it.
func (p *Pretend) Break(name string, err error) {
	u := p.unit(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	u.broken = err
}

// Units is the machine's table of units. A unit is there when it was given, or a file of it lies where systemd looks.
func (p *Pretend) Units() Units { return pretendUnits{p} }

func (p *Pretend) unit(name string) *pretendUnit {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.units[name]
	if u == nil {
		u = &pretendUnit{}
		p.units[name] = u
	}
	return u
}

type pretendUnits struct{ p *Pretend }

var unitDirs = []string{"/etc/systemd/system/", "/run/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"}

func (t pretendUnits) exists(name string) bool {
	for _, dir := range unitDirs {
		if fi, err := os.Stat(t.p.Path(dir + name)); err == nil && fi.Mode().IsRegular() {
			return true
		}
	}
	given := false
	t.change(name, func(u *pretendUnit) { given = u.given })
	return given
}

func (t pretendUnits) State(_ context.Context, name string) (UnitState, error) {
	u := t.p.unit(name)
	exists := t.exists(name)
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	s := u.UnitState
	s.Exists = exists
	if !s.Active {
		s.Inputs, s.Since = "", time.Time{}
	}
	return s, nil
}

func (t pretendUnits) Enable(ctx context.Context, name string) error {
	if !t.exists(name) {
		return fmt.Errorf("enable %s: there is no such unit", name)
	}
	t.change(name, func(u *pretendUnit) { u.Enabled = true })
	return t.Reload(ctx)
}

func (t pretendUnits) Disable(ctx context.Context, name string) error {
	t.change(name, func(u *pretendUnit) { u.Enabled = false })
	return t.Reload(ctx)
}

// Reload forgets what was read of all units.
func (t pretendUnits) Reload(context.Context) error {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	for _, u := range t.p.units {
		u.read = nil
	}
	return nil
}

func (t pretendUnits) change(name string, do func(*pretendUnit)) {
	u := t.p.unit(name)
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	do(u)
}

func (t pretendUnits) Restart(_ context.Context, name string) error {
	u := t.p.unit(name)
	if !t.exists(name) {
		return fmt.Errorf("restart %s: there is no such unit", name)
	}
	if u.broken != nil {
		t.change(name, func(u *pretendUnit) { u.Active, u.Unsettled = false, true })
		return fmt.Errorf("%s did not start: %w", name, u.broken)
	}
	files, now := t.inputs(name), t.p.Now()
	t.change(name, func(u *pretendUnit) {
		if u.read == nil || files.newest.After(u.read.newest) {
			u.read = &files
		}
		u.Active, u.Unsettled, u.Inputs, u.Since = true, false, u.read.inputs, now
	})
	t.effects(name, true)
	return nil
}

func (t pretendUnits) Stop(_ context.Context, name string, _ bool) error {
	was := false
	t.change(name, func(u *pretendUnit) {
		was, u.Active, u.Unsettled, u.Inputs = u.Active, false, false, ""
		u.read = nil // what is at rest is read again when it is needed
	})
	if was {
		t.effects(name, false)
	}
	return nil
}

func (t pretendUnits) effects(name string, active bool) {
	if name == "containerd.service" { // whose socket Image looks for
		socket := t.p.Path(containerdSocket)
		if active {
			_ = os.MkdirAll(filepath.Dir(socket), 0o711)
			_ = os.WriteFile(socket, nil, 0o600)
		} else {
			_ = os.Remove(socket)
		}
	}
	if effect := t.p.unit(name).effect; effect != nil {
		effect(active)
	}
}

// inputs reads InputsVar from the unit's file and its drop-ins, as the process that systemd starts would have it.
func (t pretendUnits) inputs(name string) (now readUnit) {
	var files []string
	for _, dir := range unitDirs {
		files = append(files, t.p.Path(dir+name))
		drops, _ := filepath.Glob(t.p.Path(dir+name+".d") + "/*.conf")
		files = append(files, drops...)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if fi, err := os.Stat(file); err == nil && fi.ModTime().After(now.newest) {
			now.newest = fi.ModTime()
		}
		for line := range strings.Lines(string(data)) {
			assigned, ok := strings.CutPrefix(strings.TrimSpace(line), "Environment=")
			if v, found := strings.CutPrefix(strings.Trim(assigned, `"`), InputsVar+"="); ok && found {
				now.inputs = v
			}
		}
	}
	return now
}

func (p *Pretend) modprobe(argv []string) ([]byte, error) {
	dir := p.Path("/sys/module/" + strings.ReplaceAll(argv[len(argv)-1], "-", "_"))
	if argv[1] == "-r" {
		return nil, os.Remove(dir)
	}
	return nil, os.MkdirAll(dir, 0o755)
}

// ctr knows the three things that ops ask of it; what was pulled stays until the machine is gone.
func (p *Pretend) ctr() func([]string) ([]byte, error) {
	images := map[string]bool{}
	return func(argv []string) ([]byte, error) {
		ref := strings.TrimPrefix(argv[len(argv)-1], "name==")
		p.mu.Lock()
		defer p.mu.Unlock()
		switch verb := argv[min(4, len(argv)-1)]; verb {
		case "ls":
			if !images[ref] {
				return nil, nil
			}
			return []byte(ref + "\n"), nil
		case "pull":
			images[ref] = true
		case "rm":
			delete(images, ref)
		default:
			return nil, fmt.Errorf("the pretend ctr does not know %q", verb)
		}
		return nil, nil
	}
}
