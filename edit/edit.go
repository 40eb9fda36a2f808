// Package edit changes single keys in the text of a JSON or TOML file. Every other byte stays as it was: keys of others and their order, comments,
// indentation, line ends, and whether the last line has one. It works on text alone and touches no file.
package edit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Format is how a file is written.
type Format string

const (
	JSON Format = "json"
	TOML Format = "toml"
)

// Error says what is wrong with a text, and where. Lines and columns begin with 1; a column counts bytes.
type Error struct {
	Line, Column int
	Problem      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Problem)
}

// Text is a text that was read and can be changed. A change that fails leaves it as it was, and what it holds can always be read.
type Text struct {
	format Format
	data   []byte
	root   *item
	homes  []*home // of TOML: the root's, then those of the headers in their order
}

// Parse reads a text. What cannot be read, and what says something twice, is an *Error.
func Parse(format Format, data []byte) (*Text, error) {
	t := &Text{format: format, data: bytes.Clone(data)}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, t.errorAt(0, "a byte order mark, expected %s", format)
	}
	var err error
	switch format {
	case JSON:
		err = t.readJSON()
	case TOML:
		err = t.readTOML()
	default:
		err = fmt.Errorf("there is no format %q", format)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Bytes are the text as it is now.
func (t *Text) Bytes() []byte { return bytes.Clone(t.data) }

// Bare says that the text holds nothing: no key, and no comment either.
func (t *Text) Bare() bool {
	if t.format == JSON {
		return len(t.root.order) == 0
	}
	return len(bytes.TrimSpace(t.data)) == 0
}

// kind is what a key stands for.
type kind int

const (
	scalar kind = iota
	list
	table
	tables // TOML's array of tables, whose elements have headers
)

func (k kind) String() string {
	return [...]string{"a value", "a list", "a table", "a list of tables"}[k]
}

// span is a part of the text.
type span struct{ from, to int }

// item is what a key stands for. The root is one, too.
type item struct {
	kind  kind
	at    int  // where its key stands, for errors
	text  span // of the value, where it has one text: not for tables with headers or dotted keys
	entry *entry

	// Of tables:
	items map[string]*item
	order []string
	home  *home    // where its keys are written; nil for a table of which only tables below it are written
	under []string // what a key has in front of it there: the table is made by dotted keys

	elems []*item // of lists
}

func newTable(at int) *item { return &item{kind: table, at: at, items: map[string]*item{}} }

func (i *item) add(name string, sub *item) {
	i.items[name] = sub
	i.order = append(i.order, name)
}

// home is a place where keys and values are written: between braces, or, in TOML, the lines from a header to the next.
type home struct {
	braces  bool
	inside  span // between the braces; of a section: from the end of the header's line to the next header's line
	header  span // the header itself, of a section that has one
	path    []string
	entries []*entry
}

// entry is a key and its value.
type entry struct {
	home  *home
	names []string // as written, relative to its home
	key   span
	value span
}

// Found is how a key is in a text, with all that is needed to bring exactly that back.
type Found struct {
	Value json.RawMessage `json:"value,omitempty"` // as compact JSON with sorted keys; nil where the key is absent
	Text  string          `json:"text,omitempty"`  // the value as it is written
	// Of the tables above it:
	Above  int    `json:"above,omitempty"`  // how many there are, the root included
	Silent bool   `json:"silent,omitempty"` // the innermost of them has no place of its own: only tables below it are written
	Inside string `json:"inside,omitempty"` // what stands between its braces, where it holds nothing
	// Where it stands:
	After  []string `json:"after,omitempty"` // the key before it in its table
	Gap    string   `json:"gap,omitempty"`   // what stands between that and it
	Line   string   `json:"line,omitempty"`  // what taking it away takes
	Offset int      `json:"offset,omitempty"`
}

// Present says whether the key is there.
func (f Found) Present() bool { return f.Value != nil }

// Find looks a key up. A key whose parent is no table is an *Error.
func (t *Text) Find(at []string) (Found, error) {
	parent, rest, err := t.walk(at)
	if err != nil {
		return Found{}, err
	}
	var f Found
	f.Above = len(at) - len(rest) + 1
	if t.root.home != nil && t.root.home.inside.from < 0 { // JSON without even braces
		return Found{Inside: string(t.data)}, nil
	}
	if len(rest) == 1 && parent.items[rest[0]] != nil {
		it := parent.items[rest[0]]
		if f.Value, err = t.value(it); err != nil {
			return Found{}, err
		}
		f.Text = string(t.data[it.text.from:it.text.to])
		if it.entry != nil {
			t.place(it.entry, &f)
		}
		return f, nil
	}
	f.Silent = parent.home == nil
	if h := parent.home; h != nil && h.braces && len(h.entries) == 0 {
		f.Inside = string(t.data[h.inside.from:h.inside.to])
	}
	return f, nil
}

// walk goes down as far as there are tables, and says what of the path is left: at least the key itself.
func (t *Text) walk(at []string) (parent *item, rest []string, err error) {
	if len(at) == 0 {
		return nil, nil, fmt.Errorf("a key has at least one name")
	}
	if i := slices.IndexFunc(at, func(name string) bool { return !utf8.ValidString(name) }); i >= 0 {
		return nil, nil, fmt.Errorf("%q is not UTF-8 and can be no key", at[i])
	}
	parent, rest = t.root, at
	for len(rest) > 1 {
		sub := parent.items[rest[0]]
		if sub == nil {
			break
		}
		if sub.kind != table {
			return nil, nil, t.errorAt(sub.at, "%s is %s, expected a table", dotted(at[:len(at)-len(rest)+1]), sub.kind)
		}
		parent, rest = sub, rest[1:]
	}
	return parent, rest, nil
}

// splice replaces a part of the text. Should the result not be readable, that is this package's fault and nothing is changed.
func (t *Text) splice(s span, by string) error {
	next, err := Parse(t.format, slices.Concat(t.data[:s.from], []byte(by), t.data[s.to:]))
	if err != nil {
		return fmt.Errorf("the change would make the text unreadable: %w", err)
	}
	*t = *next
	return nil
}

func (t *Text) errorAt(offset int, format string, args ...any) *Error {
	offset = min(max(offset, 0), len(t.data))
	before := t.data[:offset]
	return &Error{
		Line: 1 + bytes.Count(before, []byte("\n")), Column: offset - bytes.LastIndexByte(before, '\n'),
		Problem: fmt.Sprintf(format, args...),
	}
}

// eol is how the text ends its lines.
func (t *Text) eol() string {
	if i := bytes.IndexByte(t.data, '\n'); i > 0 && t.data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// lineStart is where the line begins that holds an offset.
func (t *Text) lineStart(at int) int { return bytes.LastIndexByte(t.data[:at], '\n') + 1 }

// lineEnd is where the next line begins.
func (t *Text) lineEnd(at int) int {
	if i := bytes.IndexByte(t.data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(t.data)
}

// indent is the white space that the line begins with.
func (t *Text) indent(at int) string {
	line := t.data[t.lineStart(at):at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// dotted writes a path of keys as TOML does, which people read well.
func dotted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = bareKey(n)
	}
	return strings.Join(out, ".")
}

// Path is a path of keys as people read it: dotted, with quotes where a name needs them.
func Path(at []string) string { return dotted(at) }

// At is an error about a key: where it stands, and the words.
func (t *Text) At(at []string, problem string) error {
	parent, rest, err := t.walk(at)
	if err != nil {
		return err
	}
	if it := parent.items[rest[0]]; it != nil {
		return t.errorAt(it.at, "%s", problem)
	}
	return t.errorAt(parent.at, "%s", problem)
}
