package edit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Put gives a key a value. Where it has that value already, however written, nothing changes. A new key goes below the last one of its table, a new
// table of TOML to the end of the text.
func (t *Text) Put(at []string, value json.RawMessage) error {
	parent, rest, err := t.walk(at)
	if err != nil {
		return err
	}
	if it := parent.items[rest[0]]; it != nil {
		return t.replace(at, it, value)
	}
	if t.root.home.braces && t.root.home.inside.from < 0 { // JSON without even braces
		if err := t.splice(span{0, len(t.data)}, "{}"+t.eol()); err != nil {
			return err
		}
		return t.Put(at, value)
	}
	if t.format == JSON {
		for i := len(rest) - 1; i > 0; i-- {
			name, err := encode(rest[i])
			if err != nil {
				return err
			}
			value = slices.Concat([]byte("{"), name, []byte(":"), value, []byte("}"))
		}
		key, err := encode(rest[0])
		if err != nil {
			return err
		}
		return t.insert(parent.home, string(key), value)
	}
	h := parent.home
	if h != nil && (len(rest) == 1 || h.braces || len(parent.under) > 0) {
		return t.insert(h, dotted(slices.Concat(parent.under, rest)), value)
	}
	return t.section(at[:len(at)-1], at[len(at)-1], value)
}

// replace writes another value in the place of one that is there.
func (t *Text) replace(at []string, it *item, value json.RawMessage) error {
	now, err := t.value(it)
	if err != nil {
		return err
	}
	if Same(now, value) {
		return nil
	}
	if it.text.to == 0 {
		return t.errorAt(it.at, "%s is %s, expected a value", dotted(at), it.kind)
	}
	text, err := t.render(value, t.indent(it.at))
	if err != nil {
		return err
	}
	return t.splice(it.text, text)
}

// insert writes a new key and its value below the last one of a home.
func (t *Text) insert(h *home, key string, value json.RawMessage) error {
	if !h.braces {
		return t.line(h, key, value)
	}
	colon := ": "
	if t.format == TOML {
		colon = " = "
	}
	if len(h.entries) == 0 {
		return t.first(h, key+colon, value)
	}
	last := h.entries[len(h.entries)-1]
	if own := string(t.data[last.key.to:last.value.from]); len(own) < len(colon) && !strings.Contains(own, "\n") {
		colon = own // without the spaces
	}
	before := h.inside.from
	if len(h.entries) > 1 {
		before = h.entries[len(h.entries)-2].value.to
	}
	gap := string(t.data[before:last.key.from])
	base, between := t.indent(last.key.from), ", "
	switch {
	case strings.Contains(gap, "\n"):
		between = "," + t.eol() + base
	case gap == ",", colon == ":":
		between = ","
	}
	text, err := t.render(value, base)
	if err != nil {
		return err
	}
	return t.splice(span{last.value.to, last.value.to}, between+key+colon+text)
}

// first writes between braces that hold nothing.
func (t *Text) first(h *home, key string, value json.RawMessage) error {
	base := t.indent(h.inside.from)
	if t.format == TOML || !t.spread() {
		text, err := t.render(value, base)
		if err != nil {
			return err
		}
		if t.format == TOML {
			key, text = " "+key, text+" "
		}
		return t.splice(h.inside, key+text)
	}
	text, err := t.render(value, base+t.unit())
	if err != nil {
		return err
	}
	return t.splice(h.inside, t.eol()+base+t.unit()+key+text+t.eol()+base)
}

// line writes "key = value" as a line of a TOML section.
func (t *Text) line(h *home, key string, value json.RawMessage) error {
	text, err := t.render(value, "")
	if err != nil {
		return err
	}
	at, indent, equals := h.inside.from, "", " = "
	switch {
	case len(h.entries) > 0:
		last := h.entries[len(h.entries)-1]
		at, indent = t.lineEnd(last.value.to), t.indent(last.key.from)
		if string(t.data[last.key.to:last.value.from]) == "=" {
			equals = "="
		}
	case h.path != nil:
		indent = t.indent(h.header.from)
		if t.nested() {
			indent += t.unit()
		}
	case len(t.homes) > 1: // above the first header and the comments that stand right above it
		at = t.lineStart(t.homes[1].header.from)
		for at > 0 && bytes.HasPrefix(bytes.TrimLeft(t.data[t.lineStart(at-1):at], " \t"), []byte("#")) {
			at = t.lineStart(at - 1)
		}
	default:
		at = len(t.data)
	}
	line := indent + key + equals + text
	if t.unended(at) {
		return t.splice(span{at, at}, t.eol()+line)
	}
	return t.splice(span{at, at}, line+t.eol())
}

// section writes a new header with one key at the end of the text, with an empty line above it.
func (t *Text) section(path []string, key string, value json.RawMessage) error {
	text, err := t.render(value, "")
	if err != nil {
		return err
	}
	indent := ""
	if t.nested() || slices.ContainsFunc(t.homes[1:], func(h *home) bool { return t.indent(h.header.from) != "" }) {
		indent = strings.Repeat(t.unit(), t.depth(path))
	}
	in := indent
	if t.nested() {
		in += t.unit()
	}
	header, line := indent+"["+dotted(path)+"]", in+bareKey(key)+" = "+text
	end := span{len(t.data), len(t.data)}
	switch {
	case len(t.data) == 0:
		return t.splice(end, header+t.eol()+line+t.eol())
	case t.unended(end.to):
		return t.splice(end, t.eol()+t.eol()+header+t.eol()+line)
	}
	return t.splice(end, t.eol()+header+t.eol()+line+t.eol())
}

// depth is how far the header of a table is to be indented: as the one that stands nearest to it in the tree, the last of these.
func (t *Text) depth(path []string) int {
	near, deep := 0, 0
	for _, h := range t.homes[1:] {
		n := 0
		for n < len(path) && n < len(h.path) && h.path[n] == path[n] {
			n++
		}
		if n > 0 && n >= near {
			near, deep = n, len(t.indent(h.header.from))/max(1, len(t.unit()))+len(path)-len(h.path)
		}
	}
	return max(0, deep)
}

// nested says whether the text indents keys below their header.
func (t *Text) nested() bool {
	for _, h := range t.homes[1:] {
		if len(h.entries) > 0 {
			return len(t.indent(h.entries[0].key.from)) > len(t.indent(h.header.from))
		}
	}
	return false
}

// unended says whether the text ends here, and without the end of a line.
func (t *Text) unended(at int) bool {
	return at == len(t.data) && at > 0 && t.data[at-1] != '\n'
}
