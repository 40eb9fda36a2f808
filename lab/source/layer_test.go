package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kubewright/kubewright/bundle"
)

var specimenTree = tree{
	"usr/bin/tool":  fileNode([]byte("#!tool"), 0o755),
	"usr/bin/alias": {link: "tool"},
	"tmp":           {mode: 0o1777, dir: true},
	"bin":           {link: "usr/bin"},
}

func TestALayerIsSortedTimelessAndRoots(t *testing.T) {
	var buf bytes.Buffer
	if err := writeTar(&buf, specimenTree); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&buf); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s: owner %d:%d, time %s", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		got = append(got, fmt.Sprintf("%s %o %s", h.Name, h.Mode, h.Linkname))
	}
	want := []string{"bin 777 usr/bin", "tmp/ 1777 ", "usr/ 755 ", "usr/bin/ 755 ", "usr/bin/alias 777 tool", "usr/bin/tool 755 "}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestTheSameTreeMakesTheSameLayer(t *testing.T) {
	open := map[string]func(io.Reader) (io.Reader, error){
		bundle.KindImage: func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
		bundle.KindGzip:  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	}
	add := func(f form) bundle.Layer {
		dir := t.TempDir()
		w, err := bundle.Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		l, err := addLayer(w, f, specimenTree)
		if err != nil {
			t.Fatal(err)
		}
		blob, err := os.Open(filepath.Join(dir, "blobs", "sha256", l.Descriptor.Digest.Hex))
		if err != nil {
			t.Fatal(err)
		}
		defer blob.Close()
		z, err := open[f.kind](blob)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := tar.NewReader(z).Next(); err != nil || h.Name != "bin" {
			t.Errorf("the blob is not the compressed archive: %v", err)
		}
		return l
	}
	var first bundle.Layer
	for i, f := range forms {
		one, two := add(f), add(f)
		if one.Descriptor.Digest != two.Descriptor.Digest || one.DiffID != two.DiffID || one.DiffID == one.Descriptor.Digest {
			t.Errorf("%+v\n%+v", one, two)
		}
		if i == 0 {
			first = one
		} else if one.DiffID != first.DiffID || one.Descriptor.Digest == first.Descriptor.Digest {
			t.Errorf("the forms are not the same layer, compressed in two ways:\n%+v\n%+v", first, one)
		}
	}
}

func TestAFileThatCannotBeReadFailsTheLayer(t *testing.T) {
	w, err := bundle.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk on fire")
	_, err = addLayer(w, forms[0], tree{"a": {size: 1, open: func() (io.ReadCloser, error) { return nil, broken }}})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// packages are two Debian packages from before and after /bin became a link.
func packages(t *testing.T) debian {
	t.Helper()
	d := debian{files: map[string]debFile{}}
	for pkg, entries := range map[string][]tar.Header{
		"old=1": {
			{Name: "./bin/", Typeflag: tar.TypeDir},
			{Name: "./bin/ip", Typeflag: tar.TypeReg, Mode: 0o4755},
			{Name: "./lib64/ld.so", Typeflag: tar.TypeSymlink, Linkname: "/lib/ld-2.so"},
			{Name: "./lib/ld-2.so", Typeflag: tar.TypeReg, Mode: 0o755},
			{Name: "./usr/share/doc/old/copyright", Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "./usr/share/man/ip.8", Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "./usr/share/page/js", Typeflag: tar.TypeSymlink, Linkname: "../js"},
			{Name: "./usr/share/js/page.js", Typeflag: tar.TypeReg, Mode: 0o644},
			{Name: "./usr/share/js/other.js", Typeflag: tar.TypeReg, Mode: 0o644},
		},
		"new=2": {
			{Name: "./usr/sbin/nft", Typeflag: tar.TypeSymlink, Linkname: "../bin/nft-real"},
			{Name: "./usr/bin/nft-real", Typeflag: tar.TypeReg, Mode: 0o755},
			{Name: "./usr/bin/same", Typeflag: tar.TypeLink, Linkname: "./usr/bin/nft-real"},
		},
	} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, h := range entries {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.add(pkg, &buf); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestALayerTakesWhatIsNamedAndWhatThatNeeds(t *testing.T) {
	r := debianLayer{
		Files: []string{"usr/bin/ip", "usr/sbin/n*", "usr/lib64/ld.so", "usr/share/page/*", "usr/share/js/page.js"},
		Links: map[string]string{"usr/bin/alias": "ip"},
	}
	got, from, err := r.tree(packages(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"usr/bin/ip", "usr/sbin/nft", "usr/bin/nft-real", "usr/lib64/ld.so", "usr/lib/ld-2.so",
		"usr/bin/alias", "usr/share/doc/old/copyright", "bin", "etc/passwd", "usr/share/page/js", "usr/share/js/page.js"} {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is not in the layer", name)
		}
	}
	for _, name := range []string{"usr/share/man/ip.8", "usr/bin/same", "usr/share/js/other.js"} {
		if _, ok := got[name]; ok {
			t.Errorf("%s is in the layer", name)
		}
	}
	if got["usr/bin/ip"].mode != 0o755 {
		t.Errorf("ip has mode %o: the set-uid bit must not come along", got["usr/bin/ip"].mode)
	}
	if want := []string{"new=2", "old=1"}; !slices.Equal(from, want) {
		t.Errorf("from %v, want %v", from, want)
	}
}

func TestAFileThatNoPackageHasIsNamed(t *testing.T) {
	_, _, err := debianLayer{Files: []string{"usr/bin/missing"}}.tree(packages(t))
	if err == nil || !strings.Contains(err.Error(), "no package has a file usr/bin/missing") {
		t.Errorf("got %v", err)
	}
}
