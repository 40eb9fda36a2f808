package ops

import (
	"context"
	"fmt"
	"io"
)

// Copy is a file that has the content of another one on the same machine, for somebody who may not read that. The content may be a private key: it is
// never observed, journaled or shown, and does not leave the machine.
type Copy struct {
	Path     string `json:"path"`
	From     string `json:"from"`
	Mode     uint32 `json:"mode,omitempty"`
	UID      int    `json:"uid,omitempty"`
	GID      int    `json:"gid,omitempty"`
	Absent   bool   `json:"absent,omitempty"`
	Outdated bool   `json:"outdated,omitempty"` // in observations: it has another content
	parents
}

func (c Copy) Key() Key { return Key("copy:" + c.Path) }

// Touches names what may be replaced, so that it can be kept.
func (c Copy) Touches() []string { return []string{c.Path} }

func (c Copy) Observe(ctx context.Context, m Machine) (Op, error) {
	is, err := (File{Path: c.Path, Secret: true}).Observe(ctx, m)
	if err != nil {
		return nil, err
	}
	f := is.(File)
	seen := Copy{Path: c.Path, From: c.From, Mode: f.Mode, UID: f.UID, GID: f.GID, Absent: f.Absent, parents: f.parents}
	if f.Absent {
		return seen, nil
	}
	want, err := digestFile(ctx, m, c.From)
	if err != nil && !missing(err) {
		return nil, err
	}
	seen.Outdated = want != f.Digest
	return seen, nil
}

func (c Copy) Set(ctx context.Context, m Machine, _ Op) error {
	switch {
	case c.Absent:
		if err := remove(m, c.Path); err != nil {
			return err
		}
		return c.prune(m, c.Path)
	case c.Outdated:
		return fmt.Errorf("%s was there before; only what was kept of it can bring it back", c.Path)
	}
	content, err := readSmall(m, c.From, true)
	if err != nil {
		return err
	}
	if content == nil {
		return fmt.Errorf("%s is not there", c.From)
	}
	return writeFile(m, c.Path, attrs{mode: c.Mode, uid: c.UID, gid: c.GID}, func(w io.Writer) error { _, err := w.Write(content); return err })
}

func (c Copy) same(seen Op) bool {
	s := seen.(Copy)
	if c.Absent || s.Absent {
		return c.Absent == s.Absent
	}
	return c.Outdated == s.Outdated && c.Mode == s.Mode && c.UID == s.UID && c.GID == s.GID
}
