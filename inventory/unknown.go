package inventory

import (
	"reflect"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/token"
)

var secretKey = regexp.MustCompile(`(?i)^(.*pass(word|phrase|wd)?|.*token|.*secret|private-?_?key|.*credentials?)$`)

// unknown reports a key that does not exist, with the one that was probably meant.
func (r *reading) unknown(path, key string, at *token.Token, names []string) {
	p := Problem{Code: codeUnknown, Path: field(path, bare(key)), Wrong: "is not a key here"}
	if where, ok := placeOf(at); ok {
		p.Line, p.Column = where.line, where.column
	}
	switch meant, ok := nearest(key, names); {
	case ok:
		p.Remedy = "did you mean " + meant + "?"
		// It was written, only misspelt: do not also call it missing.
		r.failed[field(path, meant)] = true
	case secretKey.MatchString(key):
		p.Code, p.Wrong = codeSecret, "is not a key, and a cluster file holds no secrets"
		p.Remedy = "remove it; use ssh.keyFile or the SSH agent, and sudo without a password"
	case len(homes[key]) > 0:
		p.Remedy = "it belongs under " + list(homes[key], "or")
	default:
		p.Remedy = "the keys here are " + list(names, "and")
	}
	r.add(p)
}

// homes says for every key where it belongs.
var homes = func() map[string][]string {
	m := map[string][]string{}
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		names, index := fields(t)
		for _, n := range names {
			if path != "" {
				m[n] = append(m[n], path)
			}
			switch ft := t.Field(index[n]).Type; {
			case ft == addrType || ft == prefixType:
			case ft.Kind() == reflect.Struct:
				walk(ft, strings.TrimPrefix(path+"."+n, "."))
			case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
				walk(ft.Elem(), strings.TrimPrefix(path+"."+n+"[]", "."))
			}
		}
	}
	walk(reflect.TypeFor[Cluster](), "")
	return m
}()
