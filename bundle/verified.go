package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"sync/atomic"
	"time"
)

// verified hashes what passes through it. If the bytes are not those of the digest, the last of them are withheld and Read fails: whoever
// reads to the end has the true content, and nobody gets a false one in full length.
type verified struct {
	from io.ReadCloser
	hash hash.Hash
	want string
	size int64 // 0: not known
	read int64
	err  error
	// wrong is what to say: other bytes, or an end that came too early, or an error on the way.
	wrong func(got string, n int64, err error) error
}

func newVerified(from io.ReadCloser, digest string, size int64, wrong func(got string, n int64, err error) error) *verified {
	return &verified{from: from, hash: sha256.New(), want: digest, size: size, wrong: wrong}
}

func (v *verified) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.from.Read(p)
	v.hash.Write(p[:n])
	v.read += int64(n)
	if err != nil && err != io.EOF {
		v.err = v.wrong("", v.read, err)
		return 0, v.err
	}
	// The check is made with the last bytes, not at io.EOF: an HTTP client that knows the length never asks for the EOF.
	if v.size > 0 && v.read >= v.size || err == io.EOF {
		if got := "sha256:" + hex.EncodeToString(v.hash.Sum(nil)); got != v.want {
			v.err = v.wrong(got, v.read, nil)
			return 0, v.err
		}
	}
	return n, err
}

func (v *verified) Close() error { return v.from.Close() }

// watched closes a body that comes too slowly.
type watched struct {
	io.ReadCloser
	limit time.Duration
	timer *time.Timer
	since int
	slow  atomic.Bool
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if w.since += n; w.since >= leastBytes {
		w.since = 0
		w.timer.Reset(w.limit)
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	return w.ReadCloser.Close()
}
