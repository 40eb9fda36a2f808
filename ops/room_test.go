package ops

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRoomSaysWhatIsNeeded(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		room room
		want string
	}{
		{"full", unix.ENOSPC, room{mount: "/var", need: 5 << 20, free: 1536, inodes: 10, inodesFree: 5, known: true}, "5.0 MiB are needed, and 1.5 KiB are free on /var"},
		{"full, and nobody knows of what", unix.ENOSPC, room{mount: "/", free: 12, known: true}, "12 bytes are free on /"},
		{"without inodes", unix.ENOSPC, room{mount: "/", need: 1, free: 3 << 40, inodes: 10, known: true}, "no inodes are left on /, though 3.0 TiB are free: there are too many small files"},
		{"on a file system without inodes", unix.ENOSPC, room{mount: "/", need: 2048, free: 100, known: true}, "2.0 KiB are needed, and 100 bytes are free on /"},
		{"unasked", unix.ENOSPC, room{mount: "/x"}, "the file system mounted on /x is full"},
		{"read-only", unix.EROFS, room{mount: "/usr"}, "the file system mounted on /usr may only be read; look in the kernel's log why, and remount it"},
		{"over the quota", unix.EDQUOT, room{mount: "/home"}, "the quota of root on /home is used up"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := &roomError{fmt.Errorf("write /x: %w", row.err), row.room}
			if want := "write /x: " + row.err.Error() + ": " + row.want; err.Error() != want || !errors.Is(err, row.err) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// TestRoomNamesTheMount: of several the one that the path is on, though that is not there yet.
func TestRoomNamesTheMount(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/proc/self/mountinfo", "1 0 0:1 / / rw - x x x\n2 1 0:2 / /usr rw - x x x\n3 2 0:3 / /usr/local\\040x rw - x x x\n4 1 0:4 / /var rw - x x x\n", 0o644)
	w.write(t, "/usr/local x/bin/there", "", 0o644)
	for path, want := range map[string]string{"/usr/local x/bin/new/er": "/usr/local x", "/usr/bin/x": "/usr", "/usrlocal": "/", "/etc/x": "/"} {
		err := Room(w, path, 1<<62, unix.EROFS)
		if !strings.Contains(err.Error(), "mounted on "+want+" may") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := Room(w, "/etc/x", 0, unix.EACCES); err != unix.EACCES {
		t.Errorf("another error became %v", err)
	}
	err := Room(w, "/etc/x", 1<<60, fmt.Errorf("write: %w", unix.ENOSPC))
	if again := Room(w, "/etc/x", 0, err); again != err || strings.Count(err.Error(), "needed") != 1 {
		t.Errorf("got %v and %v", err, again)
	}
}

// TestAFullDiskIsToldOnce writes to a file that is full, as a download would.
func TestAFullDiskIsToldOnce(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	c := &counted{File: full}
	needs(c, 1<<20)
	_, err = io.Copy(c, strings.NewReader("x"))
	if !noRoom(err) || c.need != 1<<20 {
		t.Errorf("got %v, %d needed", err, c.need)
	}
	w := newWorld(t)
	asked := 0
	err = writeFile(w, "/etc/x", attrs{mode: 0o644}, func(out io.Writer) error {
		asked++
		needs(out, 1<<50)
		return unix.ENOSPC
	})
	if err == nil || !strings.HasPrefix(err.Error(), "write /etc/x: no space left on device: 1024.0 TiB are needed, and ") || asked != 1 {
		t.Errorf("got %v after %d tries", err, asked)
	}
	if exists(w, "/etc/x") || exists(w, tempOf("/etc/x")) {
		t.Error("something was left")
	}
}
