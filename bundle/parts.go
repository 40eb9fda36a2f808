package bundle

import (
	"bytes"
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// source is where a component is read from: a bundle or a registry. What it hands out has been checked by its digest.
type source interface {
	rawManifest(ctx context.Context, c Component, digest string) ([]byte, error)
	blob(ctx context.Context, c Component, d v1.Descriptor) (io.ReadCloser, error)
}

// parts are what a component is made of. For several platforms it has an index and a manifest for each.
type parts struct {
	manifests []manifest      // the one that the component is known by comes last
	blobs     []v1.Descriptor // configs and layers, each once
}

// manifest is a manifest or an index, as it is.
type manifest struct {
	v1.Descriptor
	raw []byte
}

// MediaType, RawManifest make it something that the registry client can put.
func (m manifest) MediaType() (types.MediaType, error) { return m.Descriptor.MediaType, nil }
func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) isIndex() bool                       { return m.Descriptor.MediaType.IsIndex() }
func (p parts) root() manifest                         { return p.manifests[len(p.manifests)-1] }
func (p parts) bytes() (n int64) {
	for _, m := range p.manifests {
		n += int64(len(m.raw))
	}
	for _, d := range p.blobs {
		n += d.Size
	}
	return n
}

// partsOf reads a component's manifests.
func partsOf(ctx context.Context, from source, c Component) (parts, error) {
	var p parts
	err := p.add(ctx, from, c, c.ManifestDigest(), 0)
	if root := p.manifests; err == nil && c.Kind == KindFile && (len(root) != 1 || len(p.blobs) != 2 || p.blobs[1].Digest.String() != c.Digest) {
		return parts{}, fmt.Errorf("manifest %s does not carry the program %s", c.Manifest, c.Digest)
	}
	return p, err
}

func (p *parts) add(ctx context.Context, from source, c Component, digest string, depth int) error {
	raw, err := from.rawManifest(ctx, c, digest)
	if err != nil {
		return err
	}
	m, err := parseManifest(raw, digest)
	if err != nil {
		return err
	}
	if m.isIndex() {
		if depth > 0 {
			return fmt.Errorf("manifest %s is an index within an index", digest)
		}
		children, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return fmt.Errorf("manifest %s: %w", digest, err)
		}
		for _, d := range children.Manifests {
			if err := shaped(digest, d); err != nil {
				return err
			}
			if err := p.add(ctx, from, c, d.Digest.String(), depth+1); err != nil {
				return err
			}
		}
		p.manifests = append(p.manifests, m)
		return nil
	}
	image, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("manifest %s: %w", digest, err)
	}
	for _, d := range append([]v1.Descriptor{image.Config}, image.Layers...) {
		if err := shaped(digest, d); err != nil {
			return err
		}
		if !p.has(d.Digest) {
			p.blobs = append(p.blobs, d)
		}
	}
	p.manifests = append(p.manifests, m)
	return nil
}

func (p *parts) has(h v1.Hash) bool {
	for _, d := range p.blobs {
		if d.Digest == h {
			return true
		}
	}
	return false
}

// parseManifest tells a manifest from an index.
func parseManifest(raw []byte, digest string) (manifest, error) {
	head, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return manifest{}, fmt.Errorf("manifest %s: %w", digest, err)
	}
	h, err := v1.NewHash(digest)
	if err != nil {
		return manifest{}, err
	}
	kind := head.MediaType
	if kind == "" {
		kind = types.OCIManifestSchema1
		if index, err := v1.ParseIndexManifest(bytes.NewReader(raw)); err == nil && len(index.Manifests) > 0 {
			kind = types.OCIImageIndex
		}
	}
	return manifest{Descriptor: v1.Descriptor{MediaType: kind, Size: int64(len(raw)), Digest: h}, raw: raw}, nil
}

func shaped(manifest string, d v1.Descriptor) error {
	if !digestShape.MatchString(d.Digest.String()) {
		return fmt.Errorf("manifest %s: %q is not a sha256 digest", manifest, d.Digest)
	}
	return nil
}
