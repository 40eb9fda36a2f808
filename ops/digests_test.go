package ops

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A digest is believed for as long as the kernel says that the file is as it was when it was written, also by a later process.
func TestDigestsAreRemembered(t *testing.T) {
	const ours = "sha256:as we wrote it"
	for _, row := range []struct {
		name   string
		do     func(path string) error
		forget bool
	}{
		{"nothing", func(string) error { return nil }, false},
		{"reading", func(p string) error { _, err := os.ReadFile(p); return err }, false},
		{"other bytes", func(p string) error { return os.WriteFile(p, []byte("other"), 0o600) }, true},
		{"other bytes, and the time set back", func(p string) error {
			fi, err := os.Stat(p)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(p, []byte("BYTES"), 0o600), os.Chtimes(p, fi.ModTime(), fi.ModTime()))
		}, true},
		{"another file", func(p string) error {
			return errors.Join(os.WriteFile(p+".new", []byte("bytes"), 0o600), os.Rename(p+".new", p))
		}, true},
		{"another mode", func(p string) error { return os.Chmod(p, 0o640) }, true},
		{"nothing that is left", os.Remove, true},
	} {
		for _, later := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				path := filepath.Join(dir, "file")
				if err := os.WriteFile(path, []byte("bytes"), 0o600); err != nil {
					t.Fatal(err)
				}
				m := NewHost(dir, nil)
				remember(m, path, ours)
				time.Sleep(2 * blur)
				if later {
					if err := SaveDigests(m); err != nil {
						t.Fatal(err)
					}
					m = NewHost(dir, nil)
				}
				if err := row.do(path); err != nil {
					t.Fatal(err)
				}
				got, err := digestFile(t.Context(), m, path)
				if got == "" && err == nil || (got == ours) == row.forget {
					t.Errorf("later %t: %q, %v", later, got, err)
				}
			})
		}
	}
}

// What was written a moment ago may change once more without any sign, so it is not written down.
func TestDigestsOfTheLastMomentAreNotSaved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	m := NewHost(dir, nil)
	if err := os.WriteFile(path, []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	remember(m, path, "sha256:x")
	if err := SaveDigests(m); err != nil {
		t.Fatal(err)
	}
	if got, err := digestFile(t.Context(), NewHost(dir, nil), path); got != digestOf([]byte("bytes")) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestBrokenDigestsAreNotMissed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(path, []byte("bytes"), 0o600), os.WriteFile(filepath.Join(dir, digestsName), []byte(`{"half`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got, err := digestFile(t.Context(), NewHost(dir, nil), path); got != digestOf([]byte("bytes")) {
		t.Errorf("%q, %v", got, err)
	}
}
