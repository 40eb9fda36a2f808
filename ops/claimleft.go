package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a cluster's components leave behind besides links, rules, mounts and processes: parameters of the kernel that they set, lock files and sockets, and
// empty control groups.

// valuesOf reads parameters of the kernel. One that it does not have has no value to go back to.
func valuesOf(ctx context.Context, m Machine, names []string) (map[string]string, error) {
	var out map[string]string
	for _, name := range names {
		seen, err := Sysctl{Name: name}.Observe(ctx, m)
		if err != nil {
			return nil, err
		}
		if value := seen.(Sysctl).Value; value != "" {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = value
		}
	}
	return out, nil
}

// setBack gives parameters the values that they had.
func setBack(ctx context.Context, m Machine, names []string, values map[string]string) error {
	for _, name := range names {
		wish := Sysctl{Name: name, Value: values[name]}
		seen, err := wish.Observe(ctx, m)
		if err != nil {
			return err
		}
		if wish.same(seen) || seen.(Sysctl).Value == "" { // it went with its module
			continue
		}
		if err := wish.Set(ctx, m, seen); err != nil {
			return err
		}
	}
	return nil
}

// filesOf lists which of the paths there are.
func filesOf(m Machine, paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		_, err := os.Lstat(m.Path(p))
		if err != nil && !missing(err) {
			return nil, fmt.Errorf("%s: %w", p, cause(err))
		}
		if err == nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// removeFiles removes what was made in passing. A directory goes if it is empty, a file if nobody holds a lock on it: otherwise somebody else needs it
// by now.
func removeFiles(m Machine, paths []string) error {
	for _, p := range slices.Backward(slices.Sorted(slices.Values(paths))) { // what is in a directory before the directory
		fi, err := os.Lstat(m.Path(p))
		if missing(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, cause(err))
		}
		if err := changing(m, "remove "+p); err != nil {
			return err
		}
		switch {
		case fi.IsDir():
			if err := safeToRemove(p); err != nil {
				return err
			}
			err = unix.Rmdir(m.Path(p))
			if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
				continue
			}
		case flocked(m.Path(p), fi):
			continue
		default:
			err = unix.Unlink(m.Path(p))
		}
		if err != nil && !missing(err) {
			return fmt.Errorf("remove %s: %w", p, err)
		}
	}
	return nil
}

// flocked says whether some process holds a lock on a file.
func flocked(real string, fi fs.FileInfo) bool {
	if !fi.Mode().IsRegular() {
		return false
	}
	f, err := os.OpenFile(real, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// cgroupsLinger is how long the kernel may take to let go of a control group whose last process has just ended.
const cgroupsLinger = 5 * time.Second

// removeCgroups removes the empty control groups of a slice that has ended. With version 1 of cgroups systemd removes those in the hierarchies that it
// uses itself, and the others stay as the container runtime made them.
func removeCgroups(ctx context.Context, m Machine, slice string) error {
	where := path.Join("/sys/fs/cgroup", "*", cgroupOfSlice(slice))
	tops, err := filepath.Glob(m.Path(where))
	if err != nil {
		return err
	}
	for _, top := range append(tops, m.Path(path.Join("/sys/fs/cgroup", cgroupOfSlice(slice)))) {
		var dirs []string
		err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil // what is gone is gone
		})
		if err != nil {
			return err
		}
		for _, dir := range slices.Backward(dirs) {
			if err := changing(m, "remove "+dir); err != nil {
				return err
			}
			if err := removeCgroup(ctx, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func removeCgroup(ctx context.Context, dir string) error {
	for end := time.Now().Add(cgroupsLinger); ; {
		err := unix.Rmdir(dir)
		switch {
		case err == nil || missing(err):
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(end):
			return fmt.Errorf("remove the control group %s: %w", dir, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cgroupOfSlice is where systemd has a slice: a-b.slice lies in a.slice (man 5 systemd.slice).
func cgroupOfSlice(slice string) string {
	at, name := "", strings.TrimSuffix(slice, ".slice")
	for i, r := range name {
		if r == '-' {
			at = path.Join(at, name[:i]+".slice")
		}
	}
	return path.Join(at, slice)
}
