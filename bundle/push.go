package bundle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

// parallel is how many components are on their way at once. Each may send a few blobs at a time; more does not make a
// registry's disk faster.
const parallel = 3

// Progress tells how far one component has come. It is called from one goroutine at a time.
type Progress func(Pushed)

// Pushed is one step of one component's way.
type Pushed struct {
	Component Component
	Sent      int64 // bytes sent so far
	Done      bool  // it is in the registry now
	Skipped   bool  // Done, and nothing had to be sent: the registry had it
}

// Registry is where Push sends to.
type Registry struct {
	// Address is HOST:PORT, or http://HOST:PORT for a registry without TLS. A registry is never asked in another way than
	// the one given, whatever its answers.
	Address string
	// Transport carries the requests, and decides whom to trust; http.DefaultTransport if nil.
	Transport http.RoundTripper
}

// Push fills a registry with the named components, all of them if there are no names. A name is the component's
// repository: kube-apiserver, bin/kubelet. What the registry has already is not sent again, so a push that was cut off
// can be repeated. It returns every component's failure, not only the first.
func Push(ctx context.Context, b *Bundle, to Registry, names []string, progress Progress) error {
	todo, err := b.Lock.choose(names)
	if err != nil {
		return err
	}
	p, err := newPusher(b, to, progress)
	if err != nil {
		return err
	}
	var (
		g    errgroup.Group
		mu   sync.Mutex
		errs []error
	)
	g.SetLimit(parallel)
	for _, c := range todo {
		g.Go(func() error {
			if err := p.push(ctx, c); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			return nil
		})
	}
	g.Wait()
	return errors.Join(errs...)
}

// PushOne fills a registry with one component.
func PushOne(ctx context.Context, b *Bundle, to Registry, c Component, progress Progress) error {
	p, err := newPusher(b, to, progress)
	if err != nil {
		return err
	}
	return p.push(ctx, c)
}

// choose returns the named components, or all.
func (l Lock) choose(names []string) ([]Component, error) {
	if len(names) == 0 {
		return l.Components, nil
	}
	var chosen []Component
	for _, n := range names {
		i := slices.IndexFunc(l.Components, func(c Component) bool { return c.Repository == n })
		if i < 0 {
			return nil, fmt.Errorf("the bundle has no component %q", n)
		}
		chosen = append(chosen, l.Components[i])
	}
	return chosen, nil
}

type pusher struct {
	b        *Bundle
	registry name.Registry
	remote   *remote.Pusher
	puller   *remote.Puller

	mu       sync.Mutex
	progress Progress
}

func newPusher(b *Bundle, to Registry, progress Progress) (*pusher, error) {
	address, plain := strings.CutPrefix(to.Address, "http://")
	address = strings.TrimPrefix(address, "https://")
	opts := []name.Option{name.StrictValidation}
	scheme := "https"
	if plain {
		opts = append(opts, name.Insecure)
		scheme = "http"
	}
	reg, err := name.NewRegistry(address, opts...)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", to.Address, err)
	}
	rt := to.Transport
	if rt == nil {
		rt = http.DefaultTransport
	}
	options := []remote.Option{
		remote.WithTransport(only{scheme: scheme, next: rt}),
		remote.WithUserAgent("kubewright"),
		remote.WithJobs(parallel),
	}
	push, err := remote.NewPusher(options...)
	if err != nil {
		return nil, err
	}
	pull, err := remote.NewPuller(options...)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(Pushed) {}
	}
	return &pusher{b: b, registry: reg, remote: push, puller: pull, progress: progress}, nil
}

// only refuses every scheme but one. The registry client would otherwise take an answer over plain HTTP when TLS
// fails, and that failure is the one an attacker can cause.
type only struct {
	scheme string
	next   http.RoundTripper
}

func (o only) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != o.scheme {
		return nil, fmt.Errorf("refused to use %s: the registry is configured for %s", r.URL.Scheme, o.scheme)
	}
	return o.next.RoundTrip(r)
}

func (p *pusher) push(ctx context.Context, c Component) error {
	if err := p.pushTo(ctx, c); err != nil {
		return fmt.Errorf("push %s: %w", c.Tagged(p.registry.RegistryStr()), err)
	}
	return nil
}

func (p *pusher) pushTo(ctx context.Context, c Component) error {
	tag := p.registry.Repo(c.Repository).Tag(c.Version)
	d, err := p.puller.Head(ctx, tag)
	switch {
	case err == nil && d.Digest.String() == c.ManifestDigest():
		p.tell(Pushed{Component: c, Done: true, Skipped: true})
		return nil
	case err != nil && !answered(err):
		return err
	}
	var sent int64
	var mu sync.Mutex
	image, err := p.b.image(c, func(delta int64) {
		mu.Lock()
		defer mu.Unlock()
		sent += delta
		p.tell(Pushed{Component: c, Sent: sent})
	})
	if err != nil {
		return err
	}
	if err := p.remote.Push(ctx, tag, image); err != nil {
		return err
	}
	p.tell(Pushed{Component: c, Sent: sent, Done: true})
	return nil
}

// answered reports whether the registry itself said no: it does not have the tag.
func answered(err error) bool {
	var no *transport.Error
	return errors.As(err, &no)
}

func (p *pusher) tell(s Pushed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress(s)
}
