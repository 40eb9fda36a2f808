package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// total is what a move told at its end.
func total(seen map[string]Pushed) (sent, there int64) {
	for _, p := range seen {
		sent, there = sent+p.Sent, there+p.There
	}
	return sent, there
}

func TestWhatIsPulledIsTheBundleItself(t *testing.T) {
	b := open(t, specimen(t))
	s := httptest.NewServer(shelf(t, b))
	defer s.Close()
	dir := filepath.Join(t.TempDir(), "out")
	must(t, Pull(t.Context(), Registry{Address: s.URL}, b.Lock, nil, nil, dir, nil))
	for _, name := range []string{indexFile, lockFile, layoutFile} {
		one, err := os.ReadFile(filepath.Join(b.Dir, name))
		must(t, err)
		two, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if !bytes.Equal(one, two) {
			t.Errorf("%s differs:\n%s\n%s", name, one, two)
		}
	}
	must(t, open(t, dir).Verify(t.Context()))
}

// TestAnArchiveIsTheSameHoweverItWasMade: from a directory, from a registry, from another archive.
func TestAnArchiveIsTheSameHoweverItWasMade(t *testing.T) {
	b := open(t, specimen(t))
	s := httptest.NewServer(shelf(t, b))
	defer s.Close()
	dir := t.TempDir()
	one, two, three := filepath.Join(dir, "one.tar"), filepath.Join(dir, "two.tar"), filepath.Join(dir, "three.tar")
	must(t, Pack(t.Context(), b, nil, nil, one, nil))
	must(t, Pull(t.Context(), Registry{Address: s.URL}, b.Lock, nil, nil, two, nil))
	must(t, Pack(t.Context(), open(t, one), nil, nil, three, nil))
	want, err := os.ReadFile(one)
	must(t, err)
	for _, name := range []string{two, three} {
		got, err := os.ReadFile(name)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs", filepath.Base(name))
		}
		must(t, open(t, name).Verify(t.Context()))
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(want)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		names = append(names, h.Name)
	}
	if names[0] != layoutFile || names[1] != lockFile || names[2] != indexFile || len(names) < 8 {
		t.Errorf("it holds %v", names)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Each row is what an earlier pull left, and how much a second one fetches: all that is not there as it should be, and no more.
func TestAPullThatWasCutOffFetchesWhatIsMissing(t *testing.T) {
	b := open(t, specimen(t))
	runc, err := b.Lock.File("runc")
	must(t, err)
	s := httptest.NewServer(shelf(t, b))
	defer s.Close()
	for _, row := range []struct {
		name    string
		damage  func(t *testing.T, blob string)
		fetched int64
	}{
		{"nothing is missing", func(*testing.T, string) {}, 0},
		{"a blob is missing", func(t *testing.T, blob string) { must(t, os.Remove(blob)) }, 4000},
		{"a blob is cut off", func(t *testing.T, blob string) { must(t, os.Truncate(blob, 100)) }, 4000},
		{"a blob has other bytes", func(t *testing.T, blob string) { must(t, flip(blob)) }, 4000},
		{"a blob was being written", func(t *testing.T, blob string) {
			must(t, os.Rename(blob, filepath.Join(filepath.Dir(blob), fresh+"123")))
		}, 4000},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			at := Registry{Address: s.URL}
			must(t, Pull(t.Context(), at, b.Lock, nil, nil, dir, nil))
			row.damage(t, filepath.Join(dir, blobName(runc.Digest)))
			seen := map[string]Pushed{}
			must(t, Pull(t.Context(), at, b.Lock, nil, nil, dir, func(p Pushed) { seen[p.Component.Repository] = p }))
			if got, _ := total(seen); got != row.fetched {
				t.Errorf("fetched %d bytes, not %d", got, row.fetched)
			}
			must(t, open(t, dir).Verify(t.Context()))
			if left, _ := filepath.Glob(filepath.Join(dir, "blobs/sha256", fresh+"*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAnArchiveThatWasCutOffGoesOn(t *testing.T) {
	b := open(t, specimen(t))
	f := &faulty{Handler: shelf(t, b)}
	s := httptest.NewServer(f)
	defer s.Close()
	name := filepath.Join(t.TempDir(), "x.tar")
	f.wrong = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasPrefix(r.URL.Path, "/v2/bin/runc/blobs/") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}
	err := Pull(t.Context(), Registry{Address: s.URL}, b.Lock, nil, nil, name, nil)
	expect(t, err, "bin/runc:v1.0.0: 403")
	if _, err := os.Stat(name); err == nil {
		t.Fatal("an archive that is not complete has the name of one")
	}
	f.wrong = nil
	seen := map[string]Pushed{}
	must(t, Pull(t.Context(), Registry{Address: s.URL}, b.Lock, nil, nil, name, func(p Pushed) { seen[p.Component.Repository] = p }))
	if sent, there := total(seen); sent != 4000 || there < 7000 {
		t.Errorf("sent %d, there %d", sent, there)
	}
	// An archive that is there gives what it has to one with more or less in it.
	clear(seen)
	must(t, Pull(t.Context(), Registry{Address: s.URL}, b.Lock, []string{"bin/runc", "kubelet"}, nil, name, func(p Pushed) { seen[p.Component.Repository] = p }))
	if sent, _ := total(seen); sent != 0 || len(open(t, name).Lock.Components) != 2 {
		t.Errorf("sent %d", sent)
	}
}

func TestWhatIsSomebodyElsesIsLeftAlone(t *testing.T) {
	b := open(t, specimen(t))
	dir := t.TempDir()
	other, text := filepath.Join(dir, "home"), filepath.Join(dir, "x.tar")
	must(t, os.Mkdir(other, 0o755))
	must(t, os.WriteFile(filepath.Join(other, "letter"), []byte("mine"), 0o600))
	must(t, os.WriteFile(text, []byte("mine"), 0o600))
	for _, out := range []string{other, text} {
		if err := Pack(t.Context(), b, nil, nil, out, nil); !errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v", out, err)
		}
	}
	if got, _ := os.ReadFile(text); string(got) != "mine" {
		t.Errorf("it was written over: %q", got)
	}
}

// TestTwoDoNotWriteOneArchive: who comes second is told so, and what the first writes is its own.
func TestTwoDoNotWriteOneArchive(t *testing.T) {
	b := open(t, specimen(t))
	next := shelf(t, b)
	name := filepath.Join(t.TempDir(), "x.tar")
	var second error
	var once sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/bin/runc/blobs/") {
			once.Do(func() { second = Pack(t.Context(), b, []string{"bin/runc"}, nil, name, nil) })
		}
		next.ServeHTTP(w, r)
	}))
	defer s.Close()
	must(t, Pull(t.Context(), Registry{Address: s.URL}, b.Lock, nil, nil, name, nil))
	if !errors.Is(second, ErrTaken) || !strings.Contains(second.Error(), "x.tar.part is being written by somebody else") {
		t.Errorf("the second: %v", second)
	}
	must(t, open(t, name).Verify(t.Context()))
}

