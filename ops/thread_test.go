package ops

import (
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// However many are taken aside at once, the process and its main thread stay in their own namespaces.
func TestAsideLeavesTheProcessWhereItIs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may leave a namespace")
	}
	where := func() string {
		net, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		mnt, _ := os.Readlink("/proc/self/ns/mnt")
		return net + mnt
	}
	before := where()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if err := Aside(func() error {
				if unix.Gettid() == unix.Getpid() {
					t.Error("it is the main thread")
				}
				return unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS)
			}); err != nil {
				t.Error(err)
			}
		})
		if now := where(); now != before {
			t.Fatalf("the process was in %s and is in %s", before, now)
		}
	}
	wg.Wait()
	if now := where(); now != before {
		t.Errorf("the process was in %s and is in %s", before, now)
	}
}
