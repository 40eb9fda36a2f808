package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/edit"
)

// Merge is some keys in a JSON or TOML file that belongs to somebody else; the file's name says which of the two it is. Every other byte of the file, its
// owner, mode and extended attributes stay as they are, and what others change in it is no difference. Undone, each key is as it was written
// before, or gone, and with the last one a file that was not there. What a later wish does not speak of any more stays until then. It is not for
// secrets: what was at a key is in the journal, and the rest of the file among the kept originals.
type Merge struct {
	Path     string    `json:"path"`
	Settings []Setting `json:"settings,omitempty"`
	Mode     uint32    `json:"mode,omitempty"`    // of a file that is not there yet; default 0644
	Clashes  []Clash   `json:"clashes,omitempty"` // never compared
	Absent   bool      `json:"absent,omitempty"`  // in observations: there is no such file
	Foreign  bool      `json:"foreign,omitempty"` // in observations: the file holds more than what the wish is about
	parents
}

// Setting says how one key should be: that it has a value, that it is absent, or that it is a list which holds some elements and does not
// hold others, whatever else is in it.
type Setting struct {
	At       []string          `json:"at"` // the names of the tables it is in, and its own
	Value    json.RawMessage   `json:"value,omitempty"`
	Or       []json.RawMessage `json:"or,omitempty"` // values that are as good, and stay
	Elements []json.RawMessage `json:"elements,omitempty"`
	Without  []json.RawMessage `json:"without,omitempty"`
	Absent   bool              `json:"absent,omitempty"`
	Was      *edit.Found       `json:"was,omitempty"` // in observations: all that is needed to bring exactly that back
}

// Clash is a key that cannot stand beside the settings. A file in which somebody has written it is refused before anything is changed.
type Clash struct {
	At     []string          `json:"at"`
	Except []json.RawMessage `json:"except,omitempty"` // values that do no harm
	Unless []string          `json:"unless,omitempty"` // a key that makes it harmless
	Why    string            `json:"why"`              // and what to do about it
}

func (g Merge) Key() Key { return Key("merge:" + g.Path) }

// Touches names what is changed, so that it can be kept. What lies there later may hold more of its owner's keys than what was kept.
func (g Merge) Touches() []string { return []string{g.Path} }

func (g Merge) Observe(_ context.Context, m Machine) (Op, error) {
	seen := Merge{Path: g.Path, Mode: g.Mode}
	text, err := g.read(m)
	if err != nil {
		return nil, err
	}
	if text == nil {
		seen.Absent, seen.parents = true, missingDirs(m, g.Path)
		if text, err = edit.Parse(g.format(), nil); err != nil {
			return nil, err
		}
	}
	for _, c := range g.Clashes {
		if err := c.in(text); err != nil {
			return nil, g.place(err)
		}
	}
	without := *text
	for _, s := range g.Settings {
		now, err := s.observe(text)
		if err != nil {
			return nil, g.place(err)
		}
		seen.Settings = append(seen.Settings, now)
		if err := (Setting{At: s.At, Without: slices.Concat(s.Elements, s.Without), Was: &edit.Found{}}).put(&without); err != nil {
			return nil, g.place(err)
		}
	}
	seen.Foreign = !without.Bare()
	return seen, nil
}

func (g Merge) Set(_ context.Context, m Machine, _ Op) error {
	text, err := g.read(m)
	if err != nil {
		return err
	}
	if text == nil && g.Absent {
		return discard(m, g.Path, g.parents)
	}
	if text == nil {
		if text, err = edit.Parse(g.format(), nil); err != nil {
			return err
		}
	}
	before := string(text.Bytes())
	// What goes away goes first and backwards, what comes back comes in the order in which it stood.
	order := slices.Clone(g.Settings)
	slices.Reverse(order)
	slices.SortStableFunc(order, func(a, b Setting) int { return a.offset() - b.offset() })
	if g.wish() {
		order = g.Settings
	}
	for _, s := range order {
		if err := s.put(text); err != nil {
			return g.place(err)
		}
	}
	if g.Absent && text.Bare() {
		return discard(m, g.Path, g.parents)
	}
	after := text.Bytes()
	if string(after) == before {
		return nil
	}
	// Written first: a crash in between only has a reader restart once more.
	if err := writeMark(m, g.changed(stateDir(m)), []byte(g.Path+"\n")); err != nil {
		return err
	}
	mode := g.Mode
	if mode == 0 {
		mode = 0o644
	}
	return rewrite(m, g.Path, after, mode)
}

// Changed is a file of kubewright's that is written whenever keys are set. What others change in the shared file is nothing to restart its reader for,
// so a unit that reads it at its start names this one in Reads.
func (g Merge) Changed() string { return g.changed(StateDir) }

func (g Merge) changed(state string) string { return state + "/merged/" + url.PathEscape(g.Path) }

// wish says whether this is no observation.
func (g Merge) wish() bool {
	return !slices.ContainsFunc(g.Settings, func(s Setting) bool { return s.Was != nil })
}

// same: keys that were not looked at are not as wished.
func (g Merge) same(seen Op) bool {
	now := seen.(Merge)
	for _, s := range g.Settings {
		i := slices.IndexFunc(now.Settings, func(n Setting) bool { return slices.Equal(n.At, s.At) })
		if i < 0 || !s.same(now.Settings[i]) {
			return false
		}
	}
	return !g.Absent || now.Absent || now.Foreign
}

// joined adds what a later observation or wish says of other keys: each key's first observation is what undo brings back.
func (g Merge) joined(later Op) Op {
	g.Settings = slices.Clone(g.Settings)
	for _, s := range later.(Merge).Settings {
		i := slices.IndexFunc(g.Settings, func(mine Setting) bool { return slices.Equal(mine.At, s.At) })
		if i < 0 {
			g.Settings = append(g.Settings, s)
			continue
		}
		g.Settings[i] = g.Settings[i].joined(s)
	}
	return g
}

// Differs says which keys are not as wished.
func (g Merge) Differs(seen Op) string {
	now, ok := seen.(Merge)
	if !ok {
		return ""
	}
	var parts []string
	for _, s := range g.Settings {
		i := slices.IndexFunc(now.Settings, func(n Setting) bool { return slices.Equal(n.At, s.At) })
		if i < 0 || !s.same(now.Settings[i]) {
			parts = append(parts, edit.Path(s.At))
		}
	}
	return strings.Join(parts, ", ")
}

func (g Merge) format() edit.Format { return edit.Format(strings.TrimPrefix(path.Ext(g.Path), ".")) }

// read is the file's text, nil where there is none.
func (g Merge) read(m Machine) (*edit.Text, error) {
	data, err := readSmall(m, g.Path, true)
	if err != nil || data == nil {
		return nil, err
	}
	text, err := edit.Parse(g.format(), data)
	return text, g.place(err)
}

// place says in which file something is wrong, where the error knows the line.
func (g Merge) place(err error) error {
	var at *edit.Error
	if errors.As(err, &at) {
		return fmt.Errorf("%s %w", g.Path, err)
	}
	return err
}

func (c Clash) in(text *edit.Text) error {
	if len(c.Unless) > 0 {
		if f, err := text.Find(c.Unless); err != nil || f.Present() {
			return err
		}
	}
	f, err := text.Find(c.At)
	if err != nil || !f.Present() || slices.ContainsFunc(c.Except, func(v json.RawMessage) bool { return edit.Same(v, f.Value) }) {
		return nil // what is no table holds no such key
	}
	return text.At(c.At, c.Why)
}
