package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/bundle"
)

func TestAStreamIsEveryFileInOrder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.yaml": "---\nkind: B\n", "a.yaml": "kind: A", "c.yaml": "\n---\nkind: C\n---\nkind: D\n\n", "notes.md": "# no",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := joinYAML(filepath.Join(dir, "*.yaml"))
	if want := "---\nkind: A\n---\nkind: B\n---\nkind: C\n---\nkind: D\n"; err != nil || string(got) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	if _, err := joinYAML(filepath.Join(dir, "*.yml")); err == nil || !strings.Contains(err.Error(), "there is no file") {
		t.Errorf("got %v", err)
	}
}

func TestAStreamFollowsItsSource(t *testing.T) {
	b := newTestBuilder(t)
	for _, s := range streams {
		if _, ok := b.want.Sources[s.Source]; !ok {
			t.Errorf("%s: the lock has no source %s", s.Name, s.Source)
		}
		if v, err := b.want.Version(bundle.KindFile, s.Name); err != nil || v != b.want.Sources[s.Source].Version {
			t.Errorf("%s: version %s, %v", s.Name, v, err)
		}
		before := b.streamDir(s)
		b.want.Sources = map[string]bundle.Source{s.Source: {Module: "example.com/a", Version: "v9.9.9"}}
		if b.streamDir(s) == before {
			t.Errorf("%s: another version, and it is not made again", s.Name)
		}
	}
}
