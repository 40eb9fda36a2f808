package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

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
	f, size, err := b.files.open(blobName(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s is missing", digest)
	}
	if err != nil {
		return nil, err
	}
	return newVerified(f, digest, size, func(got string, _ int64, err error) error {
		if err != nil {
			return err
		}
		return fmt.Errorf("blob %s holds the bytes of %s: %w", digest, got, ErrDamaged)
	}), nil
}

// Verify reads every blob of the bundle and checks its digest. It reports every damaged component, not only the first.
func (b *Bundle) Verify(ctx context.Context) error {
	var errs []error
	seen := map[v1.Hash]error{}
	for _, c := range b.Lock.Components {
		p, err := partsOf(ctx, b, c)
		if err != nil {
			errs = append(errs, fmt.Errorf("component %s: %w", c.Repository, err))
			continue
		}
		for _, d := range p.blobs {
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
