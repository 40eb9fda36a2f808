package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The media types of a host program's artifact.
const (
	fileArtifactType = "application/vnd.kubewright.program.v1"
	fileLayerType    = types.MediaType("application/octet-stream")
	emptyConfigType  = types.MediaType("application/vnd.oci.empty.v1+json")
)

// Writer makes a new bundle. The same components make the same bytes: nothing in it depends on the clock.
type Writer struct {
	dir   string
	lock  Lock
	index v1.IndexManifest
}

// Create starts a bundle in a directory, which is made if it is not there. It is not a bundle before Close.
func Create(dir string) (*Writer, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, err
	}
	return &Writer{dir: dir, index: emptyIndex()}, nil
}

func emptyIndex() v1.IndexManifest {
	return v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
}

// Layer is one blob of an image.
type Layer struct {
	Descriptor v1.Descriptor
	DiffID     v1.Hash // the digest of the layer before compression
}

// AddBlob writes a blob and returns its descriptor. A blob that is there already is not written twice.
func (w *Writer) AddBlob(r io.Reader, mediaType types.MediaType) (v1.Descriptor, error) {
	blobs := filepath.Join(w.dir, "blobs", "sha256")
	f, err := os.CreateTemp(blobs, ".new-*")
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), r)
	if err != nil {
		return v1.Descriptor{}, err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if err := f.Chmod(0o644); err != nil {
		return v1.Descriptor{}, err
	}
	if err := f.Close(); err != nil {
		return v1.Descriptor{}, err
	}
	if err := os.Rename(f.Name(), filepath.Join(blobs, sum)); err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: mediaType, Size: n, Digest: v1.Hash{Algorithm: "sha256", Hex: sum}}, nil
}

// AddFile adds a host program. It fills in the component's repository, digest, manifest and size.
func (w *Writer) AddFile(c Component, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	program, err := w.AddBlob(f, fileLayerType)
	if err != nil {
		return err
	}
	program.Annotations = map[string]string{"org.opencontainers.image.title": c.Name}
	config, err := w.AddBlob(bytes.NewReader([]byte("{}")), emptyConfigType)
	if err != nil {
		return err
	}
	c.Kind = KindFile
	c.Digest, c.Size = program.Digest.String(), program.Size
	manifest, err := w.addManifest(&c, v1.Manifest{
		ArtifactType: fileArtifactType,
		Config:       config,
		Layers:       []v1.Descriptor{program},
	})
	if err != nil {
		return err
	}
	c.Manifest = manifest.Digest.String()
	w.lock.Components = append(w.lock.Components, c)
	return nil
}

// AddImage adds an image of either kind made of layers that AddBlob wrote. It fills in the component's repository, digest and size.
func (w *Writer) AddImage(c Component, config v1.ConfigFile, layers ...Layer) error {
	config.OS, config.Architecture = "linux", "amd64"
	config.RootFS = v1.RootFS{Type: "layers"}
	m := v1.Manifest{}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
		m.Layers = append(m.Layers, l.Descriptor)
		c.Size += l.Descriptor.Size
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if m.Config, err = w.AddBlob(bytes.NewReader(raw), types.OCIConfigJSON); err != nil {
		return err
	}
	manifest, err := w.addManifest(&c, m)
	if err != nil {
		return err
	}
	c.Digest = manifest.Digest.String()
	c.Size += m.Config.Size + manifest.Size
	w.lock.Components = append(w.lock.Components, c)
	return nil
}

// addManifest writes a component's manifest and lists it in the index.
func (w *Writer) addManifest(c *Component, m v1.Manifest) (v1.Descriptor, error) {
	c.Repository = repository(c.Kind, c.Name)
	m.SchemaVersion, m.MediaType = 2, types.OCIManifestSchema1
	m.Annotations = map[string]string{
		"org.opencontainers.image.version": c.Version,
		"org.opencontainers.image.source":  c.Source,
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d, err := w.AddBlob(bytes.NewReader(raw), types.OCIManifestSchema1)
	if err != nil {
		return v1.Descriptor{}, err
	}
	w.index.Manifests = append(w.index.Manifests, listed(d, m.ArtifactType, *c))
	return d, nil
}

// Close writes the index and the lock, sorted. The directory is a bundle from then on.
func (w *Writer) Close() error {
	files, err := layout(&w.lock, &w.index)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(w.dir, f.name), f.content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// file is a file of a layout beside its blobs.
type file struct {
	name    string
	content []byte
}

// layout are the files that make blobs a bundle. It sorts what it is given. A directory is a bundle once the last of them is there.
func layout(lock *Lock, index *v1.IndexManifest) ([]file, error) {
	slices.SortFunc(lock.Components, func(a, b Component) int { return cmp.Compare(a.Repository, b.Repository) })
	slices.SortFunc(index.Manifests, func(a, b v1.Descriptor) int { return cmp.Compare(a.Annotations[refName], b.Annotations[refName]) })
	if err := lock.check(); err != nil {
		return nil, err
	}
	var out []file
	for _, f := range []struct {
		name string
		v    any
	}{
		{indexFile, index},
		{lockFile, lock},
		{layoutFile, map[string]string{"imageLayoutVersion": "1.0.0"}},
	} {
		raw, err := json.MarshalIndent(f.v, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		out = append(out, file{f.name, append(raw, '\n')})
	}
	return out, nil
}

// refName is the annotation that names an image within a layout.
const refName = "org.opencontainers.image.ref.name"

// listed is how the index has a component.
func listed(d v1.Descriptor, artifactType string, c Component) v1.Descriptor {
	return v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest, ArtifactType: artifactType, Annotations: map[string]string{refName: c.Tagged("")}}
}
