package source

import (
	"context"
	"encoding/json"
	"fmt"
	"go/version"
	"strings"
)

// oldestGo is the least go line we write: from 1.21 on, it is a promise that the go command keeps.
const oldestGo = "1.21"

// ownGo is the go line of our own programs: the one that they are tested with here, for it decides how the library behaves.
const ownGo = "1.26.0"

// moduleName is the module that a build happens in.
func moduleName(r goBuild) string { return "kubewright.internal/" + r.Name }

// goModule is what `go mod edit -json` says.
type goModule struct {
	Go      string
	Godebug []struct{ Key, Value string }
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
	Exclude []struct{ Path, Version string }
}

// goMod renders the go.mod of a build. What does not carry over from the first source's own go.mod by itself is repeated:
// the go line and godebug settings (they decide how its programs behave), the replacements and the exclusions.
func (b *builder) goMod(ctx context.Context, r goBuild) ([]byte, error) {
	var upstream goModule
	for i, s := range b.sources(r) {
		m, err := b.download(ctx, s)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			continue
		}
		out, err := run(ctx, b.cache, b.goEnv(false), "go", "mod", "edit", "-json", m.GoMod)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(out, &upstream); err != nil {
			return nil, err
		}
	}
	return b.renderGoMod(r, upstream), nil
}

func (b *builder) renderGoMod(r goBuild, upstream goModule) []byte {
	var w strings.Builder
	goLine := upstream.Go
	if r.Own != "" {
		goLine = ownGo
	}
	if version.Compare("go"+goLine, "go"+oldestGo) < 0 {
		goLine = oldestGo
	}
	fmt.Fprintf(&w, "module %s\n\ngo %s\n", moduleName(r), goLine)
	for _, g := range upstream.Godebug {
		fmt.Fprintf(&w, "\ngodebug %s=%s\n", g.Key, g.Value)
	}
	sources := b.sources(r)
	for _, s := range sources {
		fmt.Fprintf(&w, "\nrequire %s %s\n", s.Module, s.Version)
	}
	for _, p := range upstream.Replace {
		switch {
		case strings.HasPrefix(p.New.Path, "./staging/"):
			// Kubernetes develops these modules in its own tree and publishes each v1.X.Y of itself as v0.X.Y of them.
			fmt.Fprintf(&w, "\nreplace %s => %s v0.%s\n", p.Old.Path, p.Old.Path, strings.TrimPrefix(sources[0].Version, "v1."))
		case strings.HasPrefix(p.New.Path, "."):
			// A sibling in the same repository: its published version is what the requirement names.
		default:
			fmt.Fprintf(&w, "\nreplace %s => %s %s\n", strings.TrimSpace(p.Old.Path+" "+p.Old.Version), p.New.Path, p.New.Version)
		}
	}
	for _, e := range upstream.Exclude {
		fmt.Fprintf(&w, "\nexclude %s %s\n", e.Path, e.Version)
	}
	for _, s := range r.Stubs {
		fmt.Fprintf(&w, "\nreplace %s => ./%s\n", s.Module, s.Dir)
	}
	return []byte(w.String())
}
