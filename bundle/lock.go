package bundle

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The kinds of component.
const (
	// KindImage is a container image.
	KindImage = "image"
	// KindFile is a program that runs on a host. It travels as an OCI artifact: one manifest and one layer, which is the
	// program itself, uncompressed, so that a host can fetch it with a single request and start it as it is.
	KindFile = "file"
	// KindGzip is an image once more, with layers that Docker before version 23 can read. It is in a repository of its own, below gzip/, and
	// goes to registries whose cluster has a host that runs Docker.
	KindGzip = "gzip-image"
)

// Lock says exactly what a bundle holds.
type Lock struct {
	Components []Component `json:"components"`
}

// Component is one image or one host program.
type Component struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`
	Version    string `json:"version"`            // also the tag in the registry
	Repository string `json:"repository"`         // as kubeadm names it behind a private registry; programs are below bin/, images for Docker below gzip/
	Platform   string `json:"platform"`           // linux/amd64
	Digest     string `json:"digest"`             // of an image's manifest; of a program's own bytes
	Manifest   string `json:"manifest,omitempty"` // programs only: the manifest that carries it
	Size       int64  `json:"size"`               // what crosses the network: every blob of an image, the bytes of a program
	Source     string `json:"source"`             // the Go module and version it was built from, npm:PACKAGE@VERSION, or debian:PACKAGE=VERSION
	Sum        string `json:"sum,omitempty"`      // the module's h1 sum, as the checksum database has it; npm's integrity of a package

	// Packages names the Debian packages, with their versions, that parts of it were taken from.
	Packages []string `json:"packages,omitempty"`
}

// Image returns the image of that name.
func (l Lock) Image(name string) (Component, error) { return l.find(KindImage, name) }

// Gzip returns the image of that name in the form that every Docker can read.
func (l Lock) Gzip(name string) (Component, error) { return l.find(KindGzip, name) }

// File returns the host program of that name.
func (l Lock) File(name string) (Component, error) { return l.find(KindFile, name) }

func (l Lock) find(kind, name string) (Component, error) {
	var have []string
	for _, c := range l.Components {
		if c.Kind != kind {
			continue
		}
		if c.Name == name {
			return c, nil
		}
		have = append(have, c.Name)
	}
	slices.Sort(have)
	return Component{}, fmt.Errorf("the bundle has no %s %q (it has %s)", kind, name, strings.Join(have, ", "))
}

// ManifestDigest is the digest that the registry knows the component by.
func (c Component) ManifestDigest() string {
	if c.Kind == KindFile {
		return c.Manifest
	}
	return c.Digest
}

// Reference renders REGISTRY/REPOSITORY:TAG@DIGEST: the tag for people, the digest for machines.
func (c Component) Reference(registry string) string {
	return path.Join(registry, c.Repository) + ":" + c.Version + "@" + c.ManifestDigest()
}

// Pinned renders REGISTRY/REPOSITORY@DIGEST.
func (c Component) Pinned(registry string) string {
	return path.Join(registry, c.Repository) + "@" + c.ManifestDigest()
}

// Tagged renders REGISTRY/REPOSITORY:TAG, the name kubeadm gives an image.
func (c Component) Tagged(registry string) string {
	return path.Join(registry, c.Repository) + ":" + c.Version
}

// short is REPOSITORY:VERSION, as errors name it.
func (c Component) short() string { return c.Repository + ":" + c.Version }

// BlobPath is where a registry serves the bytes of a program, below its address.
func (c Component) BlobPath() string {
	return "/v2/" + c.Repository + "/blobs/" + c.Digest
}

// repository is where the component lives in a registry.
func repository(kind, name string) string {
	switch kind {
	case KindFile:
		return "bin/" + name
	case KindGzip:
		return "gzip/" + name
	}
	return name
}

var (
	digestShape     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	nameShape       = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`)
	tagShape        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	repositoryShape = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$`)
)

// check refuses what could not have been written by a build. A bundle may come from anywhere, and its names end up in
// paths and addresses.
func (c Component) check() error {
	switch {
	case !nameShape.MatchString(c.Name):
		return fmt.Errorf("component %q: the name is not a repository name", c.Name)
	case c.Kind != KindImage && c.Kind != KindFile && c.Kind != KindGzip:
		return fmt.Errorf("component %s: unknown kind %q", c.Name, c.Kind)
	case !tagShape.MatchString(c.Version):
		return fmt.Errorf("component %s: version %q is not a tag", c.Name, c.Version)
	case !repositoryShape.MatchString(c.Repository):
		return fmt.Errorf("component %s: repository %q is not a repository name", c.Name, c.Repository)
	case !digestShape.MatchString(c.Digest):
		return fmt.Errorf("component %s: digest %q is not a sha256 digest", c.Name, c.Digest)
	case c.Kind == KindFile && !digestShape.MatchString(c.Manifest):
		return fmt.Errorf("component %s: manifest %q is not a sha256 digest", c.Name, c.Manifest)
	}
	return nil
}

// check looks at every component, that there are some, and that no two are the same.
func (l Lock) check() error {
	if len(l.Components) == 0 {
		return errors.New("the lock names no components")
	}
	seen := map[string]bool{}
	for _, c := range l.Components {
		if err := c.check(); err != nil {
			return err
		}
		if seen[c.Repository] {
			return fmt.Errorf("component %s: listed twice", c.Repository)
		}
		seen[c.Repository] = true
	}
	return nil
}
