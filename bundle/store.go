package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// store is where a bundle's files lie: a directory, or an archive of one.
type store interface {
	// open opens a file by its name in the layout, such as lock.json or blobs/sha256/..., and says how long it is.
	open(name string) (io.ReadCloser, int64, error)
	size(name string) (int64, error)
}

// directory is a store.
type directory string

func (d directory) open(name string) (io.ReadCloser, int64, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, 0, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Size(), nil
}

func (d directory) size(name string) (int64, error) {
	fi, err := os.Stat(filepath.Join(string(d), name))
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// archive is a store: one tar file, which is read where it lies and never unpacked.
type archive struct {
	name  string
	files map[string]place
}

// place is where a file of the archive begins, and how long it is.
type place struct{ at, size int64 }

// readArchive finds out where each file is, without reading them.
func readArchive(name string) (*archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var magic [6]byte
	if n, _ := io.ReadFull(f, magic[:]); n >= 4 {
		for _, packed := range []struct{ magic, by string }{{"\x1f\x8b", "gzip"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"\xfd7zXZ", "xz"}} {
			if bytes.HasPrefix(magic[:n], []byte(packed.magic)) {
				return nil, fmt.Errorf("it is packed with %s; unpack it first (what is in it is packed already)", packed.by)
			}
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	a := &archive{name: name, files: map[string]place{}}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return a, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it is not a tar file, or was cut off: %w", err)
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg {
			inside := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
			if _, twice := a.files[inside]; twice { // which of them is meant would depend on who reads it
				return nil, fmt.Errorf("it has %s twice", inside)
			}
			a.files[inside] = place{at: at, size: h.Size}
		}
	}
}

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	p, ok := a.files[name]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	f, err := os.Open(a.name)
	if err != nil {
		return nil, 0, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, p.at, p.size), f}, p.size, nil
}

func (a *archive) size(name string) (int64, error) {
	p, ok := a.files[name]
	if !ok {
		return 0, fs.ErrNotExist
	}
	return p.size, nil
}

// storeAt is the store in a directory or in a file.
func storeAt(name string) (store, error) {
	fi, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case fi.IsDir():
		return directory(name), nil
	case fi.Mode().IsRegular():
		return readArchive(name)
	}
	return nil, errors.New("it is neither a directory nor an archive")
}

// blobName is a blob's name in the layout. The digest has been checked to be one.
func blobName(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }
