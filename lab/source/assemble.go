package source

import (
	"bytes"
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
			if err := a.add(ctx, b.want.Component(c)); err != nil {
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

func (a *assembly) add(ctx context.Context, c bundle.Component) error {
	if c.Kind == bundle.KindFile {
		name, err := a.program(buildOf(c.Name) + "/" + c.Name)
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
		if err := a.image(ctx, c, images[i], f); err != nil {
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

func (a *assembly) image(ctx context.Context, c bundle.Component, m image, f form) error {
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
	t := tree{}
	for _, p := range slices.Sorted(maps.Keys(m.Files)) {
		n, err := a.programNode(m.Files[p])
		if err != nil {
			return err
		}
		t[p] = n
	}
	for p, target := range m.Links {
		t[p] = node{link: target}
	}
	for _, p := range m.Dirs {
		t[p] = node{mode: 0o777, dir: true}
	}
	if m.Certs {
		d, err := a.debian(ctx, "certs", []string{"ca-certificates"})
		if err != nil {
			return err
		}
		pkg, err := addCerts(t, d)
		if err != nil {
			return err
		}
		c.Packages = append(c.Packages, pkg)
	}
	own, err := addLayer(a.w, f, t)
	if err != nil {
		return err
	}
	slices.Sort(c.Packages)
	c.Packages = slices.Compact(c.Packages)
	return a.w.AddImage(c, v1.ConfigFile{Config: m.Config}, append(layers, own)...)
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

// tree chooses a layer's files from the packages.
func (r debianLayer) tree(d debian) (tree, []string, error) {
	c := chosen{from: d, names: map[string]bool{}}
	for _, pattern := range r.Files {
		names, err := d.match(pattern)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range names {
			if err := c.take(n); err != nil {
				return nil, nil, err
			}
		}
	}
	t := tree{
		"etc/passwd":        fileNode([]byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"), 0o644),
		"etc/group":         fileNode([]byte("root:x:0:\nnogroup:x:65534:\n"), 0o644),
		"etc/nsswitch.conf": fileNode([]byte("hosts: files dns\n"), 0o644),
		"root":              {mode: 0o700, dir: true},
		"run":               {mode: 0o755, dir: true},
		"tmp":               {mode: 0o1777, dir: true},
		"var/tmp":           {mode: 0o1777, dir: true},
	}
	for _, top := range []string{"bin", "sbin", "lib", "lib64"} {
		t[top] = node{link: "usr/" + top}
		t["usr/"+top] = node{mode: 0o755, dir: true}
	}
	for name := range c.names {
		f := d.files[name]
		t[name] = node{mode: f.mode, link: f.link}
		if f.link == "" {
			t[name] = fileNode(f.data, f.mode)
		}
	}
	for name, target := range r.Links {
		t[name] = node{link: target}
	}
	packages := c.packages()
	if r.Certs {
		pkg, err := addCerts(t, d)
		if err != nil {
			return nil, nil, err
		}
		packages = append(packages, pkg)
	}
	for _, pkg := range packages {
		name, _, _ := strings.Cut(pkg, "=")
		copyright := "usr/share/doc/" + name + "/copyright"
		if f, ok := d.files[copyright]; ok && f.link == "" {
			t[copyright] = fileNode(f.data, 0o644)
		}
	}
	return t, packages, nil
}

// addCerts adds the public certificate authorities as the one file that programs look for. It returns their package.
func addCerts(t tree, d debian) (string, error) {
	names, err := d.match("usr/share/ca-certificates/mozilla/*.crt")
	if err != nil {
		return "", err
	}
	var all bytes.Buffer
	for _, n := range names {
		all.Write(bytes.TrimSpace(d.files[n].data))
		all.WriteByte('\n')
	}
	t["etc/ssl/certs/ca-certificates.crt"] = fileNode(all.Bytes(), 0o644)
	return d.files[names[0]].pkg, nil
}
