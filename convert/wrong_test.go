package convert

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"
)

// TestWhateverStandsAnywhere puts a value of another type in every place of every specimen. It may be refused; what is converted stays so, and nothing panics.
func TestWhateverStandsAnywhere(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := split(a.Files[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			o, err := d.read()
			if err != nil {
				t.Fatal(err)
			}
			for _, odd := range []any{nil, "x", []any{nil, object{"name": []any{}}}} {
				everywhere(o, func(set func(any), was any) {
					set(odd)
					text, err := yaml.Marshal(o)
					set(was)
					if err != nil {
						t.Fatal(err)
					}
					r, err := Convert(text)
					if err != nil {
						return
					}
					if again, err := Convert(r.Output); err != nil || again.Changed {
						t.Errorf("%s: %s became what is not taken: %v, %+v", file, text, err, again)
					}
				})
			}
		}
	}
}

// everywhere calls for every value below v, with a function that puts another one there.
func everywhere(v any, do func(set func(any), was any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range keys(v) {
			everywhere(v[k], do)
			do(func(x any) { v[k] = x }, v[k])
		}
	case []any:
		for i := range v {
			everywhere(v[i], do)
			do(func(x any) { v[i] = x }, v[i])
		}
	}
}
