// Package bundle is everything a cluster is made of, in one directory or one archive: an OCI image layout with the images, the host
// programs (as OCI artifacts) and a lock that says what each of them is, down to the digest. Hosts get images and
// programs from the private registry only; Push is how they come there, Pull and Pack how they come out of a registry and into an archive.
//
// Nothing read from a bundle is believed before its digest has been checked.
package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	Dir  string // the directory, or the archive
	Lock Lock

	files store
}

// Open reads a bundle's lock and checks that every blob it needs is there in full length. Contents are checked while
// they are read, or all at once by Verify. An archive that Pull or Pack made is as good as a directory.
func Open(dir string) (*Bundle, error) {
	b := &Bundle{Dir: dir}
	if err := b.open(); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", dir, err)
	}
	return b, nil
}

func (b *Bundle) open() (err error) {
	if b.files, err = storeAt(b.Dir); err != nil {
		return err
	}
	if _, err := b.files.size(layoutFile); errors.Is(err, fs.ErrNotExist) {
		return errors.New("this is not a bundle: it has no file oci-layout")
	}
	if b.Lock, err = lockIn(b.files); err != nil {
		return err
	}
	for _, c := range b.Lock.Components {
		if err := b.complete(c); err != nil {
			return fmt.Errorf("component %s: %w", c.Repository, err)
		}
	}
	return nil
}

// lockIn reads the lock of a store.
func lockIn(s store) (Lock, error) {
	f, _, err := s.open(lockFile)
	if err != nil {
		return Lock{}, fmt.Errorf("%s: %w", lockFile, err)
	}
	defer f.Close()
	return readLock(f)
}

func readLock(r io.Reader) (Lock, error) {
	var l Lock
	d := json.NewDecoder(io.LimitReader(r, maxManifest))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return Lock{}, fmt.Errorf("%s: %w", lockFile, err)
	}
	return l, l.check()
}

// ReadLock reads the lock of a bundle alone, from its file lock.json.
func ReadLock(name string) (Lock, error) {
	f, _, err := openRegular(name)
	if err != nil {
		return Lock{}, err
	}
	defer f.Close()
	return readLock(f)
}

// complete checks that a component's blobs exist and are as long as its manifest says.
func (b *Bundle) complete(c Component) error {
	p, err := partsOf(context.Background(), b, c)
	if err != nil {
		return err
	}
	for _, d := range p.blobs {
		size, err := b.files.size(blobName(d.Digest.String()))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("blob %s is missing", d.Digest)
		}
		if err != nil {
			return err
		}
		if size != d.Size {
			return fmt.Errorf("blob %s has %d bytes instead of %d", d.Digest, size, d.Size)
		}
	}
	return nil
}

// rawManifest implements source.
func (b *Bundle) rawManifest(_ context.Context, _ Component, digest string) ([]byte, error) {
	r, err := b.Blob(digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("manifest %s is larger than %d bytes", digest, maxManifest)
	}
	return raw, nil
}

// blob implements source.
func (b *Bundle) blob(_ context.Context, _ Component, d v1.Descriptor) (io.ReadCloser, error) {
	return b.Blob(d.Digest.String())
}

// path is where a directory keeps a blob. The digest has been checked to be one.
func (b *Bundle) path(digest string) string { return filepath.Join(b.Dir, blobName(digest)) }
