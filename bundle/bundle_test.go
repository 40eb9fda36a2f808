package bundle

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// specimen writes a small bundle: two programs and an image of two layers.
func specimen(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubelet", "runc"} {
		program := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(program, bytes.Repeat([]byte(name), 1000), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := w.AddFile(Component{Name: name, Version: "v1.0.0", Platform: Platform, Source: "example.com/" + name + "@v1.0.0"}, program); err != nil {
			t.Fatal(err)
		}
	}
	var layers []Layer
	for _, text := range []string{"base", "own"} {
		d, err := w.AddBlob(strings.NewReader(strings.Repeat(text, 500)), types.OCILayerZStd)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, Layer{Descriptor: d, DiffID: d.Digest})
	}
	c := Component{Kind: KindImage, Name: "kubelet", Version: "1.2.3-0", Platform: Platform, Source: "example.com/kubelet@v1.2.3"}
	if err := w.AddImage(c, v1.ConfigFile{Config: v1.Config{Entrypoint: []string{"/kubelet"}}}, layers...); err != nil {
		t.Fatal(err)
	}
	c.Kind = KindGzip
	if err := w.AddImage(c, v1.ConfigFile{Config: v1.Config{Entrypoint: []string{"/kubelet"}}}, layers[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir string) *Bundle {
	t.Helper()
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestABundleIsReadAsItWasWritten(t *testing.T) {
	b := open(t, specimen(t))
	f, err := b.Lock.File("kubelet")
	if err != nil {
		t.Fatal(err)
	}
	if f.Repository != "bin/kubelet" || f.Size != 7000 || f.Digest == f.Manifest {
		t.Errorf("program: %+v", f)
	}
	r, err := b.Blob(f.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, bytes.Repeat([]byte("kubelet"), 1000)) {
		t.Errorf("the program's blob is not the program (%d bytes, %v)", len(got), err)
	}
	i, err := b.Lock.Image("kubelet")
	if err != nil {
		t.Fatal(err)
	}
	if i.Repository != "kubelet" || i.ManifestDigest() != i.Digest || i.Size <= 3500 {
		t.Errorf("image: %+v", i)
	}
	z, err := b.Lock.Gzip("kubelet")
	if err != nil {
		t.Fatal(err)
	}
	if z.Repository != "gzip/kubelet" || z.ManifestDigest() != z.Digest || z.Digest == i.Digest {
		t.Errorf("image for docker: %+v", z)
	}
	if err := b.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheSamePartsMakeTheSameBundle(t *testing.T) {
	one, two := specimen(t), specimen(t)
	for _, name := range []string{indexFile, lockFile} {
		a, _ := os.ReadFile(filepath.Join(one, name))
		b, _ := os.ReadFile(filepath.Join(two, name))
		if len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("%s differs:\n%s\n%s", name, a, b)
		}
	}
}

func TestReferencesAreThoseOfKubeadm(t *testing.T) {
	const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	const registry = "192.168.1.100:5000"
	image := Component{Kind: KindImage, Name: "etcd", Repository: "etcd", Version: "3.6.8-0", Digest: digest}
	file := Component{Kind: KindFile, Name: "kubelet", Repository: "bin/kubelet", Version: "v1.36.4", Digest: "sha256:f", Manifest: digest}
	for _, row := range []struct{ got, want string }{
		{image.Reference(registry), registry + "/etcd:3.6.8-0@" + digest},
		{image.Pinned(registry), registry + "/etcd@" + digest},
		{image.Tagged(registry), registry + "/etcd:3.6.8-0"},
		{file.Reference(registry), registry + "/bin/kubelet:v1.36.4@" + digest},
		{file.BlobPath(), "/v2/bin/kubelet/blobs/sha256:f"},
	} {
		if row.got != row.want {
			t.Errorf("got  %s\nwant %s", row.got, row.want)
		}
	}
}

func TestAnUnknownNameIsAnsweredWithTheKnownOnes(t *testing.T) {
	l := open(t, specimen(t)).Lock
	_, err := l.File("kubectl")
	if err == nil || !strings.Contains(err.Error(), `no file "kubectl" (it has kubelet, runc)`) {
		t.Errorf("got %v", err)
	}
	if _, err := l.Image("runc"); err == nil {
		t.Error("a program was taken for an image")
	}
}

// Each row damages a bundle in one way and says where that is noticed, and with which words.
func TestADamagedBundleIsRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		damage func(t *testing.T, b *Bundle)
		open   string // what Open says, if it notices
		verify string // what Verify says, if Open does not
	}{
		{"nothing", func(*testing.T, *Bundle) {}, "", ""},
		{"no layout file", remove(layoutFile), "this is not a bundle", ""},
		{"no lock", remove(lockFile), "no such file", ""},
		{"lock cut short", truncate(lockFile), "lock.json: unexpected EOF", ""},
		{"lock of a later version", replace(lockFile, `"components"`, `"parts"`), `unknown field "parts"`, ""},
		{"lock of nothing", func(t *testing.T, b *Bundle) {
			must(t, os.WriteFile(filepath.Join(b.Dir, lockFile), []byte("{}"), 0o644))
		}, "the lock names no components", ""},
		{"name that leads elsewhere", replace(lockFile, `"name": "runc"`, `"name": "../runc"`), "the name is not a repository name", ""},
		{"digest that leads elsewhere", replace(lockFile, `"digest": "sha256:`, `"digest": "sha256:../`), "is not a sha256 digest", ""},
		{"listed twice", replace(lockFile, "bin/runc", "bin/kubelet"), "bin/kubelet: listed twice", ""},
		{"program missing", onBlob(func(n string) error { return os.Remove(n) }), "component bin/runc: blob sha256:", ""},
		{"program cut short", onBlob(func(n string) error { return os.Truncate(n, 10) }), "has 10 bytes instead of 4000", ""},
		{"program flipped", onBlob(flip), "", "component bin/runc: blob sha256:"},
		{"manifest flipped", func(t *testing.T, b *Bundle) {
			c, _ := b.Lock.File("runc")
			must(t, flip(b.path(c.Manifest)))
		}, "the bundle is damaged", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := specimen(t)
			row.damage(t, open(t, dir))
			b, err := Open(dir)
			if row.open != "" {
				expect(t, err, row.open)
				return
			}
			must(t, err)
			err = b.Verify(t.Context())
			if row.verify != "" {
				expect(t, err, row.verify)
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("not ErrDamaged: %v", err)
				}
				return
			}
			must(t, err)
		})
	}
}

