package inventory

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file next to the specimen.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func specimens(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no specimens in testdata/%s: %v", dir, err)
	}
	return files
}

func TestBadFiles(t *testing.T) {
	for _, file := range specimens(t, "bad") {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse("cluster.yaml", data)
			var ps Problems
			if !errors.As(err, &ps) || c != nil {
				t.Fatalf("got %v and the error %v, want Problems", c, err)
			}
			sound(t, data, ps)
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret is shown")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

func TestGoodFiles(t *testing.T) {
	for _, file := range specimens(t, "good") {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse("cluster.yaml", data)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", string(Render(c)))
			again(t, c)
		})
	}
}

// again checks that what Render writes is read back to the same cluster.
func again(t *testing.T, c *Cluster) {
	t.Helper()
	out := Render(c)
	c2, err := Parse("rendered.yaml", out)
	if err != nil {
		t.Fatalf("rendered:\n%s\n%v", out, err)
	}
	if !reflect.DeepEqual(c, c2) {
		t.Errorf("rendered and read back: %+v\nwas: %+v", c2, c)
	}
}

// sound checks what holds for every problem: it is somewhere in the file, says something, and cannot harm a terminal.
func sound(t *testing.T, data []byte, ps Problems) {
	t.Helper()
	lines := strings.Count(string(data), "\n") + 1
	if len(ps) == 0 {
		t.Error("no problems in Problems")
	}
	for i, p := range ps {
		switch {
		case p.Code == "" || p.Found+p.Wrong == "" || p.Remedy == "" && p.Expected == "":
			t.Errorf("says too little: %#v", p)
		case p.Line < 0 || p.Line > lines || p.Line > 0 && p.Column < 1:
			t.Errorf("is outside the file of %d lines: %v", lines, p)
		case escape(p.String()) != p.String():
			t.Errorf("has unprintable characters: %q", p.String())
		case i > 0 && (ps[i-1].Line > p.Line || ps[i-1].Line == p.Line && ps[i-1].Column > p.Column):
			t.Errorf("is out of order: %v", p)
		}
	}
}

// TestCodes: no two problems have the same code, for people search for it.
func TestCodes(t *testing.T) {
	raw, err := os.ReadFile("problem.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, code := range regexp.MustCompile(`= "KW-INV-\d{3}"`).FindAllString(string(raw), -1) {
		if seen[code] {
			t.Errorf("two problems%s", code)
		}
		seen[code] = true
	}
	if len(seen) == 0 {
		t.Error("no codes were found in problem.go")
	}
}