// TestAnArchiveWithOneNameTwiceIsRefused: it would say one thing to us and another to the next program.
func TestAnArchiveWithOneNameTwiceIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.tar")
	f, err := os.Create(name)
	must(t, err)
	w := tar.NewWriter(f)
	for _, entry := range []string{"lock.json", "oci-layout", "a/../lock.json"} {
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: entry, Size: 2, Mode: 0o644}))
		_, err := w.Write([]byte("{}"))
		must(t, err)
	}
	must(t, errors.Join(w.Close(), f.Close()))
	_, err = Open(name)
	expect(t, err, "it has lock.json twice")
}

func TestAPackedArchiveIsRefusedWithItsPacker(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.tar")
	must(t, os.WriteFile(name, []byte("\x1f\x8b\x08\x00 and so on"), 0o600))
	_, err := Open(name)
	expect(t, err, "packed with gzip; unpack it first")
	must(t, os.WriteFile(name, []byte(strings.Repeat("x", 4096)), 0o600))
	_, err = Open(name)
	expect(t, err, "not a tar file")
}

// several is a bundle with an image for two platforms, and where its index is.
func several(t *testing.T) *Bundle {
	t.Helper()
	dir := t.TempDir()
	w, err := Create(dir)
	must(t, err)
	index := emptyIndex()
	for _, arch := range []string{"amd64", "arm64"} {
		layer, err := w.AddBlob(strings.NewReader(strings.Repeat(arch, 300)), types.OCILayer)
		must(t, err)
		raw, err := json.Marshal(v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{layer.Digest}}})
		must(t, err)
		config, err := w.AddBlob(bytes.NewReader(raw), types.OCIConfigJSON)
		must(t, err)
		raw, err = json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{layer}})
		must(t, err)
		m, err := w.AddBlob(bytes.NewReader(raw), types.OCIManifestSchema1)
		must(t, err)
		m.Platform = &v1.Platform{OS: "linux", Architecture: arch}
		index.Manifests = append(index.Manifests, m)
	}
	raw, err := json.Marshal(index)
	must(t, err)
	root, err := w.AddBlob(bytes.NewReader(raw), types.OCIImageIndex)
	must(t, err)
	c := Component{Kind: KindImage, Name: "pause", Version: "3", Repository: "pause", Platform: "linux/amd64,linux/arm64", Digest: root.Digest.String(), Size: 1, Source: "x"}
	w.lock.Components = append(w.lock.Components, c)
	w.index.Manifests = append(w.index.Manifests, listed(root, "", c))
	must(t, w.Close())
	return open(t, dir)
}

