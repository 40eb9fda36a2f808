package source

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// chosen is the part of some Debian packages that a layer takes.
type chosen struct {
	from  debian
	names map[string]bool
}

// take adds a file, what its links lead to, and the shared libraries it needs.
func (c *chosen) take(name string) error {
	if c.names[name] {
		return nil
	}
	f, ok := c.from.files[name]
	if !ok {
		return fmt.Errorf("no package has a file %s", name)
	}
	c.names[name] = true
	if f.link != "" {
		to := f.link
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(name), to)
		}
		if to = merged(to); c.from.folder(to) {
			return nil // what is taken of the folder, the recipe names
		}
		return c.take(to)
	}
	libs, err := needs(f.data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, lib := range libs {
		where, err := c.library(lib)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := c.take(where); err != nil {
			return err
		}
	}
	return nil
}

// library finds a shared library where the loader would.
func (c *chosen) library(name string) (string, error) {
	if strings.Contains(name, "/") { // the loader itself, by its full path
		return merged(name), nil
	}
	for _, dir := range []string{"usr/lib/x86_64-linux-gnu/", "usr/lib/"} {
		if _, ok := c.from.files[dir+name]; ok {
			return dir + name, nil
		}
	}
	return "", fmt.Errorf("no package has the library %s", name)
}

// packages lists the packages that something was taken from.
func (c *chosen) packages() []string {
	var all []string
	for name := range c.names {
		all = append(all, c.from.files[name].pkg)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// needs lists the shared libraries and the loader that a program asks for; nothing if it is not a program.
func needs(data []byte) ([]string, error) {
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return nil, nil
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	libs, err := f.ImportedLibraries()
	if errors.Is(err, elf.ErrNoSymbols) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			raw := make([]byte, p.Filesz)
			if _, err := p.ReadAt(raw, 0); err != nil {
				return nil, err
			}
			libs = append(libs, string(bytes.TrimRight(raw, "\x00")))
		}
	}
	return libs, nil
}
