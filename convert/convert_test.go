package convert

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what comes out into the specimens")

// TestSpecimens converts testdata/*.txtar: old.yaml (or old.json) becomes new.yaml and notes, or is refused with the lines of refused. What came out converts to
// itself.
func TestSpecimens(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := &txtar.Archive{Comment: a.Comment, Files: slices.Clone(a.Files[:1])} // a clone, or what is added writes over what is wanted
			add := func(name, text string) {
				got.Files = append(got.Files, txtar.File{Name: name, Data: []byte(text)})
			}
			r, err := Convert(a.Files[0].Data)
			if err != nil {
				add("refused", err.Error()+"\n")
			} else {
				var notes strings.Builder
				for _, n := range r.Notes {
					notes.WriteString(n.String() + "\n")
				}
				add("new.yaml", string(r.Output))
				add("notes", notes.String())
				again, err := Convert(r.Output)
				if err != nil || again.Changed || !bytes.Equal(again.Output, r.Output) {
					t.Errorf("what came out is not what 1.36 takes: %v\n%+v", err, again)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want, have := string(txtar.Format(a)), string(txtar.Format(got)); want != have {
				t.Errorf("it says\n%s\nnot\n%s", have, want)
			}
		})
	}
}

func TestWhatIsCurrentStaysAsItIsWritten(t *testing.T) {
	const text = `# a comment
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {x: "1"}} # flow style and all
data:
  b: |
    --- not a document
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: ours}
spec: {anything: [1, 2.50, 1e3]}
`
	r, err := Convert([]byte(text))
	if err != nil || r.Changed || string(r.Output) != text {
		t.Errorf("%v, changed %v:\n%s", err, r.Changed, r.Output)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0].What, "example.com/v1 Thing is left as it is") {
		t.Errorf("notes: %v", r.Notes)
	}
}

// TestOnlyWhatChangesIsWrittenAnew: a neighbour in the same file keeps its comments.
func TestOnlyWhatChangesIsWrittenAnew(t *testing.T) {
	const keep = "apiVersion: v1 # mine\nkind: ConfigMap\nmetadata: {name: a}\n"
	r, err := Convert([]byte(keep + "---\napiVersion: storage.k8s.io/v1beta1\nkind: StorageClass\nmetadata: {name: b}\nprovisioner: example.com/nfs\n"))
	if err != nil || !r.Changed || !strings.HasPrefix(string(r.Output), keep+"---\n") {
		t.Errorf("%v:\n%s", err, r.Output)
	}
}

// Each row is a text that is no manifest, and what is said of it.
func TestWhatCannotBeRead(t *testing.T) {
	for _, row := range []struct{ text, words string }{
		{"a: 1\na: 2\n", `document 1, line 2: key "a" already set in map`},
		{"- a\n- b\n", "it is no object"},
		{"kind: Pod\n", "it is no Kubernetes object: it has no kind or no apiVersion"},
		{"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\na: [\n", "document 2, line 5: "},
		{"# one\n---\n---\n\na: 1\n--- # three\nb: 1\nb: 2\n", "document 3, line 8: "},
		{`{"apiVersion":"v1","kind":"Pod"} {`, "of JSON"},
		{"{\"a\": 1,\n\"b\": [{\"c\": 1, \"c\": 2}]}", `document 1, line 1: key "c" already set in map`},
		{"a:\n\tb: 1\n", "line 2 begins with a tab"},
		{"a: {{ .Values.a }}:\n", "line 1 has {{: it is a template"},
		{"kind\uff1aPod\na: b\n", "line 1 has full-width or curved punctuation"},
		{"a:\n b: 1\n\u00a0c: 2\nd\n", "line 3 has a space that is none to YAML"},
		{"a: b\nc: \xd6\xd0\n", "line 2: it is not UTF-8"},
		{"\xff\xfea\x00", "it is UTF-16"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, imagee: b}]}\n", "Pod/a: spec.containers[0].imagee: 1.36 has no such field"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: 5}\n", "Pod/a: "},
	} {
		_, err := Convert([]byte(row.text))
		if err == nil || !strings.Contains(err.Error(), row.words) {
			t.Errorf("%q: got %v, not %s", row.text, err, row.words)
		}
	}
	if r, err := Convert(nil); err != nil || len(r.Output) != 0 {
		t.Errorf("nothing became %v, %v", r, err)
	}
}

// TestHowFilesAreWritten: a mark of the byte order, directives, comments and objects beside the mark of a document, its end, and JSON that is no YAML.
func TestHowFilesAreWritten(t *testing.T) {
	const a, b = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "{apiVersion: storage.k8s.io/v1beta1, kind: StorageClass, metadata: {name: b}, provisioner: example.com/nfs}\n"
	for _, text := range []string{
		"\ufeff" + a + "---\n" + b, a + "--- # the second\n" + b, a + "--- " + b, "%YAML 1.1\n---\n" + a + "...\n---\n" + b, strings.ReplaceAll("---\n"+a+"---\n"+b+"---\n", "\n", "\r\n"),
		"{\n\t\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"a\", \"labels\": {\"x\": \"\\ud83d\\ude00\\/\"}}}\n---\n" +
			`{"apiVersion": "storage.k8s.io/v1beta1", "kind": "StorageClass", "metadata": {"name": "b"}, "provisioner": "example.com/nfs"}`,
	} {
		r, err := Convert([]byte(text))
		if err != nil || !strings.Contains(string(r.Output), "kind: ConfigMap") || !strings.Contains(string(r.Output), "apiVersion: storage.k8s.io/v1\n") {
			t.Errorf("%q became %v, %v", text, err, r)
		}
	}
}

// TestEveryProblemIsNamed, not only the first.
func TestEveryProblemIsNamed(t *testing.T) {
	_, err := Convert([]byte("apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: a}\n---\napiVersion: extensions/v1beta1\nkind: ThirdPartyResource\nmetadata: {name: b}\n"))
	var all Problems
	if !errors.As(err, &all) || len(all) != 2 || all[1].Object != "ThirdPartyResource/b" {
		t.Errorf("got %v", err)
	}
}

// TestEveryRuleLeadsToWhatIsServed: a rule whose target 1.36 does not have would convert into nothing.
func TestEveryRuleLeadsToWhatIsServed(t *testing.T) {
	for from, m := range moves() {
		_, kind, _ := strings.Cut(from, " ")
		to, other, _ := strings.Cut(m.to, " ")
		if other != "" {
			kind = other
		}
		if !named(to, kind) {
			t.Errorf("%s becomes %s %s, which is not known", from, to, kind)
		}
	}
}
