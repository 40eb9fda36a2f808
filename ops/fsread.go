package ops

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func syncDir(m Machine, dir string) error {
	d, err := os.Open(m.Path(dir))
	if err != nil {
		if missing(err) {
			return nil
		}
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) { // /proc and its like
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func removeIfThere(real string) error {
	if err := unix.Unlink(real); err != nil && !missing(err) {
		return err
	}
	return nil
}

// missing says whether an error means that there is nothing at a path, or no directory to hold it.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// cause drops the path from a file's error where the sentence around it already has it.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// modeOf is the permission bits with set-user-ID, set-group-ID and sticky where chmod(2) has them.
func modeOf(fi os.FileInfo) uint32 { return fi.Sys().(*syscall.Stat_t).Mode & 0o7777 }

func copyXattrs(from string, to *os.File) error {
	names := make([]byte, 64<<10)
	n, err := unix.Listxattr(from, names)
	if err != nil {
		return nil // a file system without them
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Getxattr(from, name, value)
		if err != nil {
			continue
		}
		if err := unix.Fsetxattr(int(to.Fd()), name, value[:n], 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

// readSmall reads a regular file of at most a mebibyte that must not be a symlink where follow is false. Absent files give nil.
func readSmall(m Machine, p string, follow bool) ([]byte, error) {
	flags := unix.O_NONBLOCK
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	f, err := os.OpenFile(m.Path(p), os.O_RDONLY|flags, 0)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, cause(err))
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, cause(err))
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", p)
	}
	data, err := io.ReadAll(io.LimitReader(f, small+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, cause(err))
	}
	if len(data) > small {
		return nil, fmt.Errorf("%s is larger than a mebibyte", p)
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}

// small is the size up to which a file's bytes are put into an observation.
const small = 1 << 20

// exists says whether there is anything at p on the machine.
func exists(m Machine, p string) bool {
	_, err := os.Lstat(filepath.Clean(m.Path(p)))
	return err == nil
}

// gone says whether an error means that there was nothing to unmount.
func gone(err error) bool { return missing(err) || errors.Is(err, unix.EINVAL) }
