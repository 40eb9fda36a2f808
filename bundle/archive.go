package bundle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// archiveSink makes a bundle in one tar file. What goes into it, and how long each part is, is known before the first blob comes, so every
// part has its place from the beginning: blobs are written in any order, a pull that was cut off finds at each place what it had written, and the
// same parts make the same bytes. The file is called NAME.part until it is complete.
type archiveSink struct {
	name  string
	f     *os.File
	place map[v1.Hash]int64
	old   *Bundle // the archive that is there, whose blobs need not be fetched

}

const block = 512

func newArchiveSink(name string, want wantedParts) (*archiveSink, error) {
	s := &archiveSink{name: name, place: map[v1.Hash]int64{}}
	if _, err := os.Stat(name); err == nil {
		if s.old, err = Open(name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, ErrTaken)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(name+".part", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	s.f = f
	if err := alone(f); err != nil {
		f.Close()
		return nil, err
	}
	if err := s.lay(want); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// alone holds a file for as long as it is open, if nobody else does. Who was there first may have given it its true name in between: then it is complete, and not to be touched.
func alone(f *os.File) error {
	taken := fmt.Errorf("%s is being written by somebody else: %w", f.Name(), ErrTaken)
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return taken
	}
	held, err := f.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(f.Name()); err != nil || !os.SameFile(held, now) {
		return taken
	}
	return nil
}

// lay writes everything but the blobs: the headers, each at its place, and the small files.
func (s *archiveSink) lay(want wantedParts) error {
	type entry struct {
		name    string
		size    int64
		content []byte
		hash    v1.Hash
	}
	var all []entry
	for i := len(want.files) - 1; i >= 0; i-- { // what it is comes first, for whoever reads it as a stream
		all = append(all, entry{name: want.files[i].name, size: int64(len(want.files[i].content)), content: want.files[i].content})
	}
	var blobs []entry
	for _, m := range want.manifests {
		blobs = append(blobs, entry{name: blobName(m.Digest.String()), size: m.Size, hash: m.Digest})
	}
	for _, d := range want.blobs {
		blobs = append(blobs, entry{name: blobName(d.Digest.String()), size: d.Size, hash: d.Digest})
	}
	slices.SortFunc(blobs, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	var at int64
	for _, e := range append(all, blobs...) {
		head, err := header(e.name, e.size)
		if err != nil {
			return err
		}
		if _, err := s.f.WriteAt(append(head, e.content...), at); err != nil {
			return err
		}
		at += block
		if e.content == nil {
			s.place[e.hash] = at
		}
		padded := (e.size + block - 1) / block * block
		if _, err := s.f.WriteAt(make([]byte, padded-e.size), at+e.size); err != nil {
			return err
		}
		at += padded
	}
	if _, err := s.f.WriteAt(make([]byte, 2*block), at); err != nil { // the end of a tar file
		return err
	}
	return s.f.Truncate(at + 2*block)
}

// header is a file's header, with nothing in it that depends on who wrote it or when.
func header(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err == nil && b.Len() != block {
		err = fmt.Errorf("%s does not fit into a tar header", name)
	}
	return b.Bytes(), err
}

func (s *archiveSink) has(d v1.Descriptor) (bool, error) {
	at := s.place[d.Digest]
	ok, err := sound(io.NewSectionReader(s.f, at, d.Size), d)
	if ok || err != nil || s.old == nil {
		return ok, err
	}
	r, err := s.old.Blob(d.Digest.String())
	if err != nil {
		return false, nil // it is not in the archive that was there
	}
	defer r.Close()
	return s.put(d, r) == nil, nil // if it was damaged there, it is fetched
}

func (s *archiveSink) put(d v1.Descriptor, r io.Reader) error {
	n, err := io.Copy(io.NewOffsetWriter(s.f, s.place[d.Digest]), io.LimitReader(r, d.Size))
	if err == nil && n != d.Size {
		err = fmt.Errorf("blob %s has %d bytes instead of %d", d.Digest, n, d.Size)
	}
	return err
}

func (s *archiveSink) finish() error {
	if err := s.f.Sync(); err != nil {
		return err
	}
	return os.Rename(s.name+".part", s.name)
}

func (s *archiveSink) close() { s.f.Close() }
