package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readJSON checks the text as encoding/json does, and then goes through it once more for the places of everything.
func (t *Text) readJSON() error {
	if len(bytes.TrimSpace(t.data)) == 0 {
		t.root = newTable(0)
		t.root.home = &home{braces: true, inside: span{-1, -1}}
		return nil
	}
	var whole json.RawMessage
	if err := json.Unmarshal(t.data, &whole); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) {
			return err
		}
		at := int(syntax.Offset)
		if at < len(t.data) || at == len(t.data) && syntax.Error() != "unexpected end of JSON input" {
			at-- // it counts what was read, the offender included
		}
		return t.errorAt(at, "%s", syntax.Error())
	}
	w := &jsonWalk{Text: t, d: json.NewDecoder(bytes.NewReader(t.data))}
	w.d.UseNumber()
	root, err := w.item(nil)
	if err != nil {
		return err
	}
	if root.kind != table {
		return t.errorAt(root.text.from, "the file holds %s, expected an object", root.kind)
	}
	t.root = root
	return nil
}

type jsonWalk struct {
	*Text
	d *json.Decoder
}

// token is the next token and where it stands.
func (w *jsonWalk) token() (json.Token, span, error) {
	from := int(w.d.InputOffset())
	token, err := w.d.Token()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, span{}, err
	}
	to := int(w.d.InputOffset())
	for from < to && bytes.IndexByte([]byte(" \t\r\n,:"), w.data[from]) >= 0 {
		from++
	}
	return token, span{from, to}, nil
}

func (w *jsonWalk) item(e *entry) (*item, error) {
	token, at, err := w.token()
	if err != nil {
		return nil, err
	}
	it := &item{kind: scalar, at: at.from, text: at, entry: e}
	switch token {
	case json.Delim('['):
		it.kind = list
		for w.d.More() {
			elem, err := w.item(nil)
			if err != nil {
				return nil, err
			}
			it.elems = append(it.elems, elem)
		}
	case json.Delim('{'):
		it.kind, it.items = table, map[string]*item{}
		it.home = &home{braces: true, inside: span{at.to, 0}}
		for w.d.More() {
			if err := w.member(it); err != nil {
				return nil, err
			}
		}
	default:
		return it, nil
	}
	_, end, err := w.token()
	if err != nil {
		return nil, err
	}
	it.text.to = end.to
	if it.home != nil {
		it.home.inside.to = end.from
	}
	return it, nil
}

func (w *jsonWalk) member(it *item) error {
	token, at, err := w.token()
	if err != nil {
		return err
	}
	name, ok := token.(string)
	if !ok {
		return fmt.Errorf("a key is %v", token)
	}
	if it.items[name] != nil {
		return w.errorAt(at.from, "the key %q is there twice, expected it once", name)
	}
	e := &entry{home: it.home, names: []string{name}, key: at}
	sub, err := w.item(e)
	if err != nil {
		return err
	}
	sub.at, e.value = at.from, sub.text
	it.home.entries = append(it.home.entries, e)
	it.add(name, sub)
	return nil
}
