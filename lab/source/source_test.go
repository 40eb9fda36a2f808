package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/bundle"
)

func TestWhatIsInTheCacheIsNotMadeAgain(t *testing.T) {
	b := newTestBuilder(t)
	made := 0
	fill := func(dir string) error {
		made++
		return os.WriteFile(filepath.Join(dir, "program"), nil, 0o755)
	}
	for range 2 {
		dir, err := b.cached("programs-x", fill)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "program")); err != nil {
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
}

func TestHalfABuildIsNeverTakenForOne(t *testing.T) {
	b := newTestBuilder(t)
	dead := errors.New("killed")
	_, err := b.cached("programs-x", func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o755); err != nil {
			return err
		}
		return dead
	})
	if !errors.Is(err, dead) || !strings.HasPrefix(err.Error(), "build programs-x: ") {
		t.Errorf("got %v", err)
	}
	// What a kill leaves: a temporary folder that nobody tidied.
	if err := os.MkdirAll(filepath.Join(b.cache, unfinished+"programs-x", "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := b.cached("programs-x", func(dir string) error { return os.WriteFile(filepath.Join(dir, "whole"), nil, 0o755) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "half")); err == nil {
		t.Error("the half of before is part of it")
	}
}

func TestSweepLeavesWhatIsFinished(t *testing.T) {
	b := newTestBuilder(t)
	for _, name := range []string{".new-bundle-1", ".module-2", "bundle-1", "programs-runc-3"} {
		if err := os.MkdirAll(filepath.Join(b.cache, name, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.sweep()
	left, _ := os.ReadDir(b.cache)
	if len(left) != 2 || left[0].Name() != "bundle-1" || left[1].Name() != "programs-runc-3" {
		t.Errorf("left %v", left)
	}
}

func TestOldBundlesMakeRoom(t *testing.T) {
	b := newTestBuilder(t)
	now := time.Now()
	for i, name := range []string{"bundle-new", "bundle-a", "bundle-b", "bundle-c", "bundle-d"} {
		dir := filepath.Join(b.cache, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		// The one just built is the oldest by its date: it stays all the same.
		age := time.Duration((i+4)%5) * time.Hour
		if err := os.Chtimes(dir, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	b.prune(filepath.Join(b.cache, "bundle-new"))
	left, _ := filepath.Glob(filepath.Join(b.cache, "bundle-*"))
	if len(left) != bundlesKept || filepath.Base(left[0]) != "bundle-a" || filepath.Base(left[2]) != "bundle-new" {
		t.Errorf("left %v", left)
	}
}

func TestACopyReplacesOnlyABundle(t *testing.T) {
	made := func(version string) string {
		dir := filepath.Join(t.TempDir(), "bundle")
		w, err := bundle.Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.AddFile(bundle.Component{Name: "tool", Version: version}, os.Args[0]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	b := newTestBuilder(t)
	one, two := made("v1"), made("v2")
	out := filepath.Join(t.TempDir(), "a", "b")
	for _, dir := range []string{one, one, two} {
		if err := b.copyTo(out, dir); err != nil {
			t.Fatal(err)
		}
		got, err := bundle.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{one: "v1", two: "v2"}[dir]; got.Lock.Components[0].Version != want {
			t.Errorf("the copy holds %s, want %s", got.Lock.Components[0].Version, want)
		}
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "thesis"), []byte("years of work"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.copyTo(home, one); err == nil || !strings.Contains(err.Error(), "is not empty and not a bundle") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(home, "thesis")); err != nil {
		t.Error(err)
	}
}

func TestAFailedToolSaysItsLastLine(t *testing.T) {
	_, err := run(t.Context(), "", nil, "go", "run", "no-such-file.go")
	var failed *CommandError
	if !errors.As(err, &failed) || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "go run: exit status 1: ") {
		t.Errorf("got %v", err)
	}
}
