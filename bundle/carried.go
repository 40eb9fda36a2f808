package bundle

import (
	"context"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// carried is one blob on its way into a registry, as the registry client wants to see it.
type carried struct {
	ctx   context.Context
	from  source
	c     Component
	d     v1.Descriptor
	count func(delta int64)

	mu   sync.Mutex
	sent int64
}

func (l *carried) Digest() (v1.Hash, error)             { return l.d.Digest, nil }
func (l *carried) Size() (int64, error)                 { return l.d.Size, nil }
func (l *carried) MediaType() (types.MediaType, error)  { return l.d.MediaType, nil }
func (l *carried) DiffID() (v1.Hash, error)             { return l.d.Digest, nil } // nobody asks: it is sent as it is
func (l *carried) Uncompressed() (io.ReadCloser, error) { return l.Compressed() }

// Compressed is called again for every attempt; what an earlier attempt counted is taken back.
func (l *carried) Compressed() (io.ReadCloser, error) {
	r, err := l.from.blob(l.ctx, l.c, l.d)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	back := l.sent
	l.sent = 0
	l.mu.Unlock()
	l.count(-back)
	return &counted{ReadCloser: r, count: func(n int64) {
		l.mu.Lock()
		l.sent += n
		l.mu.Unlock()
		l.count(n)
	}}, nil
}

// counted tells what passes through it.
type counted struct {
	io.ReadCloser
	count func(n int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.count(int64(n))
	return n, err
}
