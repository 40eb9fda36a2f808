// Package bundle is everything a cluster is made of, in one directory: an OCI image layout with the images, the host
// programs (as OCI artifacts) and a lock that says what each of them is, down to the digest. Hosts get images and
// programs from the private registry only; Push is how they come there.
//
// Nothing read from a bundle is believed before its digest has been checked.
package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The files of a layout beside its blobs.
const (
	lockFile   = "lock.json"
	indexFile  = "index.json"
	layoutFile = "oci-layout"
)

// maxManifest bounds what is read into memory for one manifest or for the lock.
const maxManifest = 4 << 20

// Bundle is an opened bundle.
type Bundle struct {
	Dir  string
	Lock Lock
}

// Open reads a bundle's lock and checks that every blob it needs is there in full length. Contents are checked while
// they are read, or all at once by Verify.
func Open(dir string) (*Bundle, error) {
	b := &Bundle{Dir: dir}
	if err := b.open(); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", dir, err)
	}
	return b, nil
}

func (b *Bundle) open() error {
	if _, err := os.Stat(filepath.Join(b.Dir, layoutFile)); errors.Is(err, fs.ErrNotExist) {
		return errors.New("this is not a bundle: it has no file oci-layout")
	}
	if err := readStrict(filepath.Join(b.Dir, lockFile), &b.Lock); err != nil {
		return err
	}
	if err := b.Lock.check(); err != nil {
		return err
	}
	for _, c := range b.Lock.Components {
		if err := b.complete(c); err != nil {
			return fmt.Errorf("component %s: %w", c.Repository, err)
		}
	}
	return nil
}

// complete checks that a component's blobs exist and are as long as its manifest says.
func (b *Bundle) complete(c Component) error {
	m, err := b.manifest(c)
	if err != nil {
		return err
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		fi, err := os.Stat(b.path(d.Digest.String()))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("blob %s is missing", d.Digest)
		}
		if err != nil {
			return err
		}
		if fi.Size() != d.Size {
			return fmt.Errorf("blob %s has %d bytes instead of %d", d.Digest, fi.Size(), d.Size)
		}
	}
	return nil
}

// manifest reads and checks the manifest of a component.
func (b *Bundle) manifest(c Component) (*v1.Manifest, error) {
	raw, err := b.rawManifest(c)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", c.ManifestDigest(), err)
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if !digestShape.MatchString(d.Digest.String()) {
			return nil, fmt.Errorf("manifest %s: %q is not a sha256 digest", c.ManifestDigest(), d.Digest)
		}
	}
	if c.Kind == KindFile && (len(m.Layers) != 1 || m.Layers[0].Digest.String() != c.Digest) {
		return nil, fmt.Errorf("manifest %s does not carry the program %s", c.Manifest, c.Digest)
	}
	return m, nil
}

func (b *Bundle) rawManifest(c Component) ([]byte, error) {
	r, err := b.Blob(c.ManifestDigest())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("manifest %s is larger than %d bytes", c.ManifestDigest(), maxManifest)
	}
	return raw, nil
}

// path is where a blob is kept. The digest has been checked to be one.
func (b *Bundle) path(digest string) string { return blobPath(b.Dir, digest) }

func blobPath(dir, digest string) string {
	return filepath.Join(dir, "blobs", "sha256", digest[len("sha256:"):])
}

func readStrict(name string, v any) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(io.LimitReader(f, maxManifest))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}
