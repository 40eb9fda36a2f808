package bundle

import (
	_ "embed"
	"errors"
	"fmt"
	"sync"

	"sigs.k8s.io/yaml"
)

// Platform is the only one that bundles are built for.
const Platform = "linux/amd64"

//go:embed lock.yaml
var wantedText []byte

// Wanted is the committed lock: what a bundle of this version of kubewright is to be built from. Digests are not part of
// it, they are what a build finds out; Lock has them.
type Wanted struct {
	Sources    map[string]Source `json:"sources"`
	Components []WantedComponent `json:"components"`
}

// Source is what something is built from: a Go module, an npm package, or a Debian package. Debian packages are not pinned; the machine's own apt checks their
// signatures, and the bundle's lock says which version it had on the day of the build.
type Source struct {
	Module  string `json:"module"` // npm:NAME for an npm package
	Version string `json:"version"`
	Sum     string `json:"sum"` // the h1 sum of the module's zip; npm's integrity of a package
	Debian  string `json:"debian,omitempty"`
}

// String is MODULE@VERSION, or debian:PACKAGE.
func (s Source) String() string {
	if s.Debian != "" {
		return "debian:" + s.Debian
	}
	return s.Module + "@" + s.Version
}

func (s Source) check() error {
	switch {
	case s.Debian != "" && (s.Module != "" || s.Version != "" || s.Sum != ""):
		return errors.New("a Debian package has no module, version or sum here: which version it is, apt says when the bundle is built")
	case s.Debian == "" && (s.Module == "" || s.Version == "" || s.Sum == ""):
		return errors.New("module, version and sum are all needed")
	}
	return nil
}

// WantedComponent is a component before it is built.
type WantedComponent struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Source  string `json:"source"`            // a key of Sources
	Version string `json:"version,omitempty"` // the source's, unless given; empty for a Debian package's
}

// Want returns the committed lock.
var Want = sync.OnceValue(func() Wanted {
	w, err := parseWanted(wantedText)
	if err != nil {
		panic("bundle: lock.yaml: " + err.Error()) // a test reads it
	}
	return w
})

// WantText is the committed lock as it is written: whoever keeps what was built from it needs to know when it changes.
func WantText() []byte { return wantedText }

func parseWanted(text []byte) (Wanted, error) {
	var w Wanted
	if err := yaml.UnmarshalStrict(text, &w); err != nil {
		return Wanted{}, err
	}
	for name, s := range w.Sources {
		if err := s.check(); err != nil {
			return Wanted{}, fmt.Errorf("source %s: %w", name, err)
		}
	}
	seen := map[string]bool{}
	for i, c := range w.Components {
		s, ok := w.Sources[c.Source]
		if !ok {
			return Wanted{}, fmt.Errorf("component %s: there is no source %q", c.Name, c.Source)
		}
		if c.Kind != KindFile && c.Kind != KindImage {
			return Wanted{}, fmt.Errorf("component %s: unknown kind %q", c.Name, c.Kind)
		}
		if s.Debian != "" && (c.Kind != KindImage || c.Version != "") {
			return Wanted{}, fmt.Errorf("component %s: of a Debian package there is only an image, and its version is the package's", c.Name)
		}
		if c.Version == "" {
			w.Components[i].Version = s.Version
		}
		repo := repository(c.Kind, c.Name)
		if seen[repo] {
			return Wanted{}, fmt.Errorf("component %s: listed twice", repo)
		}
		seen[repo] = true
	}
	return w, nil
}

// Component starts the bundle's component: everything that is known before it is built. The version of a Debian package is not.
func (w Wanted) Component(c WantedComponent) Component {
	s := w.Sources[c.Source]
	return Component{
		Name:       c.Name,
		Kind:       c.Kind,
		Version:    c.Version,
		Repository: repository(c.Kind, c.Name),
		Platform:   Platform,
		Source:     s.String(),
		Sum:        s.Sum,
	}
}

// Version returns the version of a component, as its tag in the registry has it.
func (w Wanted) Version(kind, name string) (string, error) {
	for _, c := range w.Components {
		if c.Kind == kind && c.Name == name && c.Version != "" {
			return c.Version, nil
		}
	}
	return "", fmt.Errorf("no %s %q of a known version is wanted", kind, name)
}
