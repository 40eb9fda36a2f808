package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLockNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	holder := Holder{User: "ann", Workstation: "desk", Run: "r1", PID: 7, Since: time.Unix(1700000000, 0).UTC(), Cluster: "demo"}
	one, err := acquire(path, holder)
	if err != nil {
		t.Fatal(err)
	}
	_, err = acquire(path, Holder{User: "bob"})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Holder != holder {
		t.Fatalf("the second got %v", err)
	}
	if want := "another run holds the lock of this host: ann@desk, run r1, since 2023-11-14T22:13:20Z, for cluster demo"; err.Error() != want {
		t.Errorf("it says %q", err)
	}
	one.release()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the lock left its file: %v", err)
	}
}

// The file that a killed holder left, or one that somebody wrote, holds nobody up.
func TestLockFileAloneIsNoLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, []byte(strings.Repeat("long and stale ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	one, err := acquire(path, Holder{User: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	defer one.release()
	var locked *LockedError
	if _, err := acquire(path, Holder{}); !errors.As(err, &locked) || locked.Holder.User != "ann" {
		t.Errorf("the second got %v", err)
	}
}

func TestLockDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := errors.Join(os.WriteFile(target, []byte("precious"), 0o600), os.Symlink(target, filepath.Join(dir, "lock"))); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(filepath.Join(dir, "lock"), Holder{}); err == nil {
		t.Error("a link was locked")
	}
	if content, _ := os.ReadFile(target); string(content) != "precious" {
		t.Errorf("what the link pointed to is now %q", content)
	}
}

// However many come and go at once, never do two hold it.
func TestLockContention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, got atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				l, err := acquire(path, Holder{User: "u"})
				var locked *LockedError
				if errors.As(err, &locked) {
					continue
				}
				if err != nil {
					t.Errorf("neither locked nor free: %v", err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				got.Add(1)
				inside.Add(-1)
				l.release()
			}
		})
	}
	wg.Wait()
	if got.Load() == 0 {
		t.Error("nobody ever got it")
	}
}
