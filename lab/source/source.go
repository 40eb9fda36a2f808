// Package source builds the bundle from where its parts are published: Go modules, checked against the checksum
// database, and Debian packages, through the machine's own apt. It needs no registry and no container engine.
//
// Everything is kept: a second build has nothing to do, a changed recipe builds its own part again, and a build that was
// killed goes on where it was.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/bundle"
)

// Options says where a build works.
type Options struct {
	CacheDir string       // kubewright's folder in the user's cache folder, if empty
	Out      string       // where a copy of the bundle is to be; if empty, it stays in CacheDir, in a folder named after its recipes
	Log      func(string) // told what is being done; may be nil
}

// builder is one build.
type builder struct {
	cache      string
	want       bundle.Wanted
	goVersion  string
	goSettings []string // NAME=VALUE, of the user's
	log        func(string)
}

// Build makes the bundle and returns its directory.
func Build(ctx context.Context, o Options) (string, error) {
	b, err := newBuilder(ctx, o)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.cache, b.bundleDir())
	if _, err := bundle.Open(dir); err == nil {
		b.log("the bundle is there: " + dir)
	} else if err := b.build(ctx, dir); err != nil {
		return "", err
	}
	if o.Out == "" {
		return dir, nil
	}
	return o.Out, b.copyTo(o.Out, dir)
}

// bundleDir is where the bundle is kept. The names of its programs' folders say what went into them.
func (b *builder) bundleDir() string {
	parts := []any{bundle.WantText(), images, sharedLayers, b.pauseDir(), b.pageDir(), assembled}
	for _, r := range goBuilds {
		parts = append(parts, b.programs(r))
	}
	for _, s := range streams {
		parts = append(parts, b.streamDir(s))
	}
	return "bundle-" + b.key(parts...)
}

// build makes the bundle in the cache.
func (b *builder) build(ctx context.Context, dir string) error {
	unlock, err := b.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := bundle.Open(dir); err == nil {
		return nil // another build made it while this one waited
	}
	b.sweep()
	if err := b.compile(ctx); err != nil {
		return err
	}
	if err := b.assemble(ctx, dir); err != nil {
		return err
	}
	b.prune(dir)
	return nil
}

// copyTo copies the bundle to where the user wants it. A folder that is something else is never replaced.
func (b *builder) copyTo(out, dir string) error {
	old, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(old) == 0:
	case err != nil:
		return err
	default:
		have, err := bundle.Open(out)
		if err != nil {
			return fmt.Errorf("%s is not empty and not a bundle: %w", out, err)
		}
		made, err := bundle.Open(dir)
		if err != nil {
			return err
		}
		if reflect.DeepEqual(have.Lock, made.Lock) {
			return nil
		}
	}
	b.log("copying to " + out)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return intoPlace(out, func(tmp string) error { return os.CopyFS(tmp, os.DirFS(dir)) })
}

func newBuilder(ctx context.Context, o Options) (*builder, error) {
	b := &builder{cache: o.CacheDir, want: bundle.Want(), log: o.Log}
	if b.log == nil {
		b.log = func(string) {}
	}
	if b.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		b.cache = filepath.Join(dir, "kubewright")
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return nil, err
	}
	return b, b.askGo(ctx)
}

// key names the result of something: it changes whenever any of the parts, the Go version or the platform does.
func (b *builder) key(parts ...any) string {
	h := sha256.New()
	e := json.NewEncoder(h)
	for _, p := range append([]any{format, b.goVersion, bundle.Platform}, parts...) {
		if err := e.Encode(p); err != nil {
			panic(err) // recipes are plain data
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// format changes when the code that everything kept comes from does.
const format = 1

// assembled changes when only what makes a bundle of programs does.
const assembled = 2

// lock keeps a second build of the same user waiting.
func (b *builder) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.cache, "build.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		b.log("waiting for another build")
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
	}
	return func() { f.Close() }, nil
}

// sweep removes what a build that was killed left lying about.
func (b *builder) sweep() {
	for _, pattern := range []string{unfinished + "*", modules + "*"} {
		left, err := filepath.Glob(filepath.Join(b.cache, pattern))
		if err != nil {
			continue
		}
		for _, name := range left {
			os.RemoveAll(name)
		}
	}
}

// The beginnings of names of temporary folders.
const (
	unfinished = ".new-"
	modules    = ".module-"
)

// cached returns the folder of that name in the cache. If it is not there, fill makes it, in a folder that takes the
// name only when it is complete.
func (b *builder) cached(name string, fill func(dir string) error) (string, error) {
	dir := filepath.Join(b.cache, name)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	start := time.Now()
	b.log("building " + name)
	if err := intoPlace(dir, fill); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	b.log(fmt.Sprintf("built %s in %s", name, time.Since(start).Round(100*time.Millisecond)))
	return dir, nil
}

// intoPlace lets fill write a folder beside its final place and then moves it there in one step.
func intoPlace(dir string, fill func(dir string) error) error {
	tmp := filepath.Join(filepath.Dir(dir), unfinished+filepath.Base(dir))
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// bundlesKept is how many bundles stay in the cache. They are large, and each change of a recipe makes another one.
const bundlesKept = 3

// prune removes the oldest bundles.
func (b *builder) prune(keep string) {
	dirs, err := filepath.Glob(filepath.Join(b.cache, "bundle-*"))
	if err != nil {
		return
	}
	dirs = slices.DeleteFunc(dirs, func(d string) bool { return d == keep })
	slices.SortFunc(dirs, func(a, c string) int { return modified(c).Compare(modified(a)) })
	for _, d := range dirs[min(len(dirs), bundlesKept-1):] {
		b.log("removing an old bundle: " + d)
		os.RemoveAll(d)
	}
}

func modified(name string) time.Time {
	fi, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}
