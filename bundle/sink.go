package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// directorySink makes a bundle in a directory. A blob appears there in full or not at all.
type directorySink struct {
	dir  string
	want wantedParts
}

// fresh is what a file is called while it is being written.
const fresh = ".new-"

func newDirectorySink(dir string, want wantedParts) (*directorySink, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		switch e.Name() {
		case "blobs", indexFile, lockFile, layoutFile:
		default:
			if !strings.HasPrefix(e.Name(), fresh) {
				return nil, fmt.Errorf("%s has %s in it, which no bundle has: %w", dir, e.Name(), ErrTaken)
			}
		}
	}
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return nil, err
	}
	for _, d := range []string{dir, blobs} { // of a run that was killed
		left, err := filepath.Glob(filepath.Join(d, fresh+"*"))
		if err != nil {
			return nil, err
		}
		for _, name := range left {
			if err := os.Remove(name); err != nil {
				return nil, err
			}
		}
	}
	return &directorySink{dir: dir, want: want}, nil
}

func (s *directorySink) has(d v1.Descriptor) (bool, error) {
	f, size, err := directory(s.dir).open(blobName(d.Digest.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if size != d.Size {
		return false, nil
	}
	return sound(f, d)
}

// sound says whether a reader has the blob.
func sound(r io.Reader, d v1.Descriptor) (bool, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return n == d.Size && hex.EncodeToString(h.Sum(nil)) == d.Digest.Hex, err
}

func (s *directorySink) put(d v1.Descriptor, r io.Reader) error {
	return s.write(blobName(d.Digest.String()), r)
}

func (s *directorySink) write(name string, r io.Reader) error {
	path := filepath.Join(s.dir, name)
	f, err := os.CreateTemp(filepath.Dir(path), fresh+"*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (s *directorySink) finish() error {
	for _, f := range s.want.files {
		if err := s.write(f.name, strings.NewReader(string(f.content))); err != nil {
			return err
		}
	}
	return nil
}

func (s *directorySink) close() {}
