package source

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/bundle"
)

// Each row is what upstream's go.mod says (as `go mod edit -json` prints it) and the go.mod we build in.
func TestGoModRepeatsWhatDoesNotCarryOver(t *testing.T) {
	for _, row := range []struct {
		name, upstream string
		recipe         goBuild
		want           string
	}{
		{
			name:     "kubernetes: staging modules at their published versions, and its godebug line",
			upstream: `{"Go": "1.26.0", "Godebug": [{"Key": "default", "Value": "go1.26"}], "Replace": [{"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}}]}`,
			recipe:   goBuild{Name: "kubernetes", Sources: []string{"a"}},
			want: `module kubewright.internal/kubernetes

go 1.26.0

godebug default=go1.26

require example.com/a v1.36.4

replace k8s.io/api => k8s.io/api v0.36.4
`,
		},
		{
			name:     "etcd: siblings in the same repository are taken as published",
			upstream: `{"Go": "1.24.0", "Replace": [{"Old": {"Path": "go.etcd.io/etcd/api/v3"}, "New": {"Path": "../api"}}, {"Old": {"Path": "go.etcd.io/etcd"}, "New": {"Path": "./FORBIDDEN_DEPENDENCY"}}]}`,
			recipe:   goBuild{Name: "etcd", Sources: []string{"a", "b"}},
			want: `module kubewright.internal/etcd

go 1.24.0

require example.com/a v1.36.4

require example.com/b v0.5.0
`,
		},
		{
			name: "forks are followed, with and without a version, and what is excluded stays out",
			upstream: `{"Go": "1.25.0", "Replace": [{"Old": {"Path": "x"}, "New": {"Path": "y", "Version": "v1.0.0"}}, {"Old": {"Path": "z", "Version": "v2.0.0"}, "New": {"Path": "z", "Version": "v2.0.1"}}],
				"Exclude": [{"Path": "w", "Version": "v3.0.83+incompatible"}]}`,
			recipe: goBuild{Name: "forked", Sources: []string{"b"}},
			want: `module kubewright.internal/forked

go 1.25.0

require example.com/b v0.5.0

replace x => y v1.0.0

replace z v2.0.0 => z v2.0.1

exclude w v3.0.83+incompatible
`,
		},
		{
			name:     "stand-ins, and a go line from before the promise",
			upstream: `{"Go": "1.14"}`,
			recipe:   goBuild{Name: "stubbed", Sources: []string{"b"}, Stubs: []stub{{"example.com/sdk", "_sdk"}}},
			want: `module kubewright.internal/stubbed

go 1.21

require example.com/b v0.5.0

replace example.com/sdk => ./_sdk
`,
		},
		{
			name:     "a program of ours requires nothing",
			upstream: `{}`,
			recipe:   goBuild{Name: "own", Own: "iptables"},
			want:     "module kubewright.internal/own\n\ngo " + ownGo + "\n",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newTestBuilder(t)
			b.want.Sources = map[string]bundle.Source{
				"a": {Module: "example.com/a", Version: "v1.36.4"},
				"b": {Module: "example.com/b", Version: "v0.5.0"},
			}
			var upstream goModule
			if err := json.Unmarshal([]byte(row.upstream), &upstream); err != nil {
				t.Fatal(err)
			}
			if got := string(b.renderGoMod(row.recipe, upstream)); got != row.want {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

// TestOurProgramsAreBuiltAsTheyAreTested: an older go line gives them an older library, whose mux, for one, takes a method for part of a path.
func TestOurProgramsAreBuiltAsTheyAreTested(t *testing.T) {
	raw, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), "\ngo "+ownGo+"\n") {
		t.Errorf("go.mod has another go line than %s", ownGo)
	}
}
