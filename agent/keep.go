package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

const keptName = "kept"

// kept is a file that was put aside before the first change to its path, or before the last run's first change to it. The file below kept/ is the old inode itself where the
// file system lets us link it, else a copy. What a chmod or chown of the live file would change on a linked inode is written down as well.
type kept struct {
	Path   string            `json:"path"`
	Name   string            `json:"name"` // below kept/
	Mode   uint32            `json:"mode"`
	UID    int               `json:"uid"`
	GID    int               `json:"gid"`
	Atime  int64             `json:"atime"` // nanoseconds
	Mtime  int64             `json:"mtime"`
	Xattrs map[string][]byte `json:"xattrs,omitempty"` // the SELinux label and ACLs are among them
}

// touches are the files that an op may replace or remove.
func touches(op ops.Op) []string {
	if t, ok := op.(interface{ Touches() []string }); ok {
		return t.Touches()
	}
	return nil
}

// keep puts aside every regular file and symlink that the op may replace, and returns what it kept: the originals, unless they lie aside already, and
// of our own earlier work what the runs before this one left.
func keep(m ops.Machine, dir string, j *journal, op ops.Op) (originals, aside []kept, err error) {
	known := j.index[op.Key()]
	for _, path := range touches(op) {
		if j.last.knows(op.Key(), path) {
			continue
		}
		live := m.Path(path)
		info, err := os.Lstat(live)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if t := info.Mode().Type(); t != 0 && t != fs.ModeSymlink {
			continue
		}
		k, err := describeFile(live)
		if err != nil {
			return nil, nil, err
		}
		k.Path = path
		// Another program may write into a file as it lies: then a second name for it would hold no original.
		if k.Name, err = putAside(live, filepath.Join(dir, keptName), path, k, writtenByOthers(op.Key())); err != nil {
			return nil, nil, fmt.Errorf("keep %s: %w", path, err)
		}
		if known != nil && known.ours[path] || j.keeps(path) {
			aside = append(aside, k)
		} else {
			originals = append(originals, k)
		}
	}
	if originals == nil && aside == nil {
		return nil, nil, nil
	}
	return originals, aside, syncDir(filepath.Join(dir, keptName))
}

// putAside links or copies the live file below store under a name nobody has yet. A name without a record, left by a crash between the two, is
// never taken for an original and goes with the rest.
func putAside(live, store, path string, k kept, asCopy bool) (string, error) {
	if err := os.Mkdir(store, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	escaped := url.PathEscape(path)
	if len(escaped) > 200 {
		escaped = escaped[len(escaped)-200:]
	}
	for seq := 1; ; seq++ {
		name := fmt.Sprintf("%04d-%s", seq, escaped)
		err := duplicate(live, filepath.Join(store, name), k, asCopy)
		if !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
}

// putBack makes path the kept original again: bytes, mode, owner, extended attributes and times. The kept file stays, so that a crash
// right after can be repeated.
func putBack(m ops.Machine, dir string, k kept) error {
	live, store := m.Path(k.Path), filepath.Join(dir, keptName, k.Name)
	aside, err := os.Lstat(store)
	if err != nil {
		return fmt.Errorf("the original of %s is gone: %w", k.Path, err)
	}
	if now, err := os.Lstat(live); err == nil && os.SameFile(now, aside) {
		return describeOnto(live, k)
	}
	if err := os.MkdirAll(filepath.Dir(live), 0o755); err != nil {
		return err
	}
	temp := m.Path(tempOf(k.Path))
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := duplicate(store, temp, k, false); err != nil {
		return err
	}
	err = describeOnto(temp, k)
	if err == nil {
		err = os.Rename(temp, live)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(live))
}

// tempOf is where new bytes of path wait to take its name: the same place as the ops use, so that whatever a crash leaves is swept by whoever comes
// next.
func tempOf(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".kubewright")
}

// duplicate gives a file a second name, or, where that cannot be (another file system, an immutable file) or must not be, makes an equal one.
func duplicate(from, to string, k kept, asCopy bool) error {
	if !asCopy {
		if err := os.Link(from, to); err == nil || errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := copyFile(from, to); err != nil {
		return err
	}
	if err := describeOnto(to, k); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

func copyFile(from, to string) error {
	if target, err := os.Readlink(from); err == nil {
		return os.Symlink(target, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

// describeFile reads everything about a file but its bytes.
func describeFile(path string) (k kept, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return k, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	k = kept{Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid), Atime: unix.TimespecToNsec(st.Atim), Mtime: unix.TimespecToNsec(st.Mtim)}
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil { // a file system without them
		return k, nil
	}
	for _, name := range splitNul(names[:n]) {
		value := make([]byte, 64<<10)
		if n, err := unix.Lgetxattr(path, name, value); err == nil {
			if k.Xattrs == nil {
				k.Xattrs = map[string][]byte{}
			}
			k.Xattrs[name] = value[:n]
		}
	}
	return k, nil
}

// describeOnto sets everything about a file but its bytes, and touches nothing that is right: a change of owner would drop capabilities, so the
// extended attributes follow it, and the times come last.
func describeOnto(path string, k kept) error {
	now, err := describeFile(path)
	if err != nil {
		return err
	}
	link, err := isSymlink(path)
	if err != nil {
		return err
	}
	if now.UID != k.UID || now.GID != k.GID {
		if err := os.Lchown(path, k.UID, k.GID); err != nil {
			return err
		}
		now.Mode, now.Xattrs = 0o10000, nil // whatever they were
	}
	if now.Mode != k.Mode && !link {
		if err := unix.Chmod(path, k.Mode); err != nil {
			return &fs.PathError{Op: "chmod", Path: path, Err: err}
		}
	}
	for name := range now.Xattrs {
		if _, ok := k.Xattrs[name]; !ok {
			_ = unix.Lremovexattr(path, name) // security.selinux cannot be removed, only set
		}
	}
	for name, value := range k.Xattrs {
		if string(now.Xattrs[name]) == string(value) && now.Xattrs[name] != nil {
			continue
		}
		if err := unix.Lsetxattr(path, name, value, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return &fs.PathError{Op: "set " + name + " of", Path: path, Err: err}
		}
	}
	times := []unix.Timespec{unix.NsecToTimespec(k.Atime), unix.NsecToTimespec(k.Mtime)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "set times of", Path: path, Err: err}
	}
	return nil
}

func isSymlink(path string) (bool, error) {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == fs.ModeSymlink, err
}

func splitNul(b []byte) (parts []string) {
	for start, i := 0, 0; i < len(b); i++ {
		if b[i] == 0 {
			parts, start = append(parts, string(b[start:i])), i+1
		}
	}
	return parts
}
