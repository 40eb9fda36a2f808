package inventory

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestHostileFiles reads a lot of what YAML readers are slow at: a quarter of what a file may have, for the race detector's
// sake. The bound is generous; without the limits on nesting and keys these take minutes, or the whole stack.
func TestHostileFiles(t *testing.T) {
	const size = maxSize / 4
	full := func(piece string) string { return strings.Repeat(piece, size/len(piece)-1) }
	keys := func(indent string) string {
		var b strings.Builder
		for i := 0; b.Len() < size-100; i++ {
			fmt.Fprintf(&b, "%sk%d: v\n", indent, i)
		}
		return b.String()
	}
	stairs := func() string {
		var b strings.Builder
		for i := 0; b.Len() < size-2000; i++ {
			b.WriteString(strings.Repeat(" ", i) + "a:\n")
		}
		return b.String()
	}
	head := "apiVersion: kubewright.io/v1alpha1\nkind: Cluster\nmetadata: {name: lab}\nspec:\n  hosts:\n"
	for name, text := range map[string]string{
		"brackets":         full("["),
		"braces":           full("{a: "),
		"dashes":           full("- "),
		"question marks":   full("? "),
		"anchors":          full("&a "),
		"tags":             full("!a "),
		"colons":           full(": "),
		"commas":           "[" + full(","),
		"quotes":           full("'' "),
		"open quote":       `a: "` + full("x"),
		"keys":             keys(""),
		"keys of a host":   strings.TrimSuffix(head, "\n") + "\n    - name: a\n" + keys("      ")[:size-400],
		"flow keys":        "{" + strings.ReplaceAll(keys(""), "\n", ",")[:size-200] + "}",
		"stairs":           stairs(),
		"documents":        full("---\n"),
		"directives":       full("%a\n"),
		"comments":         full("# x\n"),
		"tabs":             full("\t"),
		"hosts":            head + strings.Repeat("    - {name: a}\n", size/16-10),
		"same hosts":       head + strings.Repeat("    - {name: a, address: 10.0.0.1, roles: [worker]}\n", size/53-10),
		"roles":            head + "    - {name: a, roles: [" + strings.Repeat("worker,", size/7-40) + "]}\n",
		"null hosts":       head + strings.Repeat("    -\n", size/6-40),
		"long name":        head + "    - name: " + strings.Repeat("a", size-200) + "\n",
		"long unknown key": head + "    - {" + strings.Repeat("a", 1000) + ": x}\n",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse("cluster.yaml", []byte(text))
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %v for %d bytes", took, len(text))
			} else {
				t.Logf("%d bytes in %v", len(text), took)
			}
			if err == nil {
				t.Error("was taken for a cluster file")
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		for _, file := range specimens(f, dir) {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add(Example())
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		c, err := Parse("cluster.yaml", data)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v for %d bytes", took, len(data))
		}
		if err == nil {
			again(t, c)
			return
		}
		ps, ok := err.(Problems)
		if !ok {
			t.Fatalf("the error is a %T", err)
		}
		sound(t, data, ps)
		// typed is a belt: what it finds, the walk should have found first, and with a line.
		for _, p := range ps {
			if strings.HasPrefix(p.Wrong, "the file is re") {
				t.Errorf("the walk missed it: %v", p)
			}
		}
	})
}
