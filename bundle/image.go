package bundle

import (
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image shows a component to the registry client. Its manifest and blobs pass through as they are, checked on the way.
func (b *Bundle) image(c Component, count func(delta int64)) (v1.Image, error) {
	raw, err := b.rawManifest(c)
	if err != nil {
		return nil, err
	}
	m, err := b.manifest(c)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&carried{b: b, raw: raw, m: m, count: count})
}

// carried is partial.CompressedImageCore over a bundle.
type carried struct {
	b     *Bundle
	raw   []byte
	m     *v1.Manifest
	count func(delta int64)
}

func (i *carried) MediaType() (types.MediaType, error) { return i.m.MediaType, nil }
func (i *carried) RawManifest() ([]byte, error)        { return i.raw, nil }

func (i *carried) RawConfigFile() ([]byte, error) {
	r, err := i.b.Blob(i.m.Config.Digest.String())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (i *carried) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range append([]v1.Descriptor{i.m.Config}, i.m.Layers...) {
		if d.Digest == h {
			return &carriedLayer{b: i.b, d: d, count: i.count}, nil
		}
	}
	return nil, fmt.Errorf("blob %s is not part of the manifest", h)
}

// carriedLayer is one blob on its way.
type carriedLayer struct {
	b     *Bundle
	d     v1.Descriptor
	count func(delta int64)

	mu   sync.Mutex
	sent int64
}

func (l *carriedLayer) Digest() (v1.Hash, error)             { return l.d.Digest, nil }
func (l *carriedLayer) Size() (int64, error)                 { return l.d.Size, nil }
func (l *carriedLayer) MediaType() (types.MediaType, error)  { return l.d.MediaType, nil }
func (l *carriedLayer) Descriptor() (*v1.Descriptor, error)  { return &l.d, nil }
func (l *carriedLayer) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

// Compressed is called again for every attempt; what an earlier attempt counted is taken back.
func (l *carriedLayer) Compressed() (io.ReadCloser, error) {
	r, err := l.b.Blob(l.d.Digest.String())
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	back := l.sent
	l.sent = 0
	l.mu.Unlock()
	l.count(-back)
	return &counted{ReadCloser: r, l: l}, nil
}

type counted struct {
	io.ReadCloser
	l *carriedLayer
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.l.mu.Lock()
	c.l.sent += int64(n)
	c.l.mu.Unlock()
	c.l.count(int64(n))
	return n, err
}
