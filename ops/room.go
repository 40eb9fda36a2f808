package ops

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Room adds to the error of a write at p what its reader needs to mend it: where a file system is full, how much was needed and how much is free,
// and where it may only be read, which one that is. need is the bytes of the whole, 0 where nobody knows. Other errors stay as they are.
func Room(m Machine, p string, need int64, err error) error {
	if !noRoom(err) || errors.As(err, new(*roomError)) {
		return err
	}
	dir := existing(m, p)
	r := room{mount: mountOf(m, dir), need: need}
	var fs unix.Statfs_t
	if unix.Statfs(m.Path(dir), &fs) == nil {
		r.known, r.free, r.inodes, r.inodesFree = true, int64(fs.Bavail)*fs.Bsize, fs.Files, fs.Ffree
	}
	return &roomError{err, r}
}

// roomError is a write that failed because of the file system below it.
type roomError struct {
	err error
	room
}

func (e *roomError) Error() string { return e.err.Error() + ": " + e.why(e.err) }
func (e *roomError) Unwrap() error { return e.err }

// room is what there is of it.
type room struct {
	mount              string
	need, free         int64
	inodes, inodesFree uint64
	known              bool // whether the file system could be asked
}

func (r room) why(err error) string {
	switch {
	case errors.Is(err, unix.EROFS):
		return "the file system mounted on " + r.mount + " may only be read; look in the kernel's log why, and remount it"
	case errors.Is(err, unix.EDQUOT):
		return "the quota of root on " + r.mount + " is used up"
	case !r.known:
		return "the file system mounted on " + r.mount + " is full"
	case r.inodes > 0 && r.inodesFree == 0:
		return fmt.Sprintf("no inodes are left on %s, though %s are free: there are too many small files", r.mount, bytesText(r.free))
	case r.need > 0:
		return fmt.Sprintf("%s are needed, and %s are free on %s", bytesText(r.need), bytesText(r.free), r.mount)
	}
	return fmt.Sprintf("%s are free on %s", bytesText(r.free), r.mount)
}

// noRoom says whether an error is about the file system and not about what is written, so that trying again is of no use.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// existing is the path itself or the nearest directory above it that is there.
func existing(m Machine, p string) string {
	for p != "/" && p != "." {
		if _, err := os.Stat(m.Path(p)); err == nil {
			return p
		}
		p = path.Dir(p)
	}
	return "/"
}

// mountOf is where the file system is mounted that a path is on.
func mountOf(m Machine, p string) string {
	if real, err := resolve(m, p); err == nil {
		p = real
	}
	best := "/"
	mounts, _ := mountsOf(m) // without them it is the root's
	for _, at := range mounts {
		if len(at) >= len(best) && (at == p || strings.HasPrefix(p, strings.TrimSuffix(at, "/")+"/")) {
			best = at
		}
	}
	return best
}

// bytesText is a number of bytes as people read it.
func bytesText(n int64) string {
	value, units := float64(max(0, n)), []string{"KiB", "MiB", "GiB", "TiB"}
	if value < 1024 {
		return fmt.Sprintf("%d bytes", int64(value))
	}
	unit := ""
	for _, unit = range units {
		if value /= 1024; value < 1024 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// counted is a file that knows how much was to be written to it.
type counted struct {
	*os.File
	need, sofar int64
}

// Needs says how large the whole will be.
func (c *counted) Needs(n int64) { c.need = max(c.need, n) }

func (c *counted) Write(p []byte) (int, error) {
	c.sofar += int64(len(p))
	c.Needs(c.sofar)
	return c.File.Write(p)
}

func (c *counted) Seek(offset int64, whence int) (int64, error) {
	at, err := c.File.Seek(offset, whence)
	c.sofar = at
	return at, err
}

// needs tells a writer that wants to know how large the whole will be.
func needs(w any, n int64) {
	if c, ok := w.(interface{ Needs(int64) }); ok && n > 0 {
		c.Needs(n)
	}
}
