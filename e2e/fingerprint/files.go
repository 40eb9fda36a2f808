package fingerprint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// files tells every file of the host's own file systems: type, owner, mode, size, extended attributes, and the digest or the link's target; the time of
// change of those in /etc, for whoever sorts by it.
func files(ctx context.Context, o Options) ([]Fact, error) {
	self, _ := os.Executable()
	w := &walker{root: o.Root, skip: append(slices.Clone(o.Skip), self), work: make(chan string)}
	var hashers sync.WaitGroup
	for range runtime.NumCPU() {
		hashers.Go(func() {
			for path := range w.work {
				w.add(w.describe(path))
			}
		})
	}
	err := filepath.WalkDir(o.Root, func(path string, d fs.DirEntry, err error) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return w.visit(path, d, err)
	})
	close(w.work)
	hashers.Wait()
	return w.facts, errors.Join(append(w.errs, err)...)
}

type walker struct {
	root string
	skip []string
	work chan string

	mu    sync.Mutex
	facts []Fact
	errs  []error
}

// name is a path as the host calls it.
func (w *walker) name(path string) string {
	return "/" + strings.TrimPrefix(strings.TrimPrefix(path, strings.TrimSuffix(w.root, "/")), "/")
}

func (w *walker) visit(path string, d fs.DirEntry, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went while we looked
	}
	if err != nil {
		return err
	}
	name := w.name(path)
	if slices.Contains(w.skip, name) || told(name) == never && !above(name) {
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if d.IsDir() && foreign(path) {
		return fs.SkipDir // told as a mount
	}
	if told(name) != never {
		w.work <- path
	}
	return nil
}

// above says whether something that is told lies below a path that is not.
func above(p string) bool {
	return slices.ContainsFunc(places, func(pl place) bool { return pl.how != never && strings.HasPrefix(pl.path, p+"/") })
}

// pseudo are file systems without files of their own, by their number in statfs(2).
var pseudo = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.DEBUGFS_MAGIC,
	unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.NSFS_MAGIC, unix.BINFMTFS_MAGIC, unix.PSTOREFS_MAGIC, unix.HUGETLBFS_MAGIC,
	unix.SELINUX_MAGIC, unix.EFIVARFS_MAGIC, unix.AUTOFS_SUPER_MAGIC, unix.NFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, 0x19800202 /* mqueue */, 0x67596969, /* rpc_pipefs */
}

func foreign(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && slices.Contains(pseudo, int64(st.Type))
}

func (w *walker) add(facts []Fact, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.facts = append(w.facts, facts...)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.errs = append(w.errs, err)
	}
}

func (w *walker) describe(path string) ([]Fact, error) {
	name := w.name(path)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	value := fmt.Sprintf("%s %04o %d:%d", kind(st.Mode), st.Mode&0o7777, st.Uid, st.Gid)
	all := told(name) == whole
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		value += fmt.Sprintf(" %d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		value += " -> " + target
	case unix.S_IFREG:
		if all {
			sum, err := digest(path)
			if err != nil {
				return nil, err
			}
			value += fmt.Sprintf(" %d %s", st.Size, sum)
		}
	}
	facts := []Fact{{"file", name, value + xattrs(path)}}
	if typ := st.Mode & unix.S_IFMT; all && typ != unix.S_IFDIR && strings.HasPrefix(name, "/etc/") {
		facts = append(facts, Fact{"mtime", name, time.Unix(st.Mtim.Unix()).UTC().Format(time.RFC3339Nano)})
	}
	return facts, nil
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "dir"
	case unix.S_IFLNK:
		return "link"
	case unix.S_IFREG:
		return "file"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFCHR:
		return "char"
	case unix.S_IFBLK:
		return "block"
	}
	return "unknown"
}

func digest(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOATIME, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// xattrs tells a file's extended attributes, the SELinux label and ACLs among them.
func xattrs(path string) string {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if err != nil || n == 0 {
		return ""
	}
	names := strings.Split(strings.TrimRight(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	out := ""
	for _, name := range names {
		value := make([]byte, 64<<10)
		if n, err := unix.Lgetxattr(path, name, value); err == nil {
			out += fmt.Sprintf(" %s=%x", name, value[:n])
		}
	}
	return out
}
