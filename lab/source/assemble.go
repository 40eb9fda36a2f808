package source

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewright/kubewright/bundle"
)

// assemble puts the programs into a bundle at out.
func (b *builder) assemble(ctx context.Context, out string) error {
	b.log("assembling " + out)
	return intoPlace(out, func(dir string) error {
		w, err := bundle.Create(dir)
		if err != nil {
			return err
		}
		a := &assembly{builder: b, w: w, shared: map[string]sharedLayer{}}
		for _, c := range b.want.Components {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := a.add(ctx, c); err != nil {
				return fmt.Errorf("%s %s: %w", c.Kind, c.Name, err)
			}
		}
		return w.Close()
	})
}

// assembly is a bundle in the making.
type assembly struct {
	*builder
	w      *bundle.Writer
	shared map[string]sharedLayer // by form and name
}

// sharedLayer is a layer that several images have, and the packages it came from.
type sharedLayer struct {
	layer    bundle.Layer
	packages []string
}

func (a *assembly) add(ctx context.Context, wanted bundle.WantedComponent) error {
	c := a.want.Component(wanted)
	if c.Kind == bundle.KindFile {
		name, err := a.file(ctx, c)
		if err != nil {
			return err
		}
		return a.w.AddFile(c, name)
	}
	i := slices.IndexFunc(images, func(m image) bool { return m.Name == c.Name })
	if i < 0 {
		return fmt.Errorf("there is no recipe for it")
	}
	for _, f := range forms {
		if err := a.image(ctx, c, a.want.Sources[wanted.Source].Debian, images[i], f); err != nil {
			return err
		}
	}
	return nil
}

// program finds a built program by BUILD/PROGRAM.
func (b *builder) program(name string) (string, error) {
	build, program, _ := strings.Cut(name, "/")
	if build == pause.Name {
		return filepath.Join(b.cache, b.pauseDir(), program), nil
	}
	i := slices.IndexFunc(goBuilds, func(r goBuild) bool { return r.Name == build })
	if i < 0 {
		return "", fmt.Errorf("no recipe builds %s", name)
	}
	return filepath.Join(b.cache, b.programs(goBuilds[i]), program), nil
}

// image adds an image in one form. If it is from a Debian package, that is named.
func (a *assembly) image(ctx context.Context, c bundle.Component, debian string, m image, f form) error {
	c.Kind = f.kind
	var layers []bundle.Layer
	for _, name := range m.Shared {
		s, err := a.sharedLayer(ctx, name, f)
		if err != nil {
			return fmt.Errorf("layer %s: %w", name, err)
		}
		layers = append(layers, s.layer)
		c.Packages = append(c.Packages, s.packages...)
	}
	t, packages, err := a.ownLayer(ctx, m)
	if err != nil {
		return err
	}
	if len(t) > 0 {
		own, err := addLayer(a.w, f, t)
		if err != nil {
			return err
		}
		layers = append(layers, own)
	}
	c.Packages = append(c.Packages, packages...)
	slices.Sort(c.Packages)
	c.Packages = slices.Compact(c.Packages)
	if debian != "" {
		if err := fromPackage(&c, debian); err != nil {
			return err
		}
	}
	return a.w.AddImage(c, v1.ConfigFile{Config: m.Config}, layers...)
}

// ownLayer is what an image has beside its shared layers, and the packages that it is from.
func (a *assembly) ownLayer(ctx context.Context, m image) (tree, []string, error) {
	t := tree{}
	for _, p := range slices.Sorted(maps.Keys(m.Files)) {
		n, err := a.programNode(m.Files[p])
		if err != nil {
			return nil, nil, err
		}
		t[p] = n
	}
	for p, target := range m.Links {
		t[p] = node{link: target}
	}
	for p, text := range m.Texts {
		t[p] = fileNode([]byte(text), 0o644)
	}
	for _, p := range m.Dirs {
		t[p] = node{mode: 0o777, dir: true}
	}
	if m.Page != "" {
		if err := a.addPage(t, m.Page); err != nil {
			return nil, nil, err
		}
	}
	if !m.Certs {
		return t, nil, nil
	}
	d, err := a.debian(ctx, "certs", []string{"ca-certificates"})
	if err != nil {
		return nil, nil, err
	}
	pkg, err := addCerts(t, d)
	return t, []string{pkg}, err
}

// fromPackage gives an image the version that its Debian package has, which only a build finds out.
func fromPackage(c *bundle.Component, pkg string) error {
	for _, p := range c.Packages {
		if name, version, _ := strings.Cut(p, "="); name == pkg {
			c.Version, c.Source = tagOf(version), "debian:"+p
			return nil
		}
	}
	return fmt.Errorf("nothing in it is from the package %s", pkg)
}

// tagOf writes the version of a Debian package as a tag, which can have neither its epoch nor all of its signs.
func tagOf(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	return strings.NewReplacer("+", "-", "~", "-").Replace(version)
}

func (b *builder) programNode(name string) (node, error) {
	file, err := b.program(name)
	if err != nil {
		return node{}, err
	}
	fi, err := os.Stat(file)
	if err != nil {
		return node{}, err
	}
	return node{mode: 0o755, size: fi.Size(), open: func() (io.ReadCloser, error) { return os.Open(file) }}, nil
}

func (b *builder) debian(ctx context.Context, name string, packages []string) (debian, error) {
	dir, err := b.fetchDebian(ctx, name, packages)
	if err != nil {
		return debian{}, err
	}
	return unpackDebian(ctx, dir)
}

// sharedLayer makes a shared layer the first time it is asked for.
func (a *assembly) sharedLayer(ctx context.Context, name string, f form) (sharedLayer, error) {
	if s, ok := a.shared[f.kind+" "+name]; ok {
		return s, nil
	}
	r, ok := sharedLayers[name]
	if !ok {
		return sharedLayer{}, fmt.Errorf("there is no recipe for it")
	}
	d, err := a.debian(ctx, name, r.Packages)
	if err != nil {
		return sharedLayer{}, err
	}
	t, packages, err := r.tree(d)
	if err != nil {
		return sharedLayer{}, err
	}
	for _, p := range slices.Sorted(maps.Keys(r.Programs)) {
		if t[p], err = a.programNode(r.Programs[p]); err != nil {
			return sharedLayer{}, err
		}
	}
	l, err := addLayer(a.w, f, t)
	if err != nil {
		return sharedLayer{}, err
	}
	s := sharedLayer{layer: l, packages: packages}
	a.shared[f.kind+" "+name] = s
	return s, nil
}
