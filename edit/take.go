package edit

import (
	"bytes"
	"slices"
	"strings"
)

// place fills in where an entry stands and what taking it away takes.
func (t *Text) place(e *entry, f *Found) {
	h := e.home
	i := slices.Index(h.entries, e)
	s := t.taken(e)
	f.Line, f.Offset = string(t.data[s.from:s.to]), s.from
	before := h.inside.from
	if i > 0 {
		prev := h.entries[i-1]
		f.After = prev.names
		if before = prev.value.to; !h.braces {
			before = t.lineEnd(before)
		}
	}
	if before < s.from {
		f.Gap = string(t.data[before:s.from])
	}
}

// taken is what goes away with an entry: between braces with the comma, else its line. A comment at the line's end is somebody else's, and stays.
func (t *Text) taken(e *entry) span {
	h := e.home
	i := slices.Index(h.entries, e)
	if h.braces {
		all := make([]span, len(h.entries))
		for n, one := range h.entries {
			all[n] = span{one.key.from, one.value.to}
		}
		return t.part(all, i, h.inside)
	}
	end := e.value.to
	for end < len(t.data) && (t.data[end] == ' ' || t.data[end] == '\t') {
		end++
	}
	if end < len(t.data) && t.data[end] == '#' {
		return span{e.key.from, end}
	}
	return t.whole(span{e.key.from, end})
}

// whole is the lines of a span. The last line of a text without an end takes the end of the line above it along.
func (t *Text) whole(s span) span {
	s = span{t.lineStart(s.from), t.lineEnd(s.to)}
	if t.unended(s.to) && s.from > 0 {
		if s.from--; s.from > 0 && t.data[s.from-1] == '\r' {
			s.from--
		}
	}
	return s
}

// Restore brings back what was found at a key: its own text, or its absence. With an absent key the tables above it go that hold nothing any more
// and were not there either.
func (t *Text) Restore(at []string, was Found) error {
	parent, rest, err := t.walk(at)
	if err != nil {
		if was.Present() {
			return err
		}
		return nil // somebody has put something else there
	}
	it := (*item)(nil)
	if len(rest) == 1 {
		it = parent.items[rest[0]]
	}
	switch {
	case it == nil && !was.Present():
		return t.clear(at, was)
	case it == nil:
		return t.bringBack(at, parent, was)
	case !was.Present():
		if it.entry == nil {
			return nil // a table that somebody has written
		}
		if err := t.splice(t.taken(it.entry), ""); err != nil {
			return err
		}
		return t.clear(at, was)
	case it.text.to == 0 || string(t.data[it.text.from:it.text.to]) == was.Text:
		return t.Put(at, was.Value)
	}
	return t.splice(it.text, was.Text)
}

// clear takes tables away that hold nothing and were not there, and gives the one that was what stood between its braces.
func (t *Text) clear(at []string, was Found) error {
	for n := len(at) - 1; n > 0; n-- {
		parent, rest, err := t.walk(at[:n])
		if err != nil {
			return nil
		}
		it := parent.items[rest[0]]
		if len(rest) > 1 || it == nil || it.kind != table {
			continue
		}
		if len(it.order) > 0 && (it.home == nil || it.home.braces || len(it.home.entries) > 0) {
			return nil
		}
		if n+1 > was.Above || n+1 == was.Above && was.Silent {
			if err := t.takeTable(it); err != nil {
				return err
			}
			continue
		}
		if it.home != nil && it.home.braces && len(it.order) == 0 {
			return t.splice(it.home.inside, was.Inside)
		}
		return nil
	}
	h := t.root.home
	switch {
	case !h.braces || len(h.entries) > 0 || h.inside.from < 0:
		return nil
	case was.Above == 0:
		return t.splice(span{0, len(t.data)}, was.Inside)
	case was.Above == 1:
		return t.splice(h.inside, was.Inside)
	}
	return nil
}

// takeTable takes a table away in which nothing is written.
func (t *Text) takeTable(it *item) error {
	if it.entry != nil {
		return t.splice(t.taken(it.entry), "")
	}
	h := it.home
	if h == nil || h.path == nil || len(bytes.TrimSpace(t.data[h.inside.from:h.inside.to])) > 0 {
		return nil // keys or comments of somebody else's stand below the header
	}
	s := t.whole(h.header)
	// The empty line above it came with it. In a text without a last end of line that is the end of the line above.
	eol := t.eol()
	if before := t.data[:s.from]; t.unended(s.to) && bytes.HasSuffix(before, []byte(eol)) ||
		bytes.HasSuffix(before, []byte("\n"+eol)) {
		s.from -= len(eol)
	}
	return t.splice(s, "")
}

// bringBack writes a key again that is gone: where it stood, if that place can still be told, and else as a new one.
func (t *Text) bringBack(at []string, parent *item, was Found) error {
	h := parent.home
	if h == nil || was.Line == "" {
		return t.Put(at, was.Value)
	}
	pos := h.inside.from
	switch i := slices.IndexFunc(h.entries, func(e *entry) bool { return slices.Equal(e.names, was.After) }); {
	case was.After != nil && i < 0:
		return t.Put(at, was.Value)
	case was.After != nil && h.braces:
		pos = h.entries[i].value.to
	case was.After != nil:
		pos = t.lineEnd(h.entries[i].value.to)
	}
	if strings.HasPrefix(string(t.data[pos:]), was.Gap) {
		pos += len(was.Gap)
	}
	s := span{pos, pos}
	if h.braces && was.After == nil && len(h.entries) == 0 {
		s = h.inside
	}
	old := *t
	if t.splice(s, was.Line) == nil {
		if now, err := t.Find(at); err == nil && bytes.Equal(now.Value, was.Value) {
			return nil
		}
	}
	*t = old // the place has changed too much
	return t.Put(at, was.Value)
}

// Take takes a key away. The table it was in stays.
func (t *Text) Take(at []string) error {
	parent, rest, err := t.walk(at)
	if err != nil || len(rest) > 1 {
		return err
	}
	it := parent.items[rest[0]]
	if it == nil {
		return nil
	}
	if it.entry == nil {
		return t.errorAt(it.at, "%s is %s, expected a value", dotted(at), it.kind)
	}
	return t.splice(t.taken(it.entry), "")
}
