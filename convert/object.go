package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	strictjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

// object is a manifest as it was read.
type object = map[string]any

// strict checks that an object is one that 1.36 knows, down to each field.
func (w *work) strict(o object) {
	if !known(str(o, "apiVersion"), str(o, "kind")) {
		return
	}
	raw, err := json.Marshal(o)
	if err != nil {
		w.refuse("", err.Error())
		return
	}
	s := strictjson.NewSerializerWithOptions(strictjson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, strictjson.SerializerOptions{Strict: true})
	_, _, err = s.Decode(raw, nil, nil)
	if err == nil {
		return
	}
	if many, ok := runtime.AsStrictDecodingError(err); ok {
		for _, e := range many.Errors() {
			field, reason := "", e.Error()
			if name, ok := strings.CutPrefix(reason, "unknown field "); ok {
				field, reason = strings.Trim(name, `"`), "1.36 has no such field"
			}
			w.refuse(field, reason)
		}
		return
	}
	if m := wrongType.FindStringSubmatch(err.Error()); m != nil {
		reason := "it is a " + strings.Replace(m[1], "array", "list", 1) + ", where 1.36 wants a " + m[3]
		if m[3] == "string" && (m[1] == "bool" || m[1] == "number") {
			reason += "; write it in quotes"
		}
		w.refuse(m[2], reason)
		return
	}
	w.refuse("", err.Error())
}

var wrongType = regexp.MustCompile(`^json: cannot unmarshal (\w+) into Go struct field [^.]+\.(\S+) of type (?:\*?v\d\w*\.)?(.+)$`)

func group(version string) string {
	g, _, ok := strings.Cut(version, "/")
	if !ok {
		return ""
	}
	return g
}

// at is what is below a path; nil where there is nothing.
func at(o object, path ...string) any {
	var v any = o
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

func str(o object, path ...string) string { s, _ := at(o, path...).(string); return s }

func sub(o object, path ...string) object { m, _ := at(o, path...).(map[string]any); return m }

func list(o object, path ...string) []any { l, _ := at(o, path...).([]any); return l }

// ensure returns the object below a path, which is made if it is not there. Where something else is, it stays, to be refused in the end as what it is.
func ensure(o object, path ...string) object {
	for _, p := range path {
		next, ok := o[p].(map[string]any)
		if !ok {
			if next = (object{}); o[p] == nil {
				o[p] = next
			}
		}
		o = next
	}
	return o
}

// rename gives a field another name, if it is there.
func (w *work) rename(o object, in, from, to, why string) {
	v, ok := o[from]
	if !ok {
		return
	}
	delete(o, from)
	o[to] = v
	w.note(o, Changed, join(in, from), from+" -> "+to, why)
}

func (w *work) drop(o object, in, field, why string) {
	if _, ok := o[field]; ok {
		delete(o, field)
		w.note(o, Dropped, join(in, field), "left out", why)
	}
}

// keep writes down an old default that is another one today.
func (w *work) keep(o object, in, field string, value any, why string) {
	if _, ok := o[field]; !ok {
		o[field] = value
		w.note(o, Kept, join(in, field), short(value), why)
	}
}

func short(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

func join(in, field string) string {
	if in == "" {
		return field
	}
	return in + "." + field
}

// each calls for every object of a list.
func each(l []any, do func(i int, o object)) {
	for i, v := range l {
		if o, ok := v.(map[string]any); ok {
			do(i, o)
		}
	}
}

func keys(o object) []string { return slices.Sorted(maps.Keys(o)) }

// takeAnnotation removes an annotation and returns it. A map of annotations that becomes empty goes too.
func takeAnnotation(meta object, name string) (string, bool) {
	all := sub(meta, "annotations")
	v, ok := all[name]
	if !ok {
		return "", false
	}
	delete(all, name)
	if len(all) == 0 {
		delete(meta, "annotations")
	}
	if s, ok := v.(string); ok || v == nil {
		return s, true
	}
	return short(v), true // true and 5 are written without quotes, though it takes them
}

// copied is an object that shares nothing with another one.
func copied(o object) object {
	raw, err := json.Marshal(o)
	if err != nil {
		return o
	}
	out := object{}
	if decode(string(raw), &out) != nil {
		return o
	}
	return out
}
