package source

import (
	"archive/tar"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/kubewright/kubewright/bundle"
)

// pageBuild is a web page that vite builds from an npm package and a shell of ours around it.
type pageBuild struct {
	Name   string   // also the name in the cache
	Source string   // a key of the lock's sources: the package
	Shell  string   // in the embedded tree; its package-lock.json says what else is used, each with its hash
	Unpack string   // where in the shell the package is put
	Take   []string // what the package's files that are needed begin with
}

// npm is what the module of a source begins with that is no Go module.
const npm = "npm:"

// page is all that npm has a part in.
var page = pageBuild{Name: "headlamp-page", Source: "headlamp", Shell: "_headlamp", Unpack: "headlamp", Take: []string{"package.json", "lib/"}}

// pageDir is where the page is kept.
func (b *builder) pageDir() string {
	parts := []any{page, b.want.Sources[page.Source]}
	for _, name := range embeddedIn(page.Shell) {
		text, err := fs.ReadFile(own, name)
		if err != nil {
			panic(err) // a test builds every key
		}
		parts = append(parts, name, text)
	}
	return "page-" + page.Name + "-" + b.key(parts...)
}

// buildPage builds the page. No script of any package is run by npm; vite, which the lock names, is all that runs.
func (b *builder) buildPage(ctx context.Context, p pageBuild, out string) error {
	work, err := os.MkdirTemp(b.cache, modules)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, name := range embeddedIn(p.Shell) {
		text, err := fs.ReadFile(own, name)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(work, strings.TrimPrefix(name, p.Shell+"/")), text); err != nil {
			return err
		}
	}
	archive, err := b.fetchNPM(ctx, work, b.want.Sources[p.Source])
	if err != nil {
		return err
	}
	if err := unpackNPM(archive, filepath.Join(work, p.Unpack), p.Take); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(archive), err)
	}
	if _, err := run(ctx, work, nodeEnv(), "npm", "ci", "--ignore-scripts", "--include=optional", "--no-audit", "--no-fund", "--logs-max=0"); err != nil {
		return err
	}
	if _, err := run(ctx, work, nodeEnv(), "node", "node_modules/vite/bin/vite.js", "build", "--emptyOutDir", "--outDir", out); err != nil {
		return err
	}
	return compressPage(out)
}

// nodeEnv is ours without what would make another page.
func nodeEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NODE_") || strings.HasPrefix(v, "VITE_") })
}

// fetchNPM downloads a package, through the user's own npm, and checks it against the lock.
func (b *builder) fetchNPM(ctx context.Context, dir string, s bundle.Source) (string, error) {
	name := strings.TrimPrefix(s.Module, npm) + "@" + s.Version
	if _, err := run(ctx, dir, nodeEnv(), "npm", "pack", "--ignore-scripts", "--pack-destination", dir, name); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("npm pack %s: made %d archives, %v", name, len(found), err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		return "", err
	}
	sum := sha512.Sum512(data)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != s.Sum {
		return "", fmt.Errorf("%s has the sum %s, and the lock says %s", name, got, s.Sum)
	}
	return found[0], nil
}

// unpackNPM unpacks the files of a package whose names begin with any of these.
func unpackNPM(archive, dir string, take []string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean(h.Name), "package/")
		wanted := slices.ContainsFunc(take, func(t string) bool { return strings.HasPrefix(name, t) })
		if h.Typeflag != tar.TypeReg || !wanted || !filepath.IsLocal(name) {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
}

// compressPage puts beside each larger text what browsers can read as well, a quarter of its size.
func compressPage(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !slices.Contains([]string{".css", ".js", ".svg"}, path.Ext(name)) {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil || len(data) < 4<<10 {
			return err
		}
		f, err := os.Create(name + ".gz")
		if err != nil {
			return err
		}
		defer f.Close()
		z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := z.Write(data); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		return f.Close()
	})
}

func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// addPage puts the page into an image.
func (b *builder) addPage(t tree, to string) error {
	from := filepath.Join(b.cache, b.pageDir())
	return filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		t[path.Join(to, rel)] = node{mode: 0o644, size: fi.Size(), open: func() (io.ReadCloser, error) { return os.Open(name) }}
		return nil
	})
}
