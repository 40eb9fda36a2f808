package ops

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// attrs is everything about a new file but its bytes.
type attrs struct {
	mode     uint32
	uid, gid int
	like     string // a file whose extended attributes it gets, too
}

// parents is what an observation of something absent remembers, so that undoing its making leaves no directory behind.
type parents struct {
	NoDirs []string `json:"noDirs,omitempty"` // in observations: the highest directories above it that do not exist either
}

// writeFile gives the file at p new bytes, whole or not at all. They go to a file with a leading dot in the same directory (watchers of static
// pods and drop-ins pass over those), which has its label, owner and mode before it has any content, reaches the disk, and then takes the name.
func writeFile(m Machine, p string, a attrs, fill func(io.Writer) error) error {
	if err := makeParents(m, p); err != nil {
		return err
	}
	temp, err := writeTemp(m, p, a, fill)
	if err != nil {
		return err
	}
	return orClear(m, temp, rename(m, temp, p))
}

// tempOf is where the new bytes of p are written. It is always the same place, so that a crash leaves at most one, and the next try or the undo
// removes it.
func tempOf(p string) string { return path.Join(path.Dir(p), "."+path.Base(p)+".kubewright") }

func writeTemp(m Machine, p string, a attrs, fill func(io.Writer) error) (temp string, err error) {
	temp = tempOf(p)
	real := m.Path(temp)
	if err := changing(m, "write "+p); err != nil {
		return "", err
	}
	if err := removeIfThere(real); err != nil {
		return "", Room(m, p, 0, fmt.Errorf("write %s: %w", p, err))
	}
	var f *os.File
	if err := labelled(m, p, aFile, func() (err error) {
		f, err = os.OpenFile(real, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		return err
	}); err != nil {
		return "", Room(m, p, 0, fmt.Errorf("write %s: %w", p, cause(err)))
	}
	out := &counted{File: f}
	defer func() {
		if err != nil { // the room is looked at when what was written of it is gone
			err = Room(m, p, out.need, fmt.Errorf("write %s: %w", p, errors.Join(cause(err), removeIfThere(real))))
		}
	}()
	err = chown(m, real, a.uid, a.gid)
	if err == nil {
		err = unix.Fchmod(int(f.Fd()), a.mode) // after the owner: a change of owner drops the set-user-ID bit
	}
	if err == nil && a.like != "" {
		err = copyXattrs(m.Path(a.like), f)
	}
	if err == nil {
		err = fill(out)
	}
	if err == nil {
		err = f.Sync()
	}
	return temp, errors.Join(err, f.Close())
}

// rename moves a finished file to its name and makes that last.
func rename(m Machine, temp, p string) error {
	if err := changing(m, "rename to "+p); err != nil {
		return err
	}
	if err := os.Rename(m.Path(temp), m.Path(p)); err != nil {
		return Room(m, p, 0, fmt.Errorf("write %s: %w", p, cause(err)))
	}
	return syncDir(m, path.Dir(p))
}

// orClear removes what was written when it could not take its name.
func orClear(m Machine, temp string, err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, removeIfThere(m.Path(temp)))
}

// remove removes a file or symlink, and what a crash left of writing it. It need not be there.
func remove(m Machine, p string) error {
	for _, p := range []string{p, tempOf(p)} {
		if _, err := os.Lstat(m.Path(p)); missing(err) {
			continue
		}
		if err := changing(m, "remove "+p); err != nil {
			return err
		}
		if err := unix.Unlink(m.Path(p)); err != nil && !missing(err) { // not os.Remove: that also removes directories
			return Room(m, p, 0, fmt.Errorf("remove %s: %w", p, err))
		}
		if err := syncDir(m, path.Dir(p)); err != nil {
			return err
		}
	}
	return nil
}

