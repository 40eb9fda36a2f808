package edit

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const options = "plugins|io.containerd.cri.v1.runtime|containerd|runtimes|runc|options|SystemdCgroup"

func path(text string) []string { return strings.Split(text, "|") }

// change is a key and the value it gets.
type change struct{ at, value string }

func TestKeysAreChangedAndNothingElse(t *testing.T) {
	for _, row := range []struct {
		name, format, text string
		changes            []change
		want               string
	}{
		{"a key at the end", "json", "{\n  \"a\": 1\n}\n", []change{{"b", `["x"]`}}, "{\n  \"a\": 1,\n  \"b\": [\"x\"]\n}\n"},
		{"another value", "json", `{"a": 1, "b" : [ 1 , 2 ]}`, []change{{"a", "2"}}, `{"a": 2, "b" : [ 1 , 2 ]}`},
		{"the value it has, written otherwise", "json", `{"a": [1,2 ]}`, []change{{"a", "[1, 2]"}}, `{"a": [1,2 ]}`},
		{"indented by tabs, without a last end", "json", "{\n\t\"a\": {\n\t\t\"x\": 1\n\t}\n}", []change{{"a|y", "true"}, {"b|c|d", `"e"`}},
			"{\n\t\"a\": {\n\t\t\"x\": 1,\n\t\t\"y\": true\n\t},\n\t\"b\": {\n\t\t\"c\": {\n\t\t\t\"d\": \"e\"\n\t\t}\n\t}\n}"},
		{"from Windows", "json", "{\r\n    \"a\": 1\r\n}\r\n", []change{{"b", "2"}}, "{\r\n    \"a\": 1,\r\n    \"b\": 2\r\n}\r\n"},
		{"on one line", "json", `{"a": 1}`, []change{{"b|c", "2"}}, `{"a": 1, "b": {"c": 2}}`},
		{"on one line without spaces", "json", `{"a":1}`, []change{{"b", "2"}}, `{"a":1,"b":2}`},
		{"nothing yet", "json", "{}\n", []change{{"a", "1"}, {"b", "2"}}, "{\n  \"a\": 1,\n  \"b\": 2\n}\n"},
		{"nothing yet, over two lines", "json", "{\n}\n", []change{{"a", "1"}}, "{\n  \"a\": 1\n}\n"},
		{"an empty file", "json", "", []change{{"a", "1"}}, "{\n  \"a\": 1\n}\n"},
		{"a file of blanks", "json", " \n\n", []change{{"a", "1"}}, "{\n  \"a\": 1\n}\n"},
		{"a key with a dot and a quote", "json", `{"a.\"b": {}}`, []change{{"a.\"b|x", "1"}}, `{"a.\"b": {"x": 1}}`},
		{"a table that is empty", "json", "{\n  \"a\": { }\n}", []change{{"a|b", "1"}}, "{\n  \"a\": {\n    \"b\": 1\n  }\n}"},

		{"an empty file", "toml", "", []change{{"version", "3"}, {options, "true"}},
			"version = 3\n\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = true\n"},
		{"a comment alone, without an end", "toml", "# mine", []change{{"version", "3"}}, "# mine\nversion = 3"},
		{"keys above the first header", "toml", "# license\n\n# about it\n[debug]\nlevel = \"debug\"\n", []change{{"version", "3"}},
			"# license\n\nversion = 3\n# about it\n[debug]\nlevel = \"debug\"\n"},
		{"a table whose header is there", "toml", "[debug]\n  level = 'info' # mine\n\n[grpc]\n", []change{{"debug|format", `"json"`}, {"grpc|uid", "0"}},
			"[debug]\n  level = 'info' # mine\n  format = \"json\"\n\n[grpc]\n  uid = 0\n"},
		{"a value with a comment behind it", "toml", "a = [ # one\n 1, # two\n] # three\nb = 0x10\n", []change{{"a", "2"}, {"b", "16"}}, "a = 2 # three\nb = 0x10\n"},
		{"indented as containerd does", "toml", "version = 3\n\n[plugins]\n  [plugins.\"io.containerd.cri.v1.runtime\"]\n    enable_cdi = true\n", []change{{options, "true"}},
			"version = 3\n\n[plugins]\n  [plugins.\"io.containerd.cri.v1.runtime\"]\n    enable_cdi = true\n\n" +
				"          [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n            SystemdCgroup = true\n"},
		{"from Windows, without a last end", "toml", "a = 1\r\n[b]\r\nc = 2", []change{{"d", "3"}, {"b|e", "4"}, {"f|g", "5"}},
			"a = 1\r\nd = 3\r\n[b]\r\nc = 2\r\ne = 4\r\n\r\n[f]\r\ng = 5"},
		{"an inline table", "toml", "a = { b = 1 }\nc = {}\n", []change{{"a|d", "2"}, {"a|e|f", "3"}, {"c|x", "4"}}, "a = { b = 1, d = 2, e.f = 3 }\nc = { x = 4 }\n"},
		{"dotted keys", "toml", "[x]\na.b.c = 1\nz = 0\n", []change{{"x|a|b|d", "2"}, {"x|a|e|f", "3"}}, "[x]\na.b.c = 1\nz = 0\na.b.d = 2\na.e.f = 3\n"},
		{"a table of which only one below it is written", "toml", "[a.b]\nc = 1\n", []change{{"a|d", "2"}}, "[a.b]\nc = 1\n\n[a]\nd = 2\n"},
		{"keys in quotes", "toml", "['a.b'.\"c\\\"d\"]\nx = 1\n", []change{{"a.b|c\"d|y", "2"}, {"a.b|it's", "3"}},
			"['a.b'.\"c\\\"d\"]\nx = 1\ny = 2\n\n['a.b']\n\"it's\" = 3\n"},
		{"strings of all kinds", "toml", "a = '''x\n]#'''''\nb = \"\"\"\\\"\"\"\" # c\nc = 'it\\'\nd = 1979-05-27 07:32:00 # e\n", []change{{"c", "1"}, {"b", "2"}},
			"a = '''x\n]#'''''\nb = 2 # c\nc = 1\nd = 1979-05-27 07:32:00 # e\n"},
		{"a list of tables beside", "toml", "[[a]]\nx = 1\n[[a]]\nx = 2\n[a.b]\ny = 1\n", []change{{"c", "1"}}, "c = 1\n[[a]]\nx = 1\n[[a]]\nx = 2\n[a.b]\ny = 1\n"},
		{"values of all kinds", "toml", "x = 0", []change{{"x", `{"b": [1, 2.5, "\"\n"], "a b": {}, "c": false}`}}, `x = { 'a b' = {}, b = [1, 2.5, "\"\u000A"], c = false }`},
	} {
		t.Run(row.format+": "+row.name, func(t *testing.T) {
			text, found := parse(t, row.format, row.text), []Found{}
			for _, c := range row.changes {
				f, err := parse(t, row.format, row.text).Find(path(c.at))
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, f)
				if err := text.Put(path(c.at), json.RawMessage(c.value)); err != nil {
					t.Fatal(err)
				}
			}
			if got := string(text.Bytes()); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
			for _, c := range row.changes {
				if now, err := text.Find(path(c.at)); err != nil || !Same(now.Value, json.RawMessage(c.value)) {
					t.Errorf("%s is %s, %v", c.at, now.Value, err)
				}
			}
			for i := len(row.changes) - 1; i >= 0; i-- {
				if err := text.Restore(path(row.changes[i].at), found[i]); err != nil {
					t.Fatal(err)
				}
			}
			if got := string(text.Bytes()); got != row.text {
				t.Errorf("taken away, it is\n%q\nand was\n%q", got, row.text)
			}
		})
	}
}

