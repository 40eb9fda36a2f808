package edit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Canonical is a JSON value as compact text with sorted keys, so that two of them are equal when their texts are.
func Canonical(value json.RawMessage) (json.RawMessage, error) {
	v, err := decode(value)
	if err != nil {
		return nil, err
	}
	return encode(v)
}

// Same says whether two JSON values say the same.
func Same(a, b json.RawMessage) bool {
	x, errX := Canonical(a)
	y, errY := Canonical(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func decode(value json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("not a JSON value: %w", err)
	}
	if d.More() {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return normal(v), nil
}

// normal writes numbers in one way only. A number with a fraction stays one, even where that is nought: to whoever reads TOML it is no integer.
func normal(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return json.Number(strconv.FormatInt(i, 10))
		}
		f, err := v.Float64()
		if err != nil || !strings.ContainsAny(v.String(), ".eE") {
			return v
		}
		return float(f)
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = normal(v[name])
		}
	}
	return v
}

func float(f float64) json.Number {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return json.Number(s)
}

func encode(v any) (json.RawMessage, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// value is what an item says, in JSON.
func (t *Text) value(it *item) (json.RawMessage, error) {
	v, err := t.plain(it)
	if err != nil {
		return nil, err
	}
	return encode(v)
}

func (t *Text) plain(it *item) (any, error) {
	switch {
	case it.kind == table:
		out := map[string]any{}
		for name, sub := range it.items {
			v, err := t.plain(sub)
			if err != nil {
				return nil, err
			}
			out[name] = v
		}
		return out, nil
	case it.kind == list || it.kind == tables:
		out := []any{}
		for _, elem := range it.elems {
			v, err := t.plain(elem)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
	text := t.data[it.text.from:it.text.to]
	if t.format == JSON {
		return decode(text)
	}
	var v struct{ X any }
	if err := toml.Unmarshal(slices.Concat([]byte("X = "), text), &v); err != nil {
		return nil, t.errorAt(it.text.from, "%v", err)
	}
	switch x := v.X.(type) {
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) { // JSON has no number for these
			return string(text), nil
		}
		return float(x), nil
	}
	return v.X, nil
}

// render writes a JSON value for this text. In JSON, what is not flat goes over several lines where the text does so, indented from base.
func (t *Text) render(value json.RawMessage, base string) (string, error) {
	v, err := decode(value)
	if err != nil {
		return "", err
	}
	if t.format == TOML {
		return tomlText(v)
	}
	return t.jsonText(v, base)
}

func (t *Text) jsonText(v any, base string) (string, error) {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 {
		return flatJSON(v)
	}
	open, between, end := "{", ", ", "}"
	if t.spread() {
		open, between, end = "{"+t.eol()+base+t.unit(), ","+t.eol()+base+t.unit(), t.eol()+base+"}"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		sub, err := t.jsonText(m[name], base+t.unit())
		if err != nil {
			return "", err
		}
		key, err := encode(name)
		if err != nil {
			return "", err
		}
		parts = append(parts, string(key)+": "+sub)
	}
	return open + strings.Join(parts, between) + end, nil
}

// flatJSON is a value on one line, with a space after each comma and colon.
func flatJSON(v any) (string, error) {
	var parts []string
	switch v := v.(type) {
	case []any:
		for _, elem := range v {
			text, err := flatJSON(elem)
			if err != nil {
				return "", err
			}
			parts = append(parts, text)
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			key, errKey := encode(name)
			text, err := flatJSON(v[name])
			if err != nil || errKey != nil {
				return "", fmt.Errorf("%w%w", err, errKey)
			}
			parts = append(parts, string(key)+": "+text)
		}
		return "{" + strings.Join(parts, ", ") + "}", nil
	}
	text, err := encode(v)
	return string(text), err
}

func tomlText(v any) (string, error) {
	var parts []string
	switch v := v.(type) {
	case nil:
		return "", fmt.Errorf("TOML has no null")
	case bool:
		return strconv.FormatBool(v), nil
	case json.Number:
		return v.String(), nil
	case string:
		return basicString(v), nil
	case []any:
		for _, elem := range v {
			text, err := tomlText(elem)
			if err != nil {
				return "", err
			}
			parts = append(parts, text)
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case map[string]any:
		if len(v) == 0 {
			return "{}", nil
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			text, err := tomlText(v[name])
			if err != nil {
				return "", err
			}
			parts = append(parts, bareKey(name)+" = "+text)
		}
		return "{ " + strings.Join(parts, ", ") + " }", nil
	}
	return "", fmt.Errorf("TOML has no %T", v)
}

// bareKey is a key as TOML has it, in quotes where it needs them. Single quotes are what containerd itself writes.
func bareKey(name string) string {
	plain, quotable := name != "", true
	for i := range len(name) {
		plain = plain && bareRune(name[i])
		quotable = quotable && name[i] >= ' ' && name[i] != '\'' && name[i] != 0x7f
	}
	switch {
	case plain:
		return name
	case quotable:
		return "'" + name + "'"
	}
	return basicString(name)
}

// basicString is a TOML string in double quotes.
func basicString(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&out, `\u%04X`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// spread says whether a JSON text goes over several lines. One that holds nothing yet will.
func (t *Text) spread() bool {
	if len(t.root.order) == 0 {
		return true
	}
	s := t.root.home.inside
	return bytes.IndexByte(t.data[s.from:s.to], '\n') >= 0
}

// unit is by how much the text indents: as its first indented line.
func (t *Text) unit() string {
	if t.format == JSON {
		if h := t.root.home; len(h.entries) > 0 && bytes.IndexByte(t.data[h.inside.from:h.entries[0].key.from], '\n') >= 0 {
			if in := t.indent(h.entries[0].key.from); in != "" {
				return in
			}
		}
		return "  "
	}
	for _, h := range t.homes[1:] {
		if in := t.indent(h.header.from); in != "" {
			return in
		}
		if len(h.entries) > 0 {
			if in := t.indent(h.entries[0].key.from); in != "" {
				return in
			}
		}
	}
	return ""
}
