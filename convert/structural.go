package convert

import (
	"slices"
	"strings"
)

// structural makes a schema of before v1 one that v1 takes, in which every field has a type. What cannot be said there is refused.
type structural struct {
	*work
	keeps bool // fields that the schema does not name were kept
}

// words are what a schema may say.
var words = strings.Fields("$schema title description type format nullable default example enum pattern minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf " +
	"minItems maxItems uniqueItems items required properties additionalProperties minProperties maxProperties allOf anyOf oneOf not externalDocs")

const keepAll, either = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"

// node is the schema of one field.
func (s structural) node(o object, in string) {
	for _, k := range keys(o) {
		if !slices.Contains(words, k) && !strings.HasPrefix(k, "x-kubernetes-") {
			s.refuse(in+"."+k, "a schema of v1 cannot say that")
		}
	}
	for _, k := range []string{"anyOf", "oneOf"} {
		if o["type"] == nil && intOrString(list(o, k)) {
			delete(o, k)
			o[either] = true
			s.note(o, Changed, in+"."+k, "-> "+either, "a field has one type, or says that it may be both")
		}
	}
	if o["uniqueItems"] == true {
		s.drop(o, in, "uniqueItems", "v1 does not check it")
	}
	if o["additionalProperties"] == false {
		s.drop(o, in, "additionalProperties", "other fields are pruned, not refused")
	}
	if o["properties"] != nil && o["additionalProperties"] != nil {
		s.refuse(in+".additionalProperties", "a schema of v1 has these or properties, not both")
	}
	s.typed(o, in)
	switch {
	case str(o, "type") == "array" && o["items"] == nil:
		o["items"] = object{keepAll: true}
		s.note(o, Changed, in+".items", short(o["items"]), "a list has to say of what it is; this one takes anything, as before")
	case str(o, "type") == "array" && sub(o, "items") == nil:
		s.refuse(in+".items", "v1 takes one schema for all of them")
	case str(o, "type") == "object" && s.keeps && o["additionalProperties"] == nil:
		o[keepAll] = true
	}
	for _, k := range keys(sub(o, "properties")) {
		if child := sub(o, "properties", k); child != nil {
			s.node(child, in+".properties."+k)
		}
	}
	for _, k := range []string{"items", "additionalProperties"} {
		if child := sub(o, k); child != nil {
			s.node(child, in+"."+k)
		}
	}
	s.logic(o, o, in)
}

func intOrString(l []any) bool {
	var types []string
	each(l, func(_ int, o object) {
		if len(o) == 1 {
			types = append(types, str(o, "type"))
		}
	})
	slices.Sort(types)
	return len(l) == 2 && slices.Equal(types, []string{"integer", "string"})
}

// typed gives a field the type that what else is said of it means.
func (s structural) typed(o object, in string) {
	if o["type"] != nil || o[either] == true || o[keepAll] == true {
		return
	}
	for _, means := range []struct{ kind, words string }{
		{"object", "properties additionalProperties required minProperties maxProperties"}, {"array", "items minItems maxItems"}, {"string", "pattern minLength maxLength"},
	} {
		if slices.ContainsFunc(strings.Fields(means.words), func(word string) bool { return o[word] != nil }) {
			o["type"] = means.kind
			s.note(o, Kept, in+".type", means.kind, "every field has to say its type")
			return
		}
	}
	if slices.ContainsFunc(keys(o), func(k string) bool {
		return !slices.Contains([]string{"description", "title", "nullable", "example"}, k)
	}) {
		s.refuse(in+".type", "every field has to say its type, and what is said of this one fits several; write it into the old file")
		return
	}
	o[keepAll] = true
	s.note(o, Kept, in+"."+keepAll, "true", "without a type it took anything, which has to be said today")
}

// logic checks what is below allOf, anyOf, oneOf and not: it may ask for values, and say nothing of types.
func (s structural) logic(o, outer object, in string) {
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		each(list(o, k), func(i int, v object) { s.asks(v, outer, index(in+"."+k, i)) })
	}
	if v := sub(o, "not"); v != nil {
		s.asks(v, outer, in+".not")
	}
}

// asks checks one such part of what is said of a field; outer is what is said of the same field outside.
func (s structural) asks(v, outer object, in string) {
	for _, k := range []string{"type", "description", "title", "nullable", "default", "additionalProperties"} {
		switch {
		case v[k] == nil:
		case k == "additionalProperties", k == "type" && v[k] != outer["type"]:
			s.refuse(in+"."+k, "v1 takes it outside of allOf, anyOf, oneOf and not only")
		default:
			s.drop(v, in, k, "it is said outside")
		}
	}
	for _, k := range keys(sub(v, "properties")) {
		if around := sub(outer, "properties", k); around != nil {
			s.asks(sub(v, "properties", k), around, in+".properties."+k)
		} else {
			s.refuse(in+".properties."+k, "v1 wants the field among the properties outside as well")
		}
	}
	if items := sub(v, "items"); items != nil {
		s.asks(items, ensure(outer, "items"), in+".items")
	}
	s.logic(v, outer, in)
}
