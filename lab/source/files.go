package source

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/kubewright/kubewright/bundle"
)

// yamlOf is a stream of the YAML files that a module carries, in the order of their names. The workstation reads it from the bundle.
type yamlOf struct {
	Name   string
	Source string // a key of the lock's sources
	Files  string // a filepath.Match pattern, in the module
}

// streams lists them.
var streams = []yamlOf{
	{Name: "prometheus-operator-crds", Source: "prometheus-operator", Files: "example/prometheus-operator-crd/*.yaml"},
}

func streamOf(name string) (yamlOf, bool) {
	i := slices.IndexFunc(streams, func(s yamlOf) bool { return s.Name == name })
	if i < 0 {
		return yamlOf{}, false
	}
	return streams[i], true
}

// streamDir is where a stream is kept.
func (b *builder) streamDir(s yamlOf) string {
	return "files-" + s.Name + "-" + b.key(s, b.want.Sources[s.Source])
}

// stream returns the file with a stream, made the first time it is asked for.
func (b *builder) stream(ctx context.Context, s yamlOf) (string, error) {
	dir, err := b.cached(b.streamDir(s), func(dir string) error {
		m, err := b.download(ctx, b.want.Sources[s.Source])
		if err != nil {
			return err
		}
		all, err := joinYAML(filepath.Join(m.Dir, s.Files))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, s.Name), all, 0o644)
	})
	return filepath.Join(dir, s.Name), err
}

// joinYAML puts the files that a pattern names into one stream.
func joinYAML(pattern string) ([]byte, error) {
	names, err := filepath.Glob(pattern) // sorted
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no file %s", pattern)
	}
	var all bytes.Buffer
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		text = bytes.TrimPrefix(bytes.TrimSpace(text), []byte("---\n"))
		fmt.Fprintf(&all, "---\n%s\n", text)
	}
	return all.Bytes(), nil
}

// file is where what a component of the kind file holds is kept.
func (a *assembly) file(ctx context.Context, c bundle.Component) (string, error) {
	if s, ok := streamOf(c.Name); ok {
		return a.stream(ctx, s)
	}
	return a.program(buildOf(c.Name) + "/" + c.Name)
}
