package edit

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// readTOML checks the text with the library that containerd reads its configuration with, and then goes through it once more for the places of
// everything. So the second reader may take for granted that what it reads is right.
func (t *Text) readTOML() error {
	var whole map[string]any
	if err := toml.Unmarshal(t.data, &whole); err != nil {
		var bad *toml.DecodeError
		if !errors.As(err, &bad) {
			return err
		}
		e := &Error{Problem: strings.TrimPrefix(bad.Error(), "toml: ")}
		e.Line, e.Column = bad.Position()
		return e
	}
	t.root = newTable(0)
	here := &home{}
	t.root.home, t.homes = here, []*home{here}
	at := t.root // the table that lines speak of
	s := &scanner{data: t.data}
	for s.blank(true); s.pos < len(s.data); s.blank(true) {
		if s.peek() != '[' {
			t.entry(s, at, here)
			continue
		}
		from := s.pos
		many := bytes.HasPrefix(s.data[s.pos:], []byte("[["))
		s.pos += 1
		if many {
			s.pos++
		}
		names := s.names()
		s.pos += 1
		if many {
			s.pos++
		}
		here.inside.to = t.lineStart(from)
		here = &home{header: span{from, s.pos}, path: names, inside: span{t.lineEnd(s.pos), 0}}
		t.homes = append(t.homes, here)
		at = t.header(names, from, many, here)
	}
	here.inside.to = len(t.data)
	return nil
}

// header is the table that a header opens.
func (t *Text) header(names []string, from int, many bool, here *home) *item {
	at := t.root
	for i, name := range names {
		sub, last := at.items[name], i == len(names)-1
		switch {
		case sub == nil && last && many:
			sub = &item{kind: tables, at: from}
			at.add(name, sub)
		case sub == nil:
			sub = newTable(from)
			at.add(name, sub)
		}
		if sub.kind == tables { // of a list of tables the last one is meant
			if last && many {
				sub.elems = append(sub.elems, newTable(from))
			}
			sub = sub.elems[len(sub.elems)-1]
		}
		at = sub
	}
	at.home, at.under = here, nil
	return at
}

// entry reads "key = value" into a table.
func (t *Text) entry(s *scanner, at *item, here *home) {
	e := &entry{home: here, key: span{from: s.pos}}
	e.names = s.names()
	e.key.to = s.ended
	s.blank(false)
	s.pos++ // the equals sign
	s.blank(false)
	for i, name := range e.names[:len(e.names)-1] {
		sub := at.items[name]
		if sub == nil {
			sub = newTable(e.key.from)
			sub.home, sub.under = here, e.names[:i+1]
			at.add(name, sub)
		}
		at = sub
	}
	it := t.tomlValue(s)
	it.at, it.entry, e.value = e.key.from, e, it.text
	here.entries = append(here.entries, e)
	at.add(e.names[len(e.names)-1], it)
}

func (t *Text) tomlValue(s *scanner) *item {
	it := &item{kind: scalar, at: s.pos, text: span{from: s.pos}}
	switch s.peek() {
	case '[':
		it.kind = list
		s.pos++
		for s.blank(true); s.peek() != ']'; s.blank(true) {
			if s.peek() == ',' {
				s.pos++
				continue
			}
			it.elems = append(it.elems, t.tomlValue(s))
		}
		s.pos++
	case '{':
		it.kind, it.items = table, map[string]*item{}
		s.pos++
		it.home = &home{braces: true, inside: span{from: s.pos}}
		for s.blank(true); s.peek() != '}'; s.blank(true) {
			if s.peek() == ',' {
				s.pos++
				continue
			}
			t.entry(s, it, it.home)
		}
		it.home.inside.to = s.pos
		s.pos++
	case '"', '\'':
		s.quoted()
	default: // a number, a truth or a time; a time may have one space within
		for s.pos < len(s.data) && !strings.ContainsRune(",]}#\r\n\t", rune(s.data[s.pos])) && (s.data[s.pos] != ' ' || s.time(it.text.from)) {
			s.pos++
		}
	}
	it.text.to = s.pos
	return it
}

// scanner goes through TOML that is known to be right.
type scanner struct {
	data  []byte
	pos   int
	ended int // where the last name ended
}

func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// blank passes over white space, and with lines also over the ends of lines and comments.
func (s *scanner) blank(lines bool) {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r'):
			s.pos++
		case lines && c == '#':
			for s.pos < len(s.data) && s.data[s.pos] != '\n' {
				s.pos++
			}
		default:
			return
		}
	}
}

// names reads a key with its dots.
func (s *scanner) names() []string {
	var out []string
	for {
		s.blank(false)
		from := s.pos
		if c := s.peek(); c == '"' || c == '\'' {
			s.quoted()
			out = append(out, unquote(s.data[from:s.pos]))
		} else {
			for s.pos < len(s.data) && bareRune(s.data[s.pos]) {
				s.pos++
			}
			out = append(out, string(s.data[from:s.pos]))
		}
		s.ended = s.pos
		s.blank(false)
		if s.peek() != '.' {
			return out
		}
		s.pos++
	}
}

// quoted passes over a string of any of the four kinds.
func (s *scanner) quoted() {
	q := s.data[s.pos]
	if triple := bytes.Repeat([]byte{q}, 3); bytes.HasPrefix(s.data[s.pos:], triple) {
		for s.pos += 3; !bytes.HasPrefix(s.data[s.pos:], triple); s.pos++ {
			if q == '"' && s.data[s.pos] == '\\' {
				s.pos++
			}
		}
		for s.pos += 3; s.peek() == q; s.pos++ { // up to two quotes may stand just before the end
		}
		return
	}
	for s.pos++; s.data[s.pos] != q; s.pos++ {
		if q == '"' && s.data[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
}

// time says whether the space here stands between a date and a time of day.
func (s *scanner) time(from int) bool {
	return s.pos-from == len("2006-01-02") && s.data[from+4] == '-' && s.pos+1 < len(s.data) && s.data[s.pos+1] >= '0' && s.data[s.pos+1] <= '9'
}

func bareRune(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func unquote(text []byte) string {
	var v struct{ X string }
	if toml.Unmarshal(slices.Concat([]byte("X = "), text), &v) != nil {
		return string(text) // cannot be: the whole was read before
	}
	return v.X
}
