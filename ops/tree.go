package ops

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// removeTree unmounts what is mounted at or below a directory of ours and removes it with everything in it.
func removeTree(m Machine, dir string) error {
	if !exists(m, dir) {
		return nil
	}
	if err := safeToRemove(dir); err != nil {
		return err
	}
	if fi, err := os.Lstat(m.Path(dir)); err == nil && !fi.IsDir() {
		return fmt.Errorf("%s is not a directory any more", dir)
	}
	if err := unmountBelow(m, dir, true); err != nil {
		return err
	}
	if err := changing(m, "empty "+dir); err != nil {
		return err
	}
	if err := emptyAt(m.Path(dir), false); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	if err := changing(m, "remove "+dir); err != nil {
		return err
	}
	if err := unlink(unix.AT_FDCWD, m.Path(dir), unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return syncDir(m, path.Dir(dir))
}

// emptyTree unmounts what is mounted below a directory and removes everything in it. The directory itself stays, and
// with it a file system that was mounted on it before.
func emptyTree(m Machine, dir string) error {
	dir, err := resolve(m, dir)
	if err != nil {
		return err
	}
	if err := safeToRemove(dir); err != nil {
		return err
	}
	if err := unmountBelow(m, dir, false); err != nil {
		return err
	}
	if err := changing(m, "empty "+dir); err != nil {
		return err
	}
	if err := emptyAt(m.Path(dir), true); err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	return syncDir(m, dir)
}

// resolve follows symlinks, and refuses to leave the machine's root where that is not this process'.
func resolve(m Machine, p string) (string, error) {
	root := strings.TrimSuffix(m.Path("/"), "/")
	real, err := filepath.EvalSymlinks(m.Path(p))
	if err != nil {
		return "", fmt.Errorf("%s: %w", p, cause(err))
	}
	if realRoot, err := filepath.EvalSymlinks(root + "/"); err == nil {
		root = strings.TrimSuffix(realRoot, "/")
	}
	rest, ok := strings.CutPrefix(real, root+"/")
	if !ok {
		return "", fmt.Errorf("%s leads out of the machine", p)
	}
	return "/" + rest, nil
}

// unmountBelow detaches every mount below dir, and dir's own with self, what was mounted last first.
func unmountBelow(m Machine, dir string, self bool) error {
	mounts, err := mountsOf(m)
	if err != nil {
		return err
	}
	kernel, err := kernelOf(m)
	if err != nil {
		return err
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		at := mounts[i]
		if !strings.HasPrefix(at, dir+"/") && !(self && at == dir) {
			continue
		}
		if err := changing(m, "unmount "+at); err != nil {
			return err
		}
		if err := kernel.Unmount(at); err != nil && !gone(err) {
			return fmt.Errorf("unmount %s: %w", at, err)
		}
	}
	return nil
}

// mountsOf lists where file systems are mounted, in the order in which it happened.
func mountsOf(m Machine) ([]string, error) {
	data, err := os.ReadFile(m.Path("/proc/self/mountinfo"))
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 {
			out = append(out, unescapeMount(f[4]))
		}
	}
	return out, nil
}

// unescapeMount undoes the kernel's octal for white space and backslash.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// emptyAt removes everything in a directory. It goes by file descriptors, follows no symlink and refuses to enter another mount: what
// was mounted there by somebody while we were at it is not ours.
func emptyAt(real string, keepLostFound bool) error {
	fd, err := unix.Open(real, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return err
	}
	return emptyFD(fd, st.Dev, keepLostFound)
}

func emptyFD(fd int, dev uint64, keepLostFound bool) error {
	dir := os.NewFile(uintptr(fd), "")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if keepLostFound && name == lostFound {
			continue
		}
		if err := removeAt(fd, name, dev); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			if len(errs) == 3 {
				break
			}
		}
	}
	return errors.Join(errs...)
}

func removeAt(fd int, name string, dev uint64) error {
	err := unlink(fd, name, 0)
	if err == nil || missing(err) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) { // EPERM is POSIX' word for a directory
		return err
	}
	sub, openErr := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if openErr != nil {
		return err
	}
	if mounted(sub, dev) {
		unix.Close(sub)
		return errors.New("another file system is mounted there")
	}
	if err := emptyFD(sub, dev, false); err != nil {
		return err
	}
	if err := unlink(fd, name, unix.AT_REMOVEDIR); err != nil && !missing(err) {
		return err
	}
	return nil
}

// mounted says whether a directory is the root of a mount; kernels before 5.8 cannot tell, and there another device is enough.
func mounted(fd int, dev uint64) bool {
	var x unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, &x)
	if err == nil && x.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	var st unix.Stat_t
	return unix.Fstat(fd, &st) != nil || st.Dev != dev
}

// From linux/fs.h.
const immutable, appendOnly = 0x10, 0x20

// unlink removes a name, also of a file that somebody made immutable: in a tree of ours that was a container's doing.
func unlink(fd int, name string, flags int) error {
	err := unix.Unlinkat(fd, name, flags)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	f, openErr := unix.Openat(fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if openErr != nil {
		return err
	}
	defer unix.Close(f)
	old, getErr := unix.IoctlGetInt(f, unix.FS_IOC_GETFLAGS)
	if getErr != nil || old&(immutable|appendOnly) == 0 {
		return err
	}
	if unix.IoctlSetPointerInt(f, unix.FS_IOC_SETFLAGS, old&^(immutable|appendOnly)) != nil {
		return err
	}
	return unix.Unlinkat(fd, name, flags)
}
