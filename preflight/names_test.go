package preflight

import (
	"regexp"
	"slices"
	"testing"

	"github.com/kubewright/kubewright/inventory"
)

// The inventory comes before this package, and names its checks where they are to be ignored.
func TestTheInventoryKnowsEveryCheck(t *testing.T) {
	if names := Names(); !slices.Equal(names, inventory.PreflightChecks) {
		t.Errorf("inventory.PreflightChecks should be %q", names)
	}
	seen := map[string]bool{}
	for _, c := range all() {
		if seen[c.name] {
			t.Errorf("there are two checks %s", c.name)
		}
		seen[c.name] = true
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(c.name) {
			t.Errorf("%q is not lower case with dashes", c.name)
		}
		if c.severity != Error && c.severity != Warning || c.look == nil {
			t.Errorf("%s is half a check", c.name)
		}
	}
}
