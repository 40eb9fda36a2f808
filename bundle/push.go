package bundle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

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

// Pushed is one step of one component's way, into a registry or out of one.
type Pushed struct {
	Component Component
	Sent      int64 // bytes that have crossed the network so far
	There     int64 // with Done: bytes that did not have to
	Done      bool  // it is where it should be now
	Skipped   bool  // Done, and nothing had to be sent: all of it was there
}

// Push fills a registry with the named components, all of them if there are no names. A name is the component's
// repository: kube-apiserver, bin/kubelet. What the registry has already is not sent again, so a push that was cut off
// can be repeated. It returns every component's failure, not only the first.
func Push(ctx context.Context, b *Bundle, to Registry, names []string, progress Progress) error {
	todo, err := b.Lock.Choose(names)
	if err != nil {
		return err
	}
	p, err := newPusher(b, to, progress)
	if err != nil {
		return err
	}
	return each(todo, func(c Component) error { return p.push(ctx, c) })
}

// each does something to all components, a few at a time, and returns every failure once: that a registry is down is not said of each.
func each(todo []Component, do func(Component) error) error {
	var (
		g    errgroup.Group
		mu   sync.Mutex
		errs []error
		said = map[string]bool{}
	)
	g.SetLimit(parallel)
	for _, c := range todo {
		g.Go(func() error {
			if err := do(c); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if !said[err.Error()] {
					said[err.Error()] = true
					errs = append(errs, err)
				}
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

// Choose returns the named components, or all if there are no names. A name is the component's repository.
func (l Lock) Choose(names []string) ([]Component, error) {
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
	from     source
	to       Registry
	registry name.Registry
	remote   *remote.Pusher
	reader   *client

	mu       sync.Mutex
	progress Progress
}

func newPusher(from source, to Registry, progress Progress) (*pusher, error) {
	reader, err := newClient(to)
	if err != nil {
		return nil, err
	}
	push, err := remote.NewPusher(
		remote.WithTransport(to.carrier()),
		remote.WithUserAgent("kubewright"),
		remote.WithJobs(parallel),
		remote.WithAuth(to.Credentials.authenticator()),
		remote.WithRetryStatusCodes(), // the carrier has patience, and asks for how long
		remote.WithRetryPredicate(uploadAgain),
		remote.WithRetryBackoff(remote.Backoff{Duration: waits[0], Factor: 2, Steps: len(waits)}),
	)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(Pushed) {}
	}
	return &pusher{from: from, to: to, registry: reader.reg, remote: push, reader: reader, progress: progress}, nil
}

// uploadAgain says whether a blob whose upload failed is sent once more, from its beginning.
func uploadAgain(err error) bool {
	var known *Trouble
	var answer *transport.Error
	switch {
	case errors.As(err, &known):
		return false // of a source, or after all patience
	case errors.As(err, &answer):
		return passing(answer.StatusCode) || forgotten(answer)
	}
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (p *pusher) push(ctx context.Context, c Component) error {
	err := p.pushTo(ctx, c)
	if err == nil || ctx.Err() != nil {
		return err
	}
	var known *Trouble
	if err = p.to.in(c.short(), err); errors.As(err, &known) {
		return known // says itself which registry and what
	}
	return fmt.Errorf("push %s: %w", c.Tagged(p.to.String()), err)
}

func (p *pusher) pushTo(ctx context.Context, c Component) error {
	repo := p.registry.Repo(p.to.repository(c))
	tag, err := p.reader.head(ctx, c, c.Version)
	if err != nil {
		return err
	}
	if tag == c.ManifestDigest() {
		p.tell(Pushed{Component: c, There: c.Size, Done: true, Skipped: true})
		return nil
	}
	has, err := partsOf(ctx, p.from, c)
	if err != nil {
		return err
	}
	var sent atomic.Int64
	count := func(delta int64) { p.tell(Pushed{Component: c, Sent: sent.Add(delta)}) }
	for _, d := range has.blobs {
		if err := p.remote.Upload(ctx, repo, &carried{ctx: ctx, from: p.from, c: c, d: d, count: count}); err != nil {
			return err
		}
	}
	for i, m := range has.manifests {
		var ref name.Reference = repo.Digest(m.Digest.String())
		if i == len(has.manifests)-1 {
			ref = repo.Tag(c.Version)
		}
		if err := p.remote.Put(ctx, ref, m); err != nil {
			return err
		}
		sent.Add(m.Size)
	}
	p.tell(Pushed{Component: c, Sent: sent.Load(), There: has.bytes() - sent.Load(), Done: true})
	return nil
}

func (p *pusher) tell(s Pushed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress(s)
}
