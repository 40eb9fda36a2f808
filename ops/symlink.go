package ops

import (
	"context"
	"fmt"
	"os"
)

// Symlink is a symbolic link.
type Symlink struct {
	Path   string `json:"path"`
	Target string `json:"target,omitempty"`
	Absent bool   `json:"absent,omitempty"`
	File   bool   `json:"file,omitempty"` // in observations: there is a file instead; it is kept aside when the link takes its place
	parents
}

func (l Symlink) Key() Key { return Key("link:" + l.Path) }

// Touches names what may be replaced, so that it can be kept.
func (l Symlink) Touches() []string { return []string{l.Path} }

func (l Symlink) Observe(_ context.Context, m Machine) (Op, error) {
	seen := Symlink{Path: l.Path}
	fi, err := os.Lstat(m.Path(l.Path))
	switch {
	case missing(err):
		seen.Absent, seen.parents = true, missingDirs(m, l.Path)
		return seen, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", l.Path, cause(err))
	case fi.Mode().IsRegular():
		seen.File = true
		return seen, nil
	case fi.Mode()&os.ModeSymlink == 0:
		return nil, fmt.Errorf("%s is there, but is not a link", l.Path)
	}
	seen.Target, err = os.Readlink(m.Path(l.Path))
	return seen, err
}

func (l Symlink) Set(_ context.Context, m Machine, _ Op) error {
	switch {
	case l.Absent:
		if err := remove(m, l.Path); err != nil {
			return err
		}
		return l.prune(m, l.Path)
	case l.File:
		return fmt.Errorf("%s was a file; only what was kept of it can bring it back", l.Path)
	}
	return link(m, l.Target, l.Path)
}

func (l Symlink) same(seen Op) bool {
	s := seen.(Symlink)
	return l.Absent == s.Absent && l.Target == s.Target && l.File == s.File
}
