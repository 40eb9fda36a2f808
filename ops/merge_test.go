package ops

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func raw(text string) json.RawMessage { return json.RawMessage(text) }

var (
	containerdKeys = []Setting{
		{At: []string{"version"}, Value: raw("3"), Or: []json.RawMessage{raw("4")}},
		{At: []string{"disabled_plugins"}, Elements: []json.RawMessage{raw(`"opt"`)}, Without: []json.RawMessage{raw(`"cri"`)}},
		{At: []string{"plugins", "a.b", "c", "d"}, Value: raw(`["x", {"y": 1.5}]`)},
		{At: []string{"plugins", "a.b", "runtimes", "runc", "options", "SystemdCgroup"}, Value: raw("true")},
	}
	dockerKeys = []Setting{
		{At: []string{"exec-opts"}, Elements: []json.RawMessage{raw(`"native.cgroupdriver=systemd"`)}, Without: []json.RawMessage{raw(`"native.cgroupdriver=cgroupfs"`)}},
		{At: []string{"log-driver"}, Value: raw(`"json-file"`)},
		{At: []string{"log-opts", "max-size"}, Value: raw(`"10m"`)},
	}
)

const (
	containerdPath = "/etc/containerd/config.toml"
	dockerPath     = "/etc/docker/daemon.json"
)

func mergeSpecimens() []specimen {
	return []specimen{
		{name: "keys in no file", wish: Merge{Path: containerdPath, Mode: 0o600, Settings: containerdKeys}},
		{name: "keys in a file of JSON", wish: Merge{Path: dockerPath, Settings: dockerKeys},
			with: file(dockerPath, "{\r\n\t\"debug\": true,\r\n\t\"exec-opts\": [ \"native.cgroupdriver=cgroupfs\", \"x\" ],\r\n\t\"log-driver\" :\"local\"\r\n}", 0o640)},
		{name: "keys in an empty file of JSON", wish: Merge{Path: dockerPath, Settings: dockerKeys}, with: file(dockerPath, "\n", 0o644)},
		{name: "keys in a file of TOML", wish: Merge{Path: containerdPath, Settings: containerdKeys},
			with: file(containerdPath, "# mine\nversion = 0x2\n\n[debug]\n  level = 'debug' # loud\n[plugins.\"a.b\".c]\n  d = [ 1, # one\n  ]", 0o600)},
		{name: "keys of which some shall go", wish: Merge{Path: "/etc/x.toml", Settings: []Setting{
			{At: []string{"a", "b"}, Absent: true}, {At: []string{"a", "x"}, Absent: true}, {At: []string{"c"}, Value: raw("2")}}},
			with: file("/etc/x.toml", "[a]\n# about b\nb = 1 # one\nx = 2\ny = 3", 0o600)},
		{name: "elements that shall go", wish: Merge{Path: "/etc/x.toml", Settings: []Setting{{At: []string{"a"}, Without: []json.RawMessage{raw("1"), raw("3")}}}},
			with: file("/etc/x.toml", "a = [ 3,1 , 2 ]\n", 0o600)},
	}
}

// TestWhatOthersChangeIsNoDifference, and stays when our keys go.
func TestWhatOthersChangeIsNoDifference(t *testing.T) {
	for _, row := range []struct{ name, path, before, from, to, after string }{
		{"a key beside ours", containerdPath, "[debug]\nlevel = 'info'\n", "'info'", "'debug' # louder", "[debug]\nlevel = 'debug' # louder\n"},
		{"a key in a table of ours", containerdPath, "", "SystemdCgroup", "Root = '/x'\nSystemdCgroup",
			"\n[plugins.'a.b'.runtimes.runc.options]\nRoot = '/x'\n"},
		{"an element of our list", containerdPath, "", "\"opt\"", "\"zfs\", \"opt\"", "disabled_plugins = [\"zfs\"]\n"},
		{"a comment in a file of ours", containerdPath, "", "version", "# mine\nversion", "# mine\n"},
		{"another object of JSON", dockerPath, "{}", "{", "{\n  \"mine\": {},", "{\n  \"mine\": {}\n}"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			if row.before != "" {
				w.write(t, row.path, row.before, 0o644)
			}
			wish := Merge{Path: row.path, Settings: containerdKeys}
			if row.path == dockerPath {
				wish.Settings = dockerKeys
			}
			first := observe(t, w, wish)
			if err := set(t, w, wish); err != nil {
				t.Fatal(err)
			}
			now, _ := os.ReadFile(w.Path(row.path))
			later := strings.Replace(string(now), row.from, row.to, 1)
			if later == string(now) {
				t.Fatalf("there is no %q in\n%s", row.from, now)
			}
			w.write(t, row.path, later, 0o644)
			if seen := observe(t, w, wish); !Equal(wish, seen) {
				t.Errorf("it is a difference: %s", wish.Differs(seen))
			}
			if err := undo(t, w, first, wish); err != nil {
				t.Fatal(err)
			}
			if !Equal(first, observe(t, w, wish)) {
				t.Error("undone, it is not as it was first")
			}
			if now, _ := os.ReadFile(w.Path(row.path)); string(now) != row.after {
				t.Errorf("undone, it is\n%q\nwant\n%q", now, row.after)
			}
		})
	}
}

