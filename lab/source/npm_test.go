package source

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/gzip"
)

// What npm is given says by hash what it may fetch, and leaves to the user from where.
func TestThePagesLockSaysWhatAndNotWhere(t *testing.T) {
	text, err := fs.ReadFile(own, page.Shell+"/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(text, []byte("://")); i >= 0 {
		t.Errorf("it names a server: %s", text[max(0, i-60):i+60])
	}
	var lock struct {
		Packages map[string]struct {
			Version, Integrity, Resolved string
			Dependencies                 map[string]string
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	for name, p := range lock.Packages {
		if name != "" && (p.Version == "" || !strings.HasPrefix(p.Integrity, "sha512-") || p.Resolved != "") {
			t.Errorf("%s: version %q, integrity %q, resolved %q", name, p.Version, p.Integrity, p.Resolved)
		}
	}
	var wanted struct{ Dependencies map[string]string }
	if text, err = fs.ReadFile(own, page.Shell+"/package.json"); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &wanted); err != nil {
		t.Fatal(err)
	}
	for name, version := range wanted.Dependencies {
		if strings.ContainsAny(version, "^~><* ") || lock.Packages["node_modules/"+name].Version != version {
			t.Errorf("%s: %s is wanted and %s locked", name, version, lock.Packages["node_modules/"+name].Version)
		}
	}
	if len(lock.Packages) < 100 || len(wanted.Dependencies) < 10 {
		t.Errorf("only %d packages, %d of them wanted", len(lock.Packages), len(wanted.Dependencies))
	}
}

func TestAnotherShellIsAnotherPage(t *testing.T) {
	b := newTestBuilder(t)
	before := b.pageDir()
	defer func() { own = embedded }()
	for _, changed := range embeddedIn(page.Shell) {
		files := fstest.MapFS{}
		for _, name := range embeddedIn(page.Shell) {
			text, err := fs.ReadFile(embedded, name)
			if err != nil {
				t.Fatal(err)
			}
			if name == changed {
				text = append(slices.Clone(text), '\n')
			}
			files[name] = &fstest.MapFile{Data: text}
		}
		own = files
		if b.pageDir() == before {
			t.Errorf("%s is another one, and the page the same", changed)
		}
	}
}

func TestOnlyWhatIsNeededIsUnpacked(t *testing.T) {
	var archive bytes.Buffer
	z := gzip.NewWriter(&archive)
	w := tar.NewWriter(z)
	for _, name := range []string{"package/package.json", "package/lib/a/b.js", "package/bin/tool.js", "package/lib/../../evil", "package/lib/../../../evil", "/package/lib/evil"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("x"))
	}
	if err := w.WriteHeader(&tar.Header{Name: "package/lib/link", Typeflag: tar.TypeSymlink, Linkname: "/etc"}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	z.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "p.tgz")
	if err := os.WriteFile(file, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unpackNPM(file, filepath.Join(dir, "a", "b"), []string{"package.json", "lib/"}); err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, dir); !slices.Equal(got, []string{"a/b/lib/a/b.js", "a/b/package.json", "p.tgz"}) {
		t.Errorf("unpacked: %q", got)
	}
}

func filesIn(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLargerTextsOfAPageAreThereCompressedToo(t *testing.T) {
	dir := t.TempDir()
	large := strings.Repeat("var a; ", 1000)
	for name, text := range map[string]string{"index.html": large, "assets/a.js": large, "assets/small.js": "x", "assets/a.woff2": large} {
		if err := writeFile(filepath.Join(dir, name), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := compressPage(dir); err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, dir); !slices.Equal(got, []string{"assets/a.js", "assets/a.js.gz", "assets/a.woff2", "assets/small.js", "index.html"}) {
		t.Errorf("there are %q", got)
	}
	f, err := os.Open(filepath.Join(dir, "assets/a.js.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || string(got) != large {
		t.Errorf("%d bytes come out, %v", len(got), err)
	}
}

// Once the page is built it goes into the image as it is.
func TestAPageIsPartOfAnImage(t *testing.T) {
	b := newTestBuilder(t)
	if err := writeFile(filepath.Join(b.cache, b.pageDir(), "assets/a.js"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	got := tree{}
	if err := b.addPage(got, "headlamp/page"); err != nil {
		t.Fatal(err)
	}
	n, ok := got["headlamp/page/assets/a.js"]
	if len(got) != 1 || !ok || n.size != 1 || n.mode != 0o644 {
		t.Errorf("got %v", got)
	}
}
