package inventory

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

var (
	addrType   = reflect.TypeFor[netip.Addr]()
	prefixType = reflect.TypeFor[netip.Prefix]()
	linesType  = reflect.TypeFor[Lines]()
)

// decode fills v with what stands at n, as far as it is right, and reports the rest. A wrong field never keeps the next one
// from being read: that is why this does not leave the work to an Unmarshal.
func (r *reading) decode(n ast.Node, o other, v reflect.Value, path string) {
	n, ok := r.plain(n, path)
	if !ok {
		return
	}
	switch {
	case v.Type() == addrType || v.Type() == prefixType:
		r.address(n, o, v, path)
		return
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		r.decode(n, o, p.Elem(), path)
		if !r.failed[path] {
			v.Set(p)
		}
		return
	case v.Kind() == reflect.Struct, v.Kind() == reflect.Map, v.Kind() == reflect.Slice:
		// A section whose lines are all commented out is a section that was not written.
		if n.Type() == ast.NullType {
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		r.section(n, o, v, path)
	case reflect.Map:
		r.entries(n, o, v, path)
	case reflect.Slice:
		r.items(n, o, v, path)
	default:
		r.scalar(n, o, v, path)
	}
}

// plain looks through anchors and tags, which are reported already, and marks where the value stands.
func (r *reading) plain(n ast.Node, path string) (ast.Node, bool) {
	for range maxDepth {
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
			continue
		case *ast.TagNode:
			n = x.Value
			continue
		case *ast.AliasNode:
			r.mark(path, x.Start)
			r.failed[path] = true
			return nil, false
		case *ast.MappingNode:
			if len(x.Values) > 0 {
				r.mark(path, keyToken(x.Values[0]))
				return n, true
			}
		case *ast.MappingValueNode:
			r.mark(path, keyToken(x))
			return n, true
		case nil:
			r.failed[path] = true
			return nil, false
		}
		r.mark(path, n.GetToken())
		return n, true
	}
	r.failed[path] = true
	return nil, false
}

func keyToken(v *ast.MappingValueNode) *token.Token {
	if v == nil || v.Key == nil {
		return nil
	}
	return v.Key.GetToken()
}

// pairs are a mapping's keys and values; ok is false when the node is no mapping.
func pairs(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch x := n.(type) {
	case *ast.MappingNode:
		return x.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{x}, true
	}
	return nil, false
}

// each calls f for every key of a mapping, once, and reports keys that come again.
func (r *reading) each(n ast.Node, o other, path string, f func(key string, at *token.Token, value ast.Node, again bool)) bool {
	ps, ok := pairs(n)
	if !ok {
		return false
	}
	seen := map[string]place{}
	count := map[string]int{}
	for _, p := range ps {
		if t := keyToken(p); t != nil {
			count[t.Value]++
		}
	}
	for _, p := range ps {
		t := keyToken(p)
		if t == nil || p.Key.Type() == ast.MergeKeyType || p.Key.Type() == ast.MappingKeyType {
			continue
		}
		at, _ := placeOf(t)
		if first, twice := seen[t.Value]; twice {
			r.add(Problem{Code: codeDuplicate, Line: at.line, Column: at.column, Path: field(path, bare(t.Value)),
				Wrong: fmt.Sprintf("is already set on line %d", first.line), Remedy: "keep one of them"})
			continue
		}
		seen[t.Value] = at
		f(t.Value, t, p.Value, count[t.Value] > 1)
	}
	if !o.sameKeys(seen) {
		r.differs(path)
	}
	return true
}

// fields are a struct's keys in the order of its declaration, and where each is.
func fields(t reflect.Type) (names []string, index map[string]int) {
	index = map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
		index[name] = i
	}
	return names, index
}

func (r *reading) section(n ast.Node, o other, v reflect.Value, path string) {
	names, index := fields(v.Type())
	ok := r.each(n, o, path, func(key string, at *token.Token, value ast.Node, again bool) {
		i, known := index[key]
		if !known {
			r.unknown(path, key, at, names)
			return
		}
		next := o.key(key)
		next.known = next.known && !again
		r.decode(value, next, v.Field(i), field(path, key))
	})
	if !ok {
		r.fail(path, Problem{Code: codeType, Found: found(n), Expected: "a section", Remedy: "write keys under it: " + list(names, "or")})
	}
}

// entries decodes a map from text to text. A key whose value could not be read stays: it may be wrong as well.
func (r *reading) entries(n ast.Node, o other, v reflect.Value, path string) {
	m := reflect.MakeMap(v.Type())
	ok := r.each(n, o, path, func(key string, at *token.Token, value ast.Node, again bool) {
		p := entry(path, key)
		next := o.key(key)
		next.known = next.known && !again
		e := reflect.New(v.Type().Elem()).Elem()
		r.decode(value, next, e, p)
		m.SetMapIndex(reflect.ValueOf(key), e)
	})
	if !ok {
		r.fail(path, Problem{Code: codeType, Found: found(n), Expected: "a section", Remedy: "write key: value lines under it"})
		return
	}
	v.Set(m)
}

func (r *reading) items(n ast.Node, o other, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		remedy := "write a list, one - line for each"
		if _, isMap := pairs(n); !isMap && len(found(n)) < maxShown {
			remedy = "write [" + found(n) + "]"
		}
		r.fail(path, Problem{Code: codeType, Found: found(n), Expected: "a list", Remedy: remedy})
		return
	}
	if !o.sameLength(len(s.Values)) {
		r.differs(path)
	}
	out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, x := range s.Values {
		p := item(path, i)
		if x != nil && x.Type() == ast.NullType {
			r.mark(p, x.GetToken())
			if i < len(s.Entries) && s.Entries[i] != nil {
				r.mark(p, s.Entries[i].Start)
			}
			r.fail(p, Problem{Code: codeType, Found: "this item", Wrong: "is empty", Remedy: "fill it in, or leave out the -"})
			continue
		}
		r.decode(x, o.index(i), out.Index(i), p)
	}
	v.Set(out)
}
