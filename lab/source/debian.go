package source

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// debian is the content of some Debian packages and of all they depend on, unpacked in memory.
type debian struct {
	files map[string]debFile // by path, as in a system whose /bin, /sbin and /lib are links into /usr
}

type debFile struct {
	pkg  string // NAME=VERSION
	mode int64
	link string // where a symbolic link leads
	data []byte
}

// fetchDebian downloads packages with everything they depend on. The machine's own apt decides from where, and checks
// the signatures; it is told that nothing is installed, so that it leaves nothing out.
func (b *builder) fetchDebian(ctx context.Context, name string, packages []string) (string, error) {
	return b.cached("debian-"+name+"-"+b.key(packages), func(dir string) error {
		if err := os.MkdirAll(filepath.Join(dir, "partial"), 0o755); err != nil {
			return err
		}
		none := filepath.Join(dir, "partial", "status")
		if err := os.WriteFile(none, nil, 0o644); err != nil {
			return err
		}
		argv := []string{"apt-get", "-q", "-y", "--no-install-recommends", "--download-only",
			"-o", "Dir::State::status=" + none,
			"-o", "Dir::Cache::archives=" + dir,
			"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
			"-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=",
			"install"}
		if _, err := run(ctx, dir, append(os.Environ(), "LC_ALL=C"), append(argv, packages...)...); err != nil {
			return err
		}
		return os.RemoveAll(filepath.Join(dir, "partial"))
	})
}

// unpackDebian reads every package in a folder.
func unpackDebian(ctx context.Context, dir string) (debian, error) {
	d := debian{files: map[string]debFile{}}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return d, err
	}
	for _, deb := range debs {
		out, err := run(ctx, dir, nil, "dpkg-deb", "--show", "--showformat=${Package}=${Version}", deb)
		if err != nil {
			return d, err
		}
		archive, err := run(ctx, dir, nil, "dpkg-deb", "--fsys-tarfile", deb)
		if err != nil {
			return d, err
		}
		if err := d.add(string(out), bytes.NewReader(archive)); err != nil {
			return d, fmt.Errorf("%s: %w", filepath.Base(deb), err)
		}
	}
	return d, nil
}

func (d debian) add(pkg string, archive io.Reader) error {
	r := tar.NewReader(archive)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		f := debFile{pkg: pkg, mode: h.Mode & 0o777}
		switch h.Typeflag {
		case tar.TypeReg:
			if f.data, err = io.ReadAll(r); err != nil {
				return err
			}
		case tar.TypeSymlink:
			f.link = h.Linkname
		case tar.TypeLink:
			f = d.files[merged(h.Linkname)]
		default:
			continue
		}
		d.files[merged(h.Name)] = f
	}
}

// merged is a path where /bin, /sbin, /lib and /lib64 are links into /usr, without its leading slash.
func merged(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	first, _, _ := strings.Cut(name, "/")
	if slices.Contains([]string{"bin", "sbin", "lib", "lib64"}, first) {
		return "usr/" + name
	}
	return name
}

// folder reports whether a package has files below that path.
func (d debian) folder(name string) bool {
	for n := range d.files {
		if strings.HasPrefix(n, name+"/") {
			return true
		}
	}
	return false
}

// match returns the paths that a pattern names, sorted.
func (d debian) match(pattern string) ([]string, error) {
	var found []string
	for name := range d.files {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no package has a file %s", pattern)
	}
	slices.Sort(found)
	return found, nil
}
