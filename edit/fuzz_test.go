package edit

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// seeds are texts as users write them; what the fuzzer found joins them in testdata.
var seeds = map[Format][]string{
	JSON: {
		"", "{}", "{\n}\n", "{\"a\":1}", "{ \"a\" : {\"b\" : [ 1, 2 ] } }", "{\r\n\t\"a\": {},\r\n\t\"b\": \"\\u0041\"\r\n}",
		"{\n  \"exec-opts\": [\"native.cgroupdriver=cgroupfs\"],\n  \"log-opts\": {\"max-size\": \"10m\"}\n}\n",
	},
	TOML: {
		"", "# c", "a = 1", "a.b = 1\n[c]\n", "[a]\r\nb = { c = 1 } # d\r\n", "[[a]]\nb = 1\n[a.c]\n", "a = [\n 1, # x\n 2\n]\n",
		"version = 3\n[plugins]\n  [plugins.'x.y']\n    a = \"\"\"z\"\"\"\n", "disabled_plugins = [\"cri\"]\n\n#root = \"/var/lib/containerd\"\n\n#[grpc]\n#  uid = 0\n",
		"a = { b = {}, c.d = [ { e = 1 } ], }\n", "\n\n[x]\n\n\n[y]",
	},
}

func FuzzJSON(f *testing.F) { fuzz(f, JSON) }
func FuzzTOML(f *testing.F) { fuzz(f, TOML) }

// fuzz holds what this package promises against whatever text, key and value: what Put leaves can be read and says what was asked for and, of all
// else, what it said before; and Restore brings every byte back.
func fuzz(f *testing.F, format Format) {
	for _, text := range seeds[format] {
		for _, key := range []string{"a", "b", "a|b", "a|b|c", "a|x.y|z", "plugins|x.y|b", "c|d|e"} {
			f.Add(text, key, "1")
			f.Add(text, key, `{"x": ["y", {"z z": 1.5}]}`)
		}
	}
	f.Fuzz(func(t *testing.T, given, key, value string) {
		text, err := Parse(format, []byte(given))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 {
				t.Fatalf("refused without a place: %v", err)
			}
			return
		}
		wish, err := Canonical(json.RawMessage(value))
		if err != nil || len(key) > 200 {
			return
		}
		at := strings.Split(key, "|")
		found, err := text.Find(at)
		if err != nil {
			return
		}
		want := whole(t, text)
		put := text.Put(at, wish)
		if put != nil {
			if string(text.Bytes()) != given {
				t.Fatalf("refused (%v), and yet changed to\n%q", put, text.Bytes())
			}
		} else {
			insert(want, at, wish)
			if now := whole(t, text); !same(t, now, want) {
				t.Fatalf("of\n%q\nbecame\n%q\nwhich says\n%v\nnot\n%v", given, text.Bytes(), now, want)
			}
			if err := text.Restore(at, found); err != nil || string(text.Bytes()) != given {
				t.Fatalf("restored (%v) it is\n%q\nand was\n%q", err, text.Bytes(), given)
			}
		}
		if found.Present() && text.Take(at) == nil {
			if err := text.Restore(at, found); err != nil || string(text.Bytes()) != given {
				t.Fatalf("taken away and restored (%v) it is\n%q\nand was\n%q", err, text.Bytes(), given)
			}
		}
		list, x := []string{at[0]}, []json.RawMessage{wish}
		found, _ = text.Find(list)
		held, err := text.FindElements(list, x)
		if err != nil || text.PutElements(list, x, nil) != nil {
			return
		}
		if now, err := text.FindElements(list, x); err != nil || !now[0] {
			t.Fatalf("%s is not in %s of\n%q (%v)", wish, at[0], text.Bytes(), err)
		}
		with, without := x, []json.RawMessage(nil)
		if !held[0] {
			with, without = without, with
		}
		if err := text.RestoreElements(list, with, without, found); err != nil || string(text.Bytes()) != given {
			t.Fatalf("with its elements restored (%v) it is\n%q\nand was\n%q", err, text.Bytes(), given)
		}
	})
}

func whole(t *testing.T, text *Text) map[string]any {
	t.Helper()
	again, err := Parse(text.format, text.Bytes())
	if err != nil {
		t.Fatalf("%v in\n%q", err, text.Bytes())
	}
	v, err := again.plain(again.root)
	if err != nil {
		t.Skip(err) // a number that JSON does not have
	}
	return v.(map[string]any)
}

func insert(into map[string]any, at []string, value json.RawMessage) {
	for _, name := range at[:len(at)-1] {
		sub, ok := into[name].(map[string]any)
		if !ok {
			sub = map[string]any{}
			into[name] = sub
		}
		into = sub
	}
	into[at[len(at)-1]] = value
}

func same(t *testing.T, a, b any) bool {
	t.Helper()
	x, errX := encode(a)
	y, errY := encode(b)
	if errX != nil || errY != nil {
		t.Skip(errX, errY)
	}
	return Same(x, y)
}
