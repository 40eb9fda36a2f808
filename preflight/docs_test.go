package preflight

import (
	"os"
	"strings"
	"testing"
)

// Whoever adds a check tells people of it.
func TestTheDocsKnowEveryCheck(t *testing.T) {
	text, err := os.ReadFile("../docs/preflight.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all() {
		found := false
		for line := range strings.Lines(string(text)) {
			cells := strings.Split(line, "|")
			found = found || len(cells) == 6 && strings.Contains(cells[1], "`"+c.name+"`") && strings.Contains(cells[2], string(c.severity))
		}
		if !found {
			t.Errorf("docs/preflight.md has no row for %s, %s", c.name, c.severity)
		}
	}
}