func parse(t *testing.T, format, text string) *Text {
	t.Helper()
	out, err := Parse(Format(format), []byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return out
}

// TestKeysTakenAwayComeBack: a key that shall not be there, and then shall be as it was.
func TestKeysTakenAwayComeBack(t *testing.T) {
	for _, row := range []struct{ name, format, text, at, without string }{
		{"in the middle", "json", "{\n  \"a\": 1,\n  \"b\": [ 2 ],\n  \"c\": 3\n}", "b", "{\n  \"a\": 1,\n  \"c\": 3\n}"},
		{"the first", "json", "{ \"a\" :1,  \"b\": 2}", "a", "{ \"b\": 2}"},
		{"the only one", "json", "{\n  \"a\": {\n    \"b\" : 1\n  }\n}", "a|b", "{\n  \"a\": {}\n}"},
		{"with a comment behind it", "toml", "a = 1\n\n# about b\n  b = 0x2 # two\nc = 3\n", "b", "a = 1\n\n# about b\n  # two\nc = 3\n"},
		{"the last line, without an end", "toml", "[x]\na = 1\nb = 2", "x|b", "[x]\na = 1"},
		{"of an inline table", "toml", "x = { a = 1, b = 2 }", "x|a", "x = { b = 2 }"},
		{"of an inline table with comments", "toml", "x = { # one\n a = 1, # two\n b = 2, # three\n}", "x|b", "x = { # one\n a = 1, # two\n  # three\n}"},
		{"a dotted one", "toml", "[x]\na.b = 1\nc = 2\n", "x|a|b", "[x]\nc = 2\n"},
	} {
		t.Run(row.format+": "+row.name, func(t *testing.T) {
			text := parse(t, row.format, row.text)
			f, err := text.Find(path(row.at))
			if err != nil || !f.Present() {
				t.Fatal(f, err)
			}
			if err := text.Take(path(row.at)); err != nil {
				t.Fatal(err)
			}
			if got := string(text.Bytes()); got != row.without {
				t.Errorf("without it\n%q\nwant\n%q", got, row.without)
			}
			if err := text.Restore(path(row.at), f); err != nil {
				t.Fatal(err)
			}
			if got := string(text.Bytes()); got != row.text {
				t.Errorf("with it again\n%q\nwant\n%q", got, row.text)
			}
		})
	}
}

func TestElements(t *testing.T) {
	for _, row := range []struct{ name, format, text, with, without, want string }{
		{"no list", "json", `{"a":1}`, `"x"`, ``, `{"a":1,"l":["x"]}`},
		{"no list, and nothing for it", "json", `{"a":1}`, ``, `"x"`, `{"a":1}`},
		{"one more", "json", `{"l":["a","b"]}`, `"b","c"`, ``, `{"l":["a","b","c"]}`},
		{"to one", "json", "{\n \"l\": [\n  \"a\"\n ]\n}", `"c"`, ``, "{\n \"l\": [\n  \"a\",\n  \"c\"\n ]\n}"},
		{"to none", "json", `{"l": [ ]}`, `"c"`, ``, `{"l": ["c" ]}`},
		{"in the place of another", "json", `{"l": ["native.cgroupdriver=cgroupfs", "x"]}`, `"native.cgroupdriver=systemd"`, `"native.cgroupdriver=cgroupfs"`,
			`{"l": ["x", "native.cgroupdriver=systemd"]}`},
		{"in the place of the only one", "json", `{"l": ["cri"]}`, `"opt"`, `"cri"`, `{"l": ["opt"]}`},
		{"with comments", "toml", "l = [\n  'a', # first\n  'b', # second\n]\n", `"c"`, `"b"`, "l = [\n  'a', # first\n  \"c\",\n   # second\n]\n"},
		{"with a comma after the last", "toml", "l = [\n  'a',\n]", `"c"`, ``, "l = [\n  'a',\n  \"c\",\n]"},
		{"the only one, with a comma", "toml", "l = [ 'a', ]", ``, `"a"`, "l = []"},
	} {
		t.Run(row.format+": "+row.name, func(t *testing.T) {
			text := parse(t, row.format, row.text)
			with, without := elements(t, row.with), elements(t, row.without)
			all := append(append([]json.RawMessage{}, with...), without...)
			held, err := text.FindElements(path("l"), all)
			if err != nil {
				t.Fatal(err)
			}
			first, err := text.Find(path("l"))
			if err != nil {
				t.Fatal(err)
			}
			if err := text.PutElements(path("l"), with, without); err != nil {
				t.Fatal(err)
			}
			if got := string(text.Bytes()); got != row.want {
				t.Errorf("got\n%q\nwant\n%q", got, row.want)
			}
			now, err := text.FindElements(path("l"), all)
			for i := range all {
				if err != nil || now[i] != (i < len(with)) {
					t.Errorf("%s is in it: %t, %v", all[i], now[i], err)
				}
			}
			var were, not []json.RawMessage
			for i := range all {
				if held[i] {
					were = append(were, all[i])
				} else {
					not = append(not, all[i])
				}
			}
			if err := text.RestoreElements(path("l"), were, not, first); err != nil {
				t.Fatal(err)
			}
			if got := string(text.Bytes()); got != row.text {
				t.Errorf("restored, it is\n%q\nand was\n%q", got, row.text)
			}
		})
	}
}

func elements(t *testing.T, text string) (out []json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal([]byte("["+text+"]"), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWhatOthersWroteLaterStays: between setting and taking away somebody has worked on the file.
func TestWhatOthersWroteLaterStays(t *testing.T) {
	for _, row := range []struct{ name, format, text, at, value, from, to, want string }{
		{"a key in a table of ours", "toml", "", "a|b", "1", "b = 1\n", "b = 1\nmine = 2\n", "[a]\nmine = 2\n"},
		{"a comment in a table of ours", "toml", "", "a|b", "1", "b = 1\n", "# mine\nb = 1\n", "[a]\n# mine\n"},
		{"a comment behind our key", "toml", "x = 0\n", "b", "1", "b = 1\n", "b = 1 # mine\n", "x = 0\n# mine\n"},
		{"a table below ours", "toml", "x = 0\n", "a|b", "1", "b = 1\n", "b = 1\n\n[c]\nd = 1\n", "x = 0\n\n[c]\nd = 1\n"},
		{"a key after ours", "json", "{\n}", "a|b", "1", "\"b\": 1", "\"b\": 1, \"mine\": 2", "{\n  \"a\": {\n    \"mine\": 2\n  }\n}"},
		{"our key gone", "json", "{ }", "a", "1", "\n  \"a\": 1\n", "", "{ }"},
		{"an element in a list of ours", "json", "{ }", "a", "1", "1", "1, \"mine\": 2", "{\n  \"mine\": 2\n}"},
	} {
		t.Run(row.format+": "+row.name, func(t *testing.T) {
			text := parse(t, row.format, row.text)
			first, err := text.Find(path(row.at))
			if err != nil {
				t.Fatal(err)
			}
			if err := text.Put(path(row.at), json.RawMessage(row.value)); err != nil {
				t.Fatal(err)
			}
			later := strings.Replace(string(text.Bytes()), row.from, row.to, 1)
			if later == string(text.Bytes()) {
				t.Fatalf("there is no %q in\n%s", row.from, later)
			}
			text = parse(t, row.format, later)
			if err := text.Restore(path(row.at), first); err != nil {
				t.Fatal(err)
			}
			if got := string(text.Bytes()); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, row := range []struct{ name, format, text, says string }{
		{"no JSON", "json", "{\n  \"a\": nope\n}", "line 2, column 9: invalid character 'o' in literal null (expecting 'u')"},
		{"a comma too many", "json", "{\n  \"a\": 1,\n}", "line 3, column 1: invalid character '}' looking for beginning of object key string"},
		{"a comma missing", "json", "{\"a\": 1 \"b\": 2}", "line 1, column 9: invalid character '\"' after object key:value pair"},
		{"cut off", "json", "{\n  \"a\": 1", "line 2, column 9: unexpected end of JSON input"},
		{"more after it", "json", "{}\n{}", "line 2, column 1: invalid character '{' after top-level value"},
		{"a list", "json", "\n[1]", "line 2, column 1: the file holds a list, expected an object"},
		{"a key twice", "json", "{\"x\": {\"a\": 1,\n\"a\": 2}}", "line 2, column 1: the key \"a\" is there twice, expected it once"},
		{"a byte order mark", "json", "\xef\xbb\xbf{}", "line 1, column 1: a byte order mark, expected json"},
		{"a parent that is no table", "json", "{\n  \"p\": 5\n}", "line 2, column 3: p is a value, expected a table"},
		{"a parent that is a list", "json", "{\"p\": []}", "line 1, column 2: p is a list, expected a table"},

		{"no value", "toml", "a = 1\nb =\n", "line 2, column 4: unexpected character U+000A at start of value"},
		{"no key", "toml", "a = 1\n= 2\n", "line 2, column 1:"},
		{"a header that does not end", "toml", "[a\nb = 1\n", "line 1, column 3:"},
		{"a string that does not end", "toml", "a = \"x\nb = 1\n", "line 1, column"},
		{"a key twice", "toml", "a = 1\n\na = 2\n", "line 3, column 1: key a is already defined"},
		{"a table twice", "toml", "[a]\nx = 1\n[b]\n[a]\n", "line 4, column 2:"},
		{"a key that is a table, too", "toml", "a = 1\n[a.b]\n", "line 2, column 2:"},
		{"a byte order mark", "toml", "\xef\xbb\xbfa = 1", "line 1, column 1: a byte order mark, expected toml"},
		{"a parent that is no table", "toml", "x = 1\n  p = 5\n", "line 2, column 3: p is a value, expected a table"},
		{"a parent that is a list of tables", "toml", "[[p]]\nq = 1\n", "line 1, column 1: p is a list of tables, expected a table"},
		{"a table in the place of a value", "toml", "[p.q]\nx = 1\n", "line 1, column 1: p.q is a table, expected a value"},
	} {
		t.Run(row.format+": "+row.name, func(t *testing.T) {
			text, err := Parse(Format(row.format), []byte(row.text))
			if err == nil {
				err = text.Put(path("p|q"), json.RawMessage("1"))
				if string(text.Bytes()) != row.text {
					t.Errorf("refused, and yet it is\n%s", text.Bytes())
				}
			}
			var e *Error
			if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), row.says) {
				t.Errorf("got  %v\nwant %s", err, row.says)
			}
		})
	}
}

func TestPath(t *testing.T) {
	if got := Path(path(options)); got != "plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options.SystemdCgroup" {
		t.Error(got)
	}
}