// link makes p a symlink, in place of whatever file or symlink is there.
func link(m Machine, target, p string) error {
	if err := makeParents(m, p); err != nil {
		return err
	}
	if err := changing(m, "link "+p); err != nil {
		return err
	}
	temp := tempOf(p)
	if err := removeIfThere(m.Path(temp)); err != nil {
		return Room(m, p, 0, fmt.Errorf("link %s: %w", p, err))
	}
	if err := labelled(m, p, aLink, func() error { return os.Symlink(target, m.Path(temp)) }); err != nil {
		return Room(m, p, 0, fmt.Errorf("link %s: %w", p, cause(err)))
	}
	return orClear(m, temp, rename(m, temp, p))
}

// adjust changes owner and mode of the regular file or directory at p, and nothing when they are right.
func adjust(m Machine, p string, a attrs) error {
	fi, err := os.Lstat(m.Path(p))
	if err != nil {
		return fmt.Errorf("%s: %w", p, cause(err))
	}
	uid, gid := ownerOf(m, fi)
	if uid == a.uid && gid == a.gid && modeOf(fi) == a.mode {
		return nil
	}
	if err := changing(m, "change owner and mode of "+p); err != nil {
		return err
	}
	if uid != a.uid || gid != a.gid {
		if err := chown(m, m.Path(p), a.uid, a.gid); err != nil {
			return Room(m, p, 0, fmt.Errorf("%s: %w", p, cause(err)))
		}
	}
	fd, err := unix.Open(m.Path(p), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Fchmod(fd, a.mode), unix.Fsync(fd)); err != nil {
		return Room(m, p, 0, fmt.Errorf("%s: %w", p, err))
	}
	return nil
}

// missingDirs are the highest directories above the paths that do not exist.
func missingDirs(m Machine, paths ...string) parents {
	var out parents
	for _, p := range paths {
		top := ""
		for d := path.Dir(p); d != "/" && d != "."; d = path.Dir(d) {
			if _, err := os.Lstat(m.Path(d)); !missing(err) {
				break
			}
			top = d
		}
		if top != "" && (len(out.NoDirs) == 0 || out.NoDirs[len(out.NoDirs)-1] != top) {
			out.NoDirs = append(out.NoDirs, top)
		}
	}
	return out
}

// prune removes the directories above the paths that did not exist, as far as they are empty.
func (g parents) prune(m Machine, paths ...string) error {
	for _, p := range paths {
		for _, top := range g.NoDirs {
			for d := path.Dir(p); d == top || strings.HasPrefix(d, top+"/"); d = path.Dir(d) {
				if _, err := os.Lstat(m.Path(d)); missing(err) {
					continue
				}
				if err := changing(m, "remove "+d); err != nil {
					return err
				}
				err := unix.Rmdir(m.Path(d))
				if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
					break // somebody else needs it by now
				}
				if err != nil && !missing(err) {
					return fmt.Errorf("remove %s: %w", d, err)
				}
			}
		}
	}
	return nil
}

func makeParents(m Machine, p string) error {
	dir := path.Dir(p)
	if _, err := os.Stat(m.Path(dir)); err == nil {
		return nil
	}
	if err := changing(m, "make "+dir); err != nil {
		return err
	}
	return mkdirs(m, dir)
}

// mkdirs makes a directory and those above it with mode 0755 whatever the umask is.
func mkdirs(m Machine, dir string) error {
	if fi, err := os.Stat(m.Path(dir)); err == nil {
		if !fi.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	if dir != "/" {
		if err := mkdirs(m, path.Dir(dir)); err != nil {
			return err
		}
	}
	if err := labelled(m, dir, aDir, func() error { return os.Mkdir(m.Path(dir), 0o755) }); err != nil && !errors.Is(err, fs.ErrExist) {
		return Room(m, dir, 0, fmt.Errorf("make %s: %w", dir, cause(err)))
	}
	if err := os.Chmod(m.Path(dir), 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, cause(err))
	}
	return syncDir(m, path.Dir(dir))
}
