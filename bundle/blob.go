package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrDamaged is what reading a blob ends with when its bytes are not those its digest promises.
var ErrDamaged = errors.New("the bundle is damaged; build or copy it again")

// Blob opens a blob. If its bytes are not those of the digest, the last of them are withheld and Read fails with
// ErrDamaged: whoever reads to the end has the true content, and nobody gets a false one in full length.
func (b *Bundle) Blob(digest string) (io.ReadCloser, error) {
	if !digestShape.MatchString(digest) {
		return nil, fmt.Errorf("%q is not a sha256 digest", digest)
	}
	f, err := os.Open(b.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s is missing", digest)
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &verified{file: f, hash: sha256.New(), left: fi.Size(), want: digest}, nil
}

// verified hashes what passes through it.
type verified struct {
	file *os.File
	hash hash.Hash
	left int64 // bytes that have not been read
	want string
	err  error
}

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.file.Read(p)
	v.hash.Write(p[:n])
	v.left -= int64(n)
	// The check is made with the last bytes, not at io.EOF: an HTTP client that knows the length never asks for the EOF.
	if v.left <= 0 || err == io.EOF {
		if got := "sha256:" + hex.EncodeToString(v.hash.Sum(nil)); got != v.want {
			v.err = fmt.Errorf("blob %s holds the bytes of %s: %w", v.want, got, ErrDamaged)
			return 0, v.err
		}
	}
	return n, err
}

func (v *verified) Close() error { return v.file.Close() }

// Verify reads every blob of the bundle and checks its digest. It reports every damaged component, not only the first.
func (b *Bundle) Verify(ctx context.Context) error {
	var errs []error
	seen := map[v1.Hash]error{}
	for _, c := range b.Lock.Components {
		m, err := b.manifest(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("component %s: %w", c.Repository, err))
			continue
		}
		for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
			if err := ctx.Err(); err != nil {
				return err
			}
			err, done := seen[d.Digest]
			if !done {
				err = b.drain(d)
				seen[d.Digest] = err
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("component %s: %w", c.Repository, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (b *Bundle) drain(d v1.Descriptor) error {
	r, err := b.Blob(d.Digest.String())
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}