// TestOurKeysChangedByHand are a difference, and are put back; undone, they are as they were first.
func TestOurKeysChangedByHand(t *testing.T) {
	w := newWorld(t)
	before := "{\n  \"log-driver\": \"local\"\n}\n"
	w.write(t, dockerPath, before, 0o644)
	wish := Merge{Path: dockerPath, Settings: dockerKeys}
	first := observe(t, w, wish)
	if err := set(t, w, wish); err != nil {
		t.Fatal(err)
	}
	now, _ := os.ReadFile(w.Path(dockerPath))
	w.write(t, dockerPath, strings.NewReplacer("10m", "1g", "json-file", "none").Replace(string(now)), 0o644)
	seen := observe(t, w, wish)
	if Equal(wish, seen) || wish.Differs(seen) != "log-driver, log-opts.max-size" {
		t.Errorf("different is %q", wish.Differs(seen))
	}
	if err := set(t, w, wish); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(w.Path(dockerPath)); string(again) != string(now) {
		t.Errorf("it is\n%s\nand was\n%s", again, now)
	}
	if err := undo(t, w, first, wish); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(w.Path(dockerPath)); string(after) != before {
		t.Errorf("undone, it is\n%s", after)
	}
}

// TestALaterWishMaySpeakOfMoreKeys: what was before each of them is remembered, whenever it came.
func TestALaterWishMaySpeakOfMoreKeys(t *testing.T) {
	w := newWorld(t)
	before := "version = 2 # mine\nlist = [ 'b' ]\n[x]\ny = 0x1\n"
	w.write(t, containerdPath, before, 0o644)
	early := Merge{Path: containerdPath, Settings: []Setting{{At: []string{"version"}, Value: raw("3")}, {At: []string{"list"}, Elements: []json.RawMessage{raw(`"a"`)}}}}
	late := Merge{Path: containerdPath, Settings: []Setting{
		{At: []string{"list"}, Elements: []json.RawMessage{raw(`"a"`), raw(`"c"`)}, Without: []json.RawMessage{raw(`"b"`)}},
		{At: []string{"x", "y"}, Value: raw("2")}, {At: []string{"z"}, Value: raw("3")}}}
	first := observe(t, w, early)
	if err := set(t, w, early); err != nil {
		t.Fatal(err)
	}
	first = Joined(first, observe(t, w, late))
	wish := Joined(early, late)
	if err := set(t, w, late); err != nil {
		t.Fatal(err)
	}
	first = Joined(first, observe(t, w, late))
	if err := undo(t, w, again(t, first), again(t, wish)); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(w.Path(containerdPath)); string(after) != before {
		t.Errorf("undone, it is\n%s", after)
	}
	if !Equal(first, observe(t, w, wish)) {
		t.Error("undone, it is not as it was first")
	}
}

func TestMergeRefuses(t *testing.T) {
	clash := []Clash{
		{At: []string{"version"}, Except: []json.RawMessage{raw("3"), raw("4")}, Why: "is written in an older layout"},
		{At: []string{"plugins"}, Unless: []string{"version"}, Why: "is written in the oldest layout"},
		{At: []string{"plugins", "a.b", "mirrors"}, Why: "cannot stand beside config_path"},
	}
	for _, row := range []struct{ name, path, text, says string }{
		{"what is no TOML", containerdPath, "version = 3\n[plugins\n", containerdPath + " line 2, column 9: "},
		{"what is no JSON", dockerPath, "{\n  'a': 1\n}", dockerPath + " line 2, column 3: invalid character '\\'' looking for beginning of object key string"},
		{"a list that is none", dockerPath, "{\"log-opts\": {}, \"exec-opts\": {}}", dockerPath + " line 1, column 18: exec-opts is a table, expected a list"},
		{"a table that is none", dockerPath, "{\"log-opts\": 5}", dockerPath + " line 1, column 2: log-opts is a value, expected a table"},
		{"a file of another kind", "/etc/x.yaml", "a: 1", "there is no format \"yaml\""},
		{"a value that cannot stand", containerdPath, "root = '/x'\nversion = 2\n", containerdPath + " line 2, column 1: is written in an older layout"},
		{"a key that cannot stand alone", containerdPath, "[plugins.cri]\n", containerdPath + " line 1, column 1: is written in the oldest layout"},
		{"a table that cannot stand", containerdPath, "version = 3\n[plugins.'a.b'.mirrors.x]\ny = 1\n", containerdPath + " line 2, column 1: cannot stand beside config_path"},
		{"nothing that clashes", containerdPath, "version = 4\n[plugins.'a.b']\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.write(t, row.path, row.text, 0o644)
			wish := Merge{Path: row.path, Settings: containerdKeys, Clashes: clash}
			if row.path == dockerPath {
				wish.Settings = dockerKeys
			}
			_, err := wish.Observe(t.Context(), w)
			if row.says == "" && err == nil {
				return
			}
			if err == nil || row.says == "" || !strings.HasPrefix(err.Error(), row.says) {
				t.Errorf("got  %v\nwant %s", err, row.says)
			}
		})
	}
}

func TestMergeText(t *testing.T) {
	wish := Merge{Path: dockerPath, Settings: append(dockerKeys[:2:2],
		Setting{At: []string{"auths", "registry", "password"}, Value: raw(`"hush"`)},
		Setting{At: []string{"proxies"}, Value: raw(`{"x": {"auth": "hush"}}`)},
		Setting{At: []string{"author"}, Value: raw(`"me"`)})}
	want := "keys:\nexec-opts holds \"native.cgroupdriver=systemd\"\nlog-driver = \"json-file\"\n" +
		"auths.registry.password = \"(not shown)\"\nproxies = {\"x\":{\"auth\":\"(not shown)\"}}\nauthor = \"me\"\n"
	if got := Text(wish); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	w := newWorld(t)
	if got := Text(observe(t, w, wish)); got != absent {
		t.Errorf("of no file it is %q", got)
	}
	w.write(t, dockerPath, "{\"log-driver\": \"local\"}", 0o644)
	if got := Text(observe(t, w, wish)); got != "keys:\nlog-driver = \"local\"\n" {
		t.Errorf("of a file it is %q", got)
	}
}
