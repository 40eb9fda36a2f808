package ops

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Module is a part of the kernel that may have to be loaded. A kernel that has it built in has it loaded.
type Module struct {
	Name     string `json:"name"`
	Evidence string `json:"evidence,omitempty"` // a path that exists only where the kernel has it, for kernels that list nothing
	Loaded   bool   `json:"loaded,omitempty"`
	Busy     bool   `json:"busy,omitempty"` // in observations: something uses it
}

func (o Module) Key() Key { return Key("module:" + o.Name) }

func (o Module) Observe(_ context.Context, m Machine) (Op, error) {
	seen := Module{Name: o.Name, Evidence: o.Evidence}
	seen.Loaded = o.Evidence != "" && exists(m, o.Evidence) || loaded(m, o.Name) || builtin(m, o.Name)
	seen.Busy = seen.Loaded && inUse(m, o.Name)
	return seen, nil
}

func (o Module) Set(ctx context.Context, m Machine, was Op) error {
	if w, ok := was.(Module); ok && w.Loaded == o.Loaded {
		return nil
	}
	if o.Loaded {
		return run(ctx, m, "modprobe", "--", o.Name)
	}
	// What uses it now may not be ours; the kernel refuses then, and the module goes with the next start.
	if !loaded(m, o.Name) || inUse(m, o.Name) {
		return nil
	}
	kernel, err := kernelOf(m)
	if err != nil {
		return err
	}
	return unload(m, kernel, strings.ReplaceAll(o.Name, "-", "_"))
}

// same: a module that stays because something else uses it by now is no reason to say that an undo failed.
func (o Module) same(seen Op) bool {
	s := seen.(Module)
	return o.Loaded == s.Loaded || s.Busy
}

func loaded(m Machine, name string) bool {
	return exists(m, "/sys/module/"+strings.ReplaceAll(name, "-", "_"))
}

func inUse(m Machine, name string) bool {
	count, err := os.ReadFile(m.Path("/sys/module/" + strings.ReplaceAll(name, "-", "_") + "/refcnt"))
	return err == nil && strings.TrimSpace(string(count)) != "0"
}

// builtin looks the module up in the list that depmod reads, because one without parameters has no directory in /sys/module.
func builtin(m Machine, name string) bool {
	release, err := os.ReadFile(m.Path("/proc/sys/kernel/osrelease"))
	if err != nil {
		return false
	}
	list, err := os.ReadFile(m.Path("/lib/modules/" + strings.TrimSpace(string(release)) + "/modules.builtin"))
	if err != nil {
		return false
	}
	want := strings.ReplaceAll(name, "-", "_") + ".ko"
	for line := range strings.Lines(string(list)) {
		base := line[strings.LastIndex(line, "/")+1:]
		if strings.ReplaceAll(strings.TrimSpace(base), "-", "_") == want {
			return true
		}
	}
	return false
}

// run runs an argv that changes the machine.
func run(ctx context.Context, m Machine, argv ...string) error {
	if err := changing(m, strings.Join(argv, " ")); err != nil {
		return err
	}
	if _, err := m.Run(ctx, argv...); err != nil {
		return fmt.Errorf("%s: %w", argv[0], err)
	}
	return nil
}