func TestPlatformsAreChosen(t *testing.T) {
	single := open(t, specimen(t))
	both := several(t)
	for _, row := range []struct {
		name      string
		of        *Bundle
		image     string
		platforms []string
		is        string // the platform that the new lock says
		same      bool   // and the digest of the old one
		words     string
	}{
		{"as it is", both, "pause", nil, "linux/amd64,linux/arm64", true, ""},
		{"all", both, "pause", []string{"linux/amd64", "linux/arm64"}, "linux/amd64,linux/arm64", true, ""},
		{"one", both, "pause", []string{"linux/arm64"}, "linux/arm64", false, ""},
		{"one that is not there", both, "pause", []string{"linux/s390x"}, "", false, "pause:3: it is there for linux/amd64, linux/arm64, and not for linux/s390x"},
		{"one of an image for one", single, "kubelet", []string{"linux/amd64"}, "linux/amd64", true, ""},
		{"among others", single, "kubelet", []string{"linux/arm64", "linux/amd64"}, "linux/amd64", true, ""},
		{"another of an image for one", single, "kubelet", []string{"linux/arm64"}, "", false, "kubelet:1.2.3-0: it is for linux/amd64, and linux/arm64 was asked for"},
		{"a program for another", single, "bin/runc", []string{"linux/arm64"}, "", false, "bin/runc:v1.0.0: it is for linux/amd64"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := httptest.NewServer(shelf(t, row.of))
			defer s.Close()
			dir := filepath.Join(t.TempDir(), "x.tar")
			err := Pull(t.Context(), Registry{Address: s.URL}, row.of.Lock, []string{row.image}, row.platforms, dir, nil)
			if row.words != "" {
				expect(t, err, row.words)
				var told *Trouble
				if !errors.As(err, &told) || told.Class != WrongKind {
					t.Errorf("it is of class %v", told)
				}
				return
			}
			must(t, err)
			got := open(t, dir)
			must(t, got.Verify(t.Context()))
			c := got.Lock.Components[0]
			old, err := row.of.Lock.Choose([]string{row.image})
			must(t, err)
			if c.Platform != row.is || (c.Digest == old[0].Digest) != row.same {
				t.Errorf("got %+v", c)
			}
			// What was chosen can go on from there.
			must(t, Push(t.Context(), got, newShop(t).registry(), nil, nil))
		})
	}
}

// TestALockThatLiesAboutAPlatformIsFound: its digests are right and what is behind them is for other machines.
func TestALockThatLiesAboutAPlatformIsFound(t *testing.T) {
	b := open(t, specimen(t))
	s := httptest.NewServer(shelf(t, b))
	defer s.Close()
	lock := Lock{}
	for _, c := range b.Lock.Components {
		if c.Repository == "kubelet" {
			c.Platform = "linux/arm64"
			lock.Components = append(lock.Components, c)
		}
	}
	expect(t, Pull(t.Context(), Registry{Address: s.URL}, lock, nil, nil, filepath.Join(t.TempDir(), "x"), nil), "it is for linux/amd64, and the lock says linux/arm64")
	found, err := Check(t.Context(), Registry{Address: s.URL}, lock, nil)
	if err != nil || found[0].State != StateKind {
		t.Errorf("check: %+v, %v", found, err)
	}
}
