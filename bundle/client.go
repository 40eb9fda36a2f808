package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// client reads from a registry. It checks every byte by its digest before it lets go of the last of them.
type client struct {
	at   Registry
	reg  name.Registry
	once sync.Once
	how  *transport.Challenge // how the registry wants to be asked
	err  error

	mu sync.Mutex
	by map[string]*http.Client // for each repository; one for all where the registry issues no tokens
}

func newClient(r Registry) (*client, error) {
	reg, err := r.named()
	if err != nil {
		return nil, err
	}
	if r.Plain() && !r.Credentials.none() {
		return nil, &Trouble{Class: Scheme, Registry: r.host(), Words: ErrClear.Error(), Err: ErrClear}
	}
	return &client{at: r, reg: reg, by: map[string]*http.Client{}}, nil
}

// ready asks the registry itself whether it is there, and whom it wants to see: the first question of all, and once.
func (c *client) ready(ctx context.Context) error {
	c.once.Do(func() { c.how, c.err = transport.Ping(ctx, c.reg, c.at.carrier()) })
	err := c.at.in("", c.err)
	if t := (*Trouble)(nil); errors.As(err, &t) && t.Class == NotFound {
		return &Trouble{Class: Refused, Registry: t.Registry, Words: t.Words + " at /v2/: it is no registry", Err: t.Err}
	}
	return err
}

// asker is the HTTP client for a repository.
func (c *client) asker(ctx context.Context, repository string) (*http.Client, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	if !strings.EqualFold(c.how.Scheme, "bearer") {
		repository = ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.by[repository]; known != nil {
		return known, nil
	}
	var scopes []string
	if repository != "" {
		scopes = []string{"repository:" + repository + ":" + transport.PullScope}
	}
	rt, err := transport.NewWithContext(ctx, c.reg, c.at.Credentials.authenticator(), c.at.carrier(), scopes)
	if err != nil {
		return nil, err
	}
	c.by[repository] = &http.Client{Transport: rt}
	return c.by[repository], nil
}

// ask sends one question about a component and returns a good answer, or what is wrong in its class.
func (c *client) ask(ctx context.Context, method string, x Component, kind, ref, accept string) (*http.Response, error) {
	repository := c.at.repository(x)
	h, err := c.asker(ctx, repository)
	if err != nil {
		return nil, c.at.in("", err)
	}
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("%s://%s/v2/%s/%s/%s", c.at.scheme(), c.at.host(), repository, kind, ref), nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	answer, err := h.Do(r)
	if err != nil {
		return nil, c.at.in(x.short(), err)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		return nil, c.at.in(x.short(), readError(answer))
	}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") { // of a proxy that wants to be logged in to, or of some web server
		answer.Body.Close()
		return nil, &Trouble{Class: Refused, Registry: c.at.host(), What: x.short(), Words: "a page for people came (text/html): something else answers in the registry's place"}
	}
	return answer, nil
}

// readError is the answer of a registry that says no.
func readError(answer *http.Response) *transport.Error {
	var e *transport.Error
	if err := transport.CheckError(answer, http.StatusOK); !errors.As(err, &e) {
		e = &transport.Error{StatusCode: answer.StatusCode, Request: answer.Request}
	}
	return e
}

// manifests are the media types that are understood.
var manifests = strings.Join([]string{
	string(types.OCIManifestSchema1), string(types.OCIImageIndex), string(types.DockerManifestSchema2), string(types.DockerManifestList),
}, ", ")

func (c *client) rawManifest(ctx context.Context, x Component, digest string) ([]byte, error) {
	answer, err := c.ask(ctx, http.MethodGet, x, "manifests", digest, manifests)
	if err != nil {
		return nil, err
	}
	r := c.check(ctx, answer.Body, x, digest, max(answer.ContentLength, 0))
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, c.at.in(x.short(), err)
	}
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("manifest %s is larger than %d bytes", digest, maxManifest)
	}
	return raw, nil
}

// head is the digest that a tag or a digest leads to; empty where the registry does not have it.
func (c *client) head(ctx context.Context, x Component, ref string) (string, error) {
	answer, err := c.ask(ctx, http.MethodHead, x, "manifests", ref, manifests)
	var t *Trouble
	switch {
	case errors.As(err, &t) && t.Class == NotFound:
		return "", nil
	case err != nil:
		return "", err
	}
	answer.Body.Close()
	return answer.Header.Get("Docker-Content-Digest"), nil
}

func (c *client) blob(ctx context.Context, x Component, d v1.Descriptor) (io.ReadCloser, error) {
	answer, err := c.ask(ctx, http.MethodGet, x, "blobs", d.Digest.String(), "")
	if err != nil {
		return nil, err
	}
	return c.check(ctx, answer.Body, x, d.Digest.String(), d.Size), nil
}

// A registry that sends less than this in that time counts as one that does not answer.
const (
	leastBytes = 16 << 10
	leastTime  = 30 * time.Second
)

// check hashes what comes over. It withholds the last bytes of a blob that is not what it should be.
func (c *client) check(ctx context.Context, body io.ReadCloser, x Component, digest string, size int64) io.ReadCloser {
	trouble := func(class Class, format string, args ...any) error {
		return &Trouble{Class: class, Registry: c.at.host(), What: x.short(), Words: fmt.Sprintf(format, args...)}
	}
	w := &watched{ReadCloser: body, limit: cmp.Or(c.at.stall, leastTime)}
	w.timer = time.AfterFunc(w.limit, func() { w.slow.Store(true); body.Close() })
	return newVerified(w, digest, size, func(got string, n int64, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case w.slow.Load():
			return trouble(Unreachable, "it sent less than %d KiB in %s", leastBytes>>10, w.limit)
		case err != nil || n < size:
			return trouble(Truncated, "blob %s was cut off after %d of %d bytes", digest, n, size)
		case n > size && size > 0:
			return trouble(WrongDigest, "blob %s is longer than its %d bytes", digest, size)
		}
		return trouble(WrongDigest, "%s was asked for, and the bytes of %s came", digest, got)
	})
}
