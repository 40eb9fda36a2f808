package ops

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// File is a regular file. What is in it is said either by Content or by Digest; From and CA say where the bytes of Digest come
// from and are never compared.
type File struct {
	Path    string `json:"path"`
	Content []byte `json:"content,omitempty"`
	Digest  string `json:"digest,omitempty"` // "sha256:" and hex; in an observation also "link:" and a target where there is a symlink instead
	From    string `json:"from,omitempty"`   // an https URL, or FromWorkstation
	CA      string `json:"ca,omitempty"`     // a file on the host with the authority that From's server is verified by
	Mode    uint32 `json:"mode,omitempty"`
	UID     int    `json:"uid,omitempty"`
	GID     int    `json:"gid,omitempty"`
	Secret  bool   `json:"secret,omitempty"` // the content is never observed, journaled or shown
	Absent  bool   `json:"absent,omitempty"`
	parents
}

// FromWorkstation is the From of bytes that only the workstation has.
const FromWorkstation = "workstation"

const linkDigest = "link:"

func (f File) Key() Key { return Key("file:" + f.Path) }

// Touches names what may be replaced, so that it can be kept.
func (f File) Touches() []string { return []string{f.Path} }

func (f File) Observe(ctx context.Context, m Machine) (Op, error) {
	seen := File{Path: f.Path, From: f.From, CA: f.CA, Secret: f.Secret}
	fi, err := os.Lstat(m.Path(f.Path))
	switch {
	case missing(err):
		seen.Absent, seen.parents = true, missingDirs(m, f.Path)
		return seen, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", f.Path, cause(err))
	case fi.Mode()&os.ModeSymlink != 0:
		target, err := os.Readlink(m.Path(f.Path))
		seen.Digest = linkDigest + target
		return seen, err
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("%s is there, but is not a file", f.Path)
	}
	seen.Mode = modeOf(fi)
	seen.UID, seen.GID = ownerOf(m, fi)
	// A wish by digest is compared by digest, and what it replaces is kept aside by whoever applies it.
	if f.Digest == "" && !f.Secret && fi.Size() <= small {
		content, err := readSmall(m, f.Path, false)
		if err != nil {
			return nil, err
		}
		if !holdsKey(content) {
			seen.Content = content
			return seen, nil
		}
	}
	seen.Digest, err = digestFile(ctx, m, f.Path)
	return seen, err
}

func (f File) Set(ctx context.Context, m Machine, was Op) error {
	a := attrs{mode: f.Mode, uid: f.UID, gid: f.GID}
	if f.Absent {
		if err := remove(m, f.Path); err != nil {
			return err
		}
		return f.prune(m, f.Path)
	}
	if target, ok := strings.CutPrefix(f.Digest, linkDigest); ok {
		return link(m, target, f.Path)
	}
	if w, ok := was.(File); ok && !w.Absent && w.digest() == f.digest() {
		return adjust(m, f.Path, a)
	}
	switch {
	case f.Digest == "":
		return writeFile(m, f.Path, a, func(w io.Writer) error { _, err := w.Write(f.Content); return err })
	case f.From == "":
		return fmt.Errorf("there is nowhere to get %s from", f.Digest)
	}
	var err error
	if f.From == FromWorkstation {
		err = writeFile(m, f.Path, a, func(w io.Writer) error { return f.fromBlob(ctx, m, w) })
	} else {
		err = f.download(ctx, m, a)
	}
	if err == nil {
		remember(m, f.Path, f.Digest)
	}
	return err
}

// same: the bytes count, not how they are said.
func (f File) same(seen Op) bool {
	s := seen.(File)
	if f.Absent || s.Absent {
		return f.Absent == s.Absent
	}
	return f.digest() == s.digest() && f.Mode == s.Mode && f.UID == s.UID && f.GID == s.GID
}

func (f File) digest() string {
	if f.Digest != "" {
		return f.Digest
	}
	return digestOf(f.Content)
}

func (f File) masked() Op {
	if f.Secret || holdsKey(f.Content) {
		f.Digest, f.Content, f.Secret = f.digest(), nil, true
	}
	return f
}

// fromBlob asks for the bytes and copies them from where they were put.
func (f File) fromBlob(ctx context.Context, m Machine, w io.Writer) error {
	hexed, ok := strings.CutPrefix(f.Digest, "sha256:")
	if raw, err := hex.DecodeString(hexed); !ok || err != nil || len(raw) != sha256.Size {
		return fmt.Errorf("%q is not a digest", f.Digest)
	}
	if _, err := m.Ask(ctx, Question{Key: f.Key(), Kind: AskBlob, Name: f.Digest}); err != nil {
		return err
	}
	blob, err := os.OpenFile(m.Path(stateDir(m)+"/blobs/"+hexed), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("the bytes of %s did not arrive: %w", f.Digest, cause(err))
	}
	defer blob.Close()
	if fi, err := blob.Stat(); err == nil {
		needs(w, fi.Size())
	}
	return copyChecked(w, blob, f.Digest, "the workstation")
}

// copyChecked copies and compares the digest; from is named in the error.
func copyChecked(w io.Writer, r io.Reader, want, from string) error {
	h := sha256.New()
	buffer := make([]byte, chunk)
	for last := false; !last; {
		n, err := fill(r, buffer)
		if last = errors.Is(err, io.EOF); err != nil && !last {
			return err
		}
		h.Write(buffer[:n])
		if _, err := w.Write(buffer[:n]); err != nil {
			return err
		}
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != want {
		return &wrongDigestError{from, want, got}
	}
	return nil
}

// chunk is how much is read, hashed and written at once, in bytes: a record of TLS holds no more than 16 KiB.
const chunk = 256 << 10

// fill reads until the buffer is full or there is an error. Unlike io.ReadFull it leaves the end of a reader apart from one that was cut off.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var more int
		more, err = r.Read(buffer[n:])
		n += more
	}
	return n, err
}

// wrongDigestError is bytes that are not those that were wanted. Trying again would only fetch them again.
type wrongDigestError struct{ from, want, got string }

func (e *wrongDigestError) Error() string {
	return fmt.Sprintf("%s: want %s, got %s", e.from, e.want, e.got)
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func digestFile(ctx context.Context, m Machine, p string) (string, error) {
	if r, ok := find[remembering](m); ok {
		if digest := r.recall(p); digest != "" {
			return digest, nil
		}
	}
	f, err := os.OpenFile(m.Path(p), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", p, cause(err))
	}
	defer f.Close()
	h := sha256.New()
	buffer := make([]byte, 1<<20)
	for {
		n, err := f.Read(buffer)
		h.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return "", fmt.Errorf("read %s: %w", p, cause(err))
		}
	}
}

// holdsKey says whether bytes look like a private key, whatever anybody says of them.
func holdsKey(content []byte) bool {
	return bytes.Contains(content, []byte("PRIVATE KEY-----")) || bytes.Contains(content, []byte("client-key-data:"))
}
