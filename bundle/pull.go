package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// Pull brings the named components of a lock, all of them if there are no names, from a registry into a bundle: a directory, or one archive if the
// name ends with .tar. What is there already is not fetched again, so a pull that was cut off can be repeated. With platforms, only what is
// for them is fetched.
func Pull(ctx context.Context, from Registry, lock Lock, names, platforms []string, out string, progress Progress) error {
	c, err := newClient(from)
	if err != nil {
		return err
	}
	return gather(ctx, c, lock, names, platforms, out, progress)
}

// Pack is Pull from a bundle: a directory into an archive, or back. The same components make the same bytes.
func Pack(ctx context.Context, b *Bundle, names, platforms []string, out string, progress Progress) error {
	return gather(ctx, b, b.Lock, names, platforms, out, progress)
}

// ErrTaken is why nothing is written: what is at the place is not ours.
var ErrTaken = errors.New("something else is there")

// sink is where a bundle is made: blobs in any order, the rest at the end.
type sink interface {
	// has says whether the blob is there as it should be; it has been read to the end then.
	has(d v1.Descriptor) (bool, error)
	// put writes a blob from a reader that fails if it is not what its digest says.
	put(d v1.Descriptor, r io.Reader) error
	// finish makes the whole a bundle, once all blobs are there.
	finish() error
	close()
}

// wanted is all that is to be in a bundle, before the first blob of it is fetched.
type wantedParts struct {
	files     []file // index.json, lock.json, oci-layout
	manifests []manifest
	blobs     []v1.Descriptor
	of        map[v1.Hash]Component // whom a blob is fetched for
}

func gather(ctx context.Context, from source, lock Lock, names, platforms []string, out string, progress Progress) error {
	todo, err := lock.Choose(names)
	if err != nil {
		return err
	}
	want, err := resolve(ctx, from, todo, platforms)
	if err != nil {
		return err
	}
	var to sink
	if strings.HasSuffix(out, ".tar") {
		to, err = newArchiveSink(out, want)
	} else {
		to, err = newDirectorySink(out, want)
	}
	if err != nil {
		return err
	}
	defer to.close()
	if progress == nil {
		progress = func(Pushed) {}
	}
	g := &gatherer{from: from, to: to, want: want, tell: progress, by: map[string]*Pushed{}}
	if err := g.run(ctx); err != nil {
		return err
	}
	return to.finish()
}

// resolve asks for every manifest, so that whatever is missing is said before anything is written.
func resolve(ctx context.Context, from source, todo []Component, platforms []string) (wantedParts, error) {
	w := wantedParts{of: map[v1.Hash]Component{}}
	chosen := make([]Component, len(todo))
	found := make([]parts, len(todo))
	at := map[string]int{}
	for i, c := range todo {
		at[c.Repository] = i
	}
	err := each(todo, func(c Component) (err error) {
		i := at[c.Repository]
		chosen[i], found[i], err = narrow(ctx, from, c, platforms)
		return err
	})
	if err != nil {
		return w, err
	}
	index := emptyIndex()
	lock := Lock{Components: chosen}
	for i, c := range chosen {
		for _, m := range found[i].manifests {
			if _, known := w.of[m.Digest]; !known {
				w.of[m.Digest] = c
				w.manifests = append(w.manifests, m)
			}
		}
		for _, d := range found[i].blobs {
			if _, known := w.of[d.Digest]; !known {
				w.of[d.Digest] = c
				w.blobs = append(w.blobs, d)
			}
		}
		root := found[i].root()
		var head struct {
			ArtifactType string `json:"artifactType"`
		}
		if err := json.Unmarshal(root.raw, &head); err != nil {
			return w, err
		}
		index.Manifests = append(index.Manifests, listed(root.Descriptor, head.ArtifactType, c))
	}
	w.files, err = layout(&lock, &index)
	return w, err
}

// gatherer fetches blobs and tells, for each component, how far it is.
type gatherer struct {
	from source
	to   sink
	want wantedParts

	mu   sync.Mutex
	tell Progress
	by   map[string]*Pushed
	left map[string]int
}

func (g *gatherer) run(ctx context.Context) error {
	g.left = map[string]int{}
	for _, m := range g.want.manifests {
		g.left[g.want.of[m.Digest].Repository]++
	}
	for _, d := range g.want.blobs {
		g.left[g.want.of[d.Digest].Repository]++
	}
	for _, m := range g.want.manifests {
		if err := g.one(m.Descriptor, func() (int64, error) { return 0, g.to.put(m.Descriptor, strings.NewReader(string(m.raw))) }); err != nil {
			return err
		}
	}
	var (
		work, stop = errgroup.WithContext(ctx)
		mu         sync.Mutex
		errs       []error
		said       = map[string]bool{}
	)
	work.SetLimit(parallel)
	for _, d := range g.want.blobs {
		work.Go(func() error {
			if stop.Err() != nil {
				return stop.Err()
			}
			err := g.one(d, func() (int64, error) { return g.fetch(stop, d) })
			if err == nil || stop.Err() != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if !said[err.Error()] {
				said[err.Error()] = true
				errs = append(errs, err)
			}
			var t *Trouble
			if errors.As(err, &t) && t.Class != Unreachable {
				return nil // the others may be had
			}
			return err
		})
	}
	err := work.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case len(errs) > 0:
		return errors.Join(errs...)
	}
	return err
}

// one has a blob in the bundle, and counts it.
func (g *gatherer) one(d v1.Descriptor, get func() (int64, error)) error {
	there, err := g.to.has(d)
	if err != nil {
		return err
	}
	var n int64
	if !there {
		if n, err = get(); err != nil {
			return fmt.Errorf("%w", err)
		}
	}
	c := g.want.of[d.Digest]
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.by[c.Repository]
	if p == nil {
		p = &Pushed{Component: c}
		g.by[c.Repository] = p
	}
	if there {
		p.There += d.Size
	}
	p.Sent += n
	g.left[c.Repository]--
	p.Done = g.left[c.Repository] == 0
	p.Skipped = p.Done && p.Sent == 0
	g.tell(*p)
	return nil
}

// tries is how often a blob is asked for that was cut off on its way.
const tries = 3

func (g *gatherer) fetch(ctx context.Context, d v1.Descriptor) (n int64, err error) {
	for try := 1; ; try++ {
		var got int64
		err = func() error {
			r, err := g.from.blob(ctx, g.want.of[d.Digest], d)
			if err != nil {
				return err
			}
			defer r.Close()
			return g.to.put(d, &counted{ReadCloser: r, count: func(k int64) { got += k }})
		}()
		n += got
		var t *Trouble
		if err == nil || try == tries || !errors.As(err, &t) || t.Class != Truncated {
			return n, err
		}
	}
}
