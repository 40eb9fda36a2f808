package ops

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// linkKinds are modules whose network interfaces hold no reference to them: unloading one deletes every such interface, whoever's it is.
var linkKinds = []string{"bridge", "dummy", "veth", "vxlan"}

// loadedModule is a line of /proc/modules.
type loadedModule struct {
	name string
	used bool
}

func loadedModules(m Machine) ([]loadedModule, error) {
	data, err := os.ReadFile(m.Path("/proc/modules"))
	if missing(err) { // a kernel without modules
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read /proc/modules: %w", cause(err))
	}
	var out []loadedModule
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) >= 3 { // name, size, references; "-" where the kernel does not unload
			out = append(out, loadedModule{f[0], f[2] != "0"})
		}
	}
	return out, nil
}

// Loaded says whether a module is loaded; one that is built in is not.
func Loaded(m Machine, name string) (bool, error) {
	names, err := modulesOf(m, []string{name})
	return len(names) > 0, err
}

// Unload unloads a module that the kernel has loaded for something that is over, if nothing uses it.
func Unload(m Machine, name string) error { return unloadModules(m, []string{name}) }

// modulesOf lists the loaded modules that one of the patterns names.
func modulesOf(m Machine, patterns []string) ([]string, error) {
	all, err := loadedModules(m)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range all {
		if slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, l.name); return ok }) {
			out = append(out, l.name)
		}
	}
	return out, nil
}

// unloadModules unloads those of the modules that nothing uses, again and again, as each lets go of those it was made of. What is used by
// now is somebody else's too, and stays until the next start.
func unloadModules(m Machine, names []string) error {
	if len(names) == 0 {
		return nil
	}
	network, err := networkOf(m)
	if err != nil {
		return err
	}
	kernel, err := kernelOf(m)
	if err != nil {
		return err
	}
	kept, err := unreferenced(network, names)
	if err != nil {
		return err
	}
	for progress := true; progress; {
		progress = false
		all, err := loadedModules(m)
		if err != nil {
			return err
		}
		for _, l := range all {
			if l.used || !slices.Contains(names, l.name) || slices.Contains(kept, l.name) {
				continue
			}
			if err := unload(m, kernel, l.name); err != nil {
				return err
			}
			kept, progress = append(kept, l.name), true // once is enough: it is gone, or used after all
		}
	}
	return nil
}

// unreferenced are those of the modules that are in use although their reference counts do not say so. (A table of the old iptables holds a
// reference as long as it has a rule.)
func unreferenced(network Network, names []string) ([]string, error) {
	var kept []string
	if slices.ContainsFunc(names, func(n string) bool { return slices.Contains(linkKinds, n) }) {
		kinds, err := network.Kinds()
		if err != nil {
			return nil, fmt.Errorf("list links: %w", err)
		}
		kept = keepIf(linkKinds, func(k string) bool { return slices.Contains(kinds, k) })
	}
	if slices.Contains(names, "nf_tables") {
		tables, err := network.Tables()
		if err != nil {
			return nil, fmt.Errorf("list tables of nftables: %w", err)
		}
		if len(tables) > 0 {
			kept = append(kept, "nf_tables")
		}
	}
	return kept, nil
}

// unload unloads one module and none that it needs, as those may have been there before. One that is used after all stays.
func unload(m Machine, kernel Kernel, name string) error {
	if err := changing(m, "unload "+name); err != nil {
		return err
	}
	err := kernel.Unload(name)
	if err == nil || missing(err) || errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EBUSY) {
		return nil
	}
	return fmt.Errorf("unload module %s: %w", name, err)
}
