package ops

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/edit"
)

// elements says whether the setting is about elements of a list.
func (s Setting) elements() bool { return len(s.Elements)+len(s.Without) > 0 }

func (s Setting) observe(text *edit.Text) (Setting, error) {
	f, err := text.Find(s.At)
	if err != nil {
		return Setting{}, err
	}
	now := Setting{At: s.At, Was: &f}
	if !s.elements() {
		now.Value, now.Absent = f.Value, !f.Present()
		f.Value = nil
		return now, nil
	}
	all := slices.Concat(s.Elements, s.Without)
	held, err := text.FindElements(s.At, all)
	for i, there := range held {
		if there {
			now.Elements = append(now.Elements, all[i])
		} else {
			now.Without = append(now.Without, all[i])
		}
	}
	return now, err
}

// put has the text say what the setting says; a setting that was observed, as it was written then.
func (s Setting) put(text *edit.Text) error {
	switch was := s.found(); {
	case was != nil && s.elements():
		return text.RestoreElements(s.At, s.Elements, s.Without, *was)
	case was != nil:
		return text.Restore(s.At, *was)
	case s.elements():
		return text.PutElements(s.At, s.Elements, s.Without)
	case s.Absent:
		return text.Take(s.At)
	case s.Value == nil:
		return fmt.Errorf("nothing is said of %s", edit.Path(s.At))
	case s.as(text):
		return nil
	}
	return text.Put(s.At, s.Value)
}

// as says whether the text has a value that is as good.
func (s Setting) as(text *edit.Text) bool {
	f, err := text.Find(s.At)
	return err == nil && f.Present() && slices.ContainsFunc(s.Or, func(v json.RawMessage) bool { return edit.Same(v, f.Value) })
}

// found is what was found, whole.
func (s Setting) found() *edit.Found {
	if s.Was == nil {
		return nil
	}
	f := *s.Was
	if !s.elements() {
		f.Value = s.Value
	}
	return &f
}

// offset is where the key stood, for those that may have to come back, and comes before these for the others.
func (s Setting) offset() int {
	if s.Was == nil || s.Absent {
		return -1
	}
	return s.Was.Offset
}

func (s Setting) same(now Setting) bool {
	if s.elements() {
		return subset(s.Elements, now.Elements) && subset(s.Without, now.Without)
	}
	if s.Absent || now.Absent {
		return s.Absent == now.Absent
	}
	return slices.ContainsFunc(append([]json.RawMessage{s.Value}, s.Or...), func(v json.RawMessage) bool { return edit.Same(v, now.Value) })
}

// joined adds what a later observation or wish says of other elements.
func (s Setting) joined(later Setting) Setting {
	if !s.elements() {
		return s
	}
	known := slices.Concat(s.Elements, s.Without)
	for _, e := range later.Elements {
		if !subset([]json.RawMessage{e}, known) {
			s.Elements = append(slices.Clone(s.Elements), e)
		}
	}
	for _, e := range later.Without {
		if !subset([]json.RawMessage{e}, known) {
			s.Without = append(slices.Clone(s.Without), e)
		}
	}
	return s
}

func subset(part, all []json.RawMessage) bool {
	for _, p := range part {
		if !slices.ContainsFunc(all, func(a json.RawMessage) bool { return edit.Same(a, p) }) {
			return false
		}
	}
	return true
}

// secretName is what names of keys look like whose values are nobody's business.
var secretName = regexp.MustCompile(`(?i)pass(word|wd|phrase)?$|auth$|secret|token|credential|private.?key`)

// secret says whether a key, or one of the tables it is in, is named like something that must not be told.
func secret(at []string) bool { return slices.ContainsFunc(at, secretName.MatchString) }

// text shows the settings one a line; what is absent shows nothing, so that a difference reads as what is added and taken away.
func (g Merge) text() string {
	if g.Absent {
		return absent
	}
	var out strings.Builder
	out.WriteString("keys:\n") // also where there are none yet
	for _, s := range g.Settings {
		name := edit.Path(s.At)
		show := func(v json.RawMessage) string { return shown(s.At, v) }
		for _, e := range s.Elements {
			fmt.Fprintf(&out, "%s holds %s\n", name, show(e))
		}
		if s.Value != nil {
			fmt.Fprintf(&out, "%s = %s\n", name, show(s.Value))
		}
	}
	return out.String()
}

const hidden = `"(not shown)"`

// shown is a value without what is secret in it.
func shown(at []string, value json.RawMessage) string {
	if secret(at[len(at)-1:]) {
		return hidden
	}
	var v any
	if json.Unmarshal(value, &v) != nil {
		return hidden
	}
	if !hide(&v) {
		return string(value)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return hidden
	}
	return string(out)
}

func hide(v *any) (hid bool) {
	switch v := (*v).(type) {
	case map[string]any:
		for name, sub := range v {
			if secret([]string{name}) {
				v[name], hid = "(not shown)", true
			} else if hide(&sub) {
				v[name], hid = sub, true
			}
		}
	case []any:
		for i := range v {
			hid = hide(&v[i]) || hid
		}
	}
	return hid
}
