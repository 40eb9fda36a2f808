package edit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// PutElements has the list at a key hold some elements and not hold others, whatever else is in it. What is missing goes to its end; a list that is
// not there is made, if it is to hold anything.
func (t *Text) PutElements(at []string, with, without []json.RawMessage) error {
	it, err := t.list(at)
	if err != nil {
		return err
	}
	if it == nil {
		if len(with) == 0 {
			return nil
		}
		whole, err := json.Marshal(with)
		if err != nil {
			return err
		}
		return t.Put(at, whole)
	}
	for _, gone := range without {
		for {
			i, err := t.index(it, gone)
			if err != nil {
				return err
			}
			if i < 0 {
				break
			}
			if err := t.splice(t.takenElement(it, i), ""); err != nil {
				return err
			}
			if it, err = t.list(at); err != nil {
				return err
			}
		}
	}
	for _, wanted := range with {
		i, err := t.index(it, wanted)
		if err != nil {
			return err
		}
		if i >= 0 {
			continue
		}
		if err := t.appendElement(it, wanted); err != nil {
			return err
		}
		if it, err = t.list(at); err != nil {
			return err
		}
	}
	return nil
}

// RestoreElements undoes PutElements: of a list that was found, it takes out what was not in it and puts in again what was. Where nobody
// else has changed the list, it comes back as it was written. Where there was none, it goes with its last element.
func (t *Text) RestoreElements(at []string, with, without []json.RawMessage, was Found) error {
	it, err := t.list(at)
	if err != nil || it == nil {
		if !was.Present() {
			return t.Restore(at, was)
		}
		if err == nil {
			err = t.PutElements(at, with, nil)
		}
		return err
	}
	if was.Present() {
		then := *t
		if err := then.splice(it.text, was.Text); err != nil {
			return err
		}
		ours, err := t.onlyOurs(at, then, slices.Concat(with, without))
		if err != nil {
			return err
		}
		if ours {
			*t = then
			return nil
		}
	}
	if err := t.PutElements(at, with, without); err != nil {
		return err
	}
	if it, err = t.list(at); err != nil {
		return err
	}
	if len(it.elems) > 0 {
		return nil
	}
	if !was.Present() {
		return t.Restore(at, was)
	}
	return t.splice(it.text, was.Text)
}

// FindElements says which of the elements the list at a key holds. A key that is no list is an *Error.
func (t *Text) FindElements(at []string, of []json.RawMessage) ([]bool, error) {
	it, err := t.list(at)
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(of))
	for n, one := range of {
		if it == nil {
			continue
		}
		i, err := t.index(it, one)
		if err != nil {
			return nil, err
		}
		out[n] = i >= 0
	}
	return out, nil
}

// list is the list at a key, nil where there is none.
func (t *Text) list(at []string) (*item, error) {
	parent, rest, err := t.walk(at)
	if err != nil || len(rest) > 1 || parent.items[rest[0]] == nil {
		return nil, err
	}
	it := parent.items[rest[0]]
	if it.kind != list {
		return nil, t.errorAt(it.at, "%s is %s, expected a list", dotted(at), it.kind)
	}
	return it, nil
}

// onlyOurs says whether the list differs from how it was in nothing but our elements: in no other, and in no comment.
func (t *Text) onlyOurs(at []string, then Text, ours []json.RawMessage) (bool, error) {
	var sides [2]string
	for i, side := range []*Text{t, &then} {
		it, err := side.list(at)
		if err != nil {
			return false, err
		}
		from := it.text.from
		for _, elem := range it.elems {
			sides[i] += comments(side.data[from:elem.text.from])
			from = elem.text.to
			v, err := side.value(elem)
			if err != nil {
				return false, err
			}
			if !slices.ContainsFunc(ours, func(o json.RawMessage) bool { return Same(o, v) }) {
				sides[i] += string(v) + "\n"
			}
		}
		sides[i] += comments(side.data[from:it.text.to])
	}
	return sides[0] == sides[1], nil
}

// comments are the comments in what stands between values.
func comments(gap []byte) (out string) {
	for line := range bytes.Lines(gap) {
		if i := bytes.IndexByte(line, '#'); i >= 0 {
			out += string(bytes.TrimSpace(line[i:])) + "\n"
		}
	}
	return out
}

func (t *Text) index(it *item, value json.RawMessage) (int, error) {
	for i, elem := range it.elems {
		now, err := t.value(elem)
		if err != nil {
			return 0, err
		}
		if Same(now, value) {
			return i, nil
		}
	}
	return -1, nil
}

// appendElement writes after the last element, as that is written after the one before it.
func (t *Text) appendElement(it *item, value json.RawMessage) error {
	open := span{it.text.from + 1, it.text.to - 1}
	if len(it.elems) == 0 {
		text, err := t.render(value, "")
		if err != nil {
			return err
		}
		return t.splice(span{open.from, open.from}, text)
	}
	last, before := it.elems[len(it.elems)-1], open.from
	if n := len(it.elems); n > 1 {
		before = it.elems[n-2].text.to
	}
	gap := string(t.data[before:last.text.from])
	base, between := t.indent(last.text.from), ", "
	switch {
	case strings.Contains(gap, "\n"):
		between = "," + t.eol() + base
	case gap == ",":
		between = ","
	}
	text, err := t.render(value, base)
	if err != nil {
		return err
	}
	// A last element with a comma of its own and the end of a line after that has a line to itself, perhaps with a comment.
	s := &scanner{data: t.data, pos: last.text.to}
	if s.blank(false); s.peek() == ',' && between != ", " && between != "," {
		s.pos++
		if s.blank(false); strings.ContainsRune("#\r\n", rune(s.peek())) {
			at := t.lineEnd(s.pos)
			return t.splice(span{at, at}, base+text+","+t.eol())
		}
	}
	return t.splice(span{last.text.to, last.text.to}, between+text)
}

func (t *Text) takenElement(it *item, i int) span {
	all := make([]span, len(it.elems))
	for n, elem := range it.elems {
		all[n] = elem.text
	}
	return t.part(all, i, span{it.text.from + 1, it.text.to - 1})
}

// part is what goes away with one of several things between brackets: the comma before it or, with the first, the one after it, and with the
// only one everything. Where somebody's comment is in between, that stays; there the comma after it may go, as TOML lets one stand at the end.
func (t *Text) part(all []span, i int, inside span) span {
	whole := inside
	switch {
	case i > 0:
		whole = span{all[i-1].to, all[i].to}
	case len(all) > 1:
		whole = span{all[0].from, all[1].from}
	}
	if !bytes.ContainsRune(t.data[whole.from:all[i].from], '#') && !bytes.ContainsRune(t.data[all[i].to:whole.to], '#') {
		return whole
	}
	whole = all[i]
	after := &scanner{data: t.data, pos: whole.to}
	if after.blank(true); after.peek() == ',' {
		whole.to = after.pos + 1
	}
	return whole
}