func TestAFalseBlobIsNeverHandedOutInFull(t *testing.T) {
	b := open(t, specimen(t))
	c, _ := b.Lock.File("runc")
	must(t, flip(b.path(c.Digest)))
	r, err := b.Blob(c.Digest)
	must(t, err)
	defer r.Close()
	// A reader that knows the length, as an HTTP client does.
	n, err := io.Copy(io.Discard, io.LimitReader(r, c.Size))
	if !errors.Is(err, ErrDamaged) || n == c.Size {
		t.Errorf("read %d of %d bytes: %v", n, c.Size, err)
	}
}

func TestTheTableNamesEverything(t *testing.T) {
	var out strings.Builder
	must(t, open(t, specimen(t)).Lock.Table(&out))
	for _, want := range []string{"bin/kubelet", "bin/runc", "1.2.3-0", "example.com/runc@v1.0.0", "4 components"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func remove(name string) func(*testing.T, *Bundle) {
	return func(t *testing.T, b *Bundle) { must(t, os.Remove(filepath.Join(b.Dir, name))) }
}

func truncate(name string) func(*testing.T, *Bundle) {
	return func(t *testing.T, b *Bundle) { must(t, os.Truncate(filepath.Join(b.Dir, name), 100)) }
}

func replace(name, old, new string) func(*testing.T, *Bundle) {
	return func(t *testing.T, b *Bundle) {
		text, err := os.ReadFile(filepath.Join(b.Dir, name))
		must(t, err)
		changed := strings.Replace(string(text), old, new, 1)
		if changed == string(text) {
			t.Fatalf("%s has no %s", name, old)
		}
		must(t, os.WriteFile(filepath.Join(b.Dir, name), []byte(changed), 0o644))
	}
}

// onBlob does something to the program runc.
func onBlob(do func(name string) error) func(*testing.T, *Bundle) {
	return func(t *testing.T, b *Bundle) {
		c, err := b.Lock.File("runc")
		must(t, err)
		must(t, do(b.path(c.Digest)))
	}
}

// flip changes one bit.
func flip(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(name, data, 0o644)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("got  %v\nwant %s", err, words)
	}
}
