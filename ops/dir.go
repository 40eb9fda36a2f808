package ops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is a directory. With Owned, everything below it is ours whoever writes it there: undoing it removes the tree or, where the directory was there
// before and empty, empties it.
//
// Owned is observed like the rest: a mark below the state directory says that the directory was taken. So one that is right, but not yet ours, differs
// from the wish once, and the observation that is journaled then remembers whether it was empty.
type Dir struct {
	Path   string `json:"path"`
	Mode   uint32 `json:"mode,omitempty"`
	UID    int    `json:"uid,omitempty"`
	GID    int    `json:"gid,omitempty"`
	Owned  bool   `json:"owned,omitempty"`
	Deep   bool   `json:"deep,omitempty"`  // everything in it has its owner, too
	Empty  bool   `json:"empty,omitempty"` // in observations: there was nothing in it before it became ours
	Absent bool   `json:"absent,omitempty"`
	parents
}

func (d Dir) Key() Key { return Key("dir:" + d.Path) }

func (d Dir) Observe(_ context.Context, m Machine) (Op, error) {
	seen := Dir{Path: d.Path, Owned: exists(m, d.mark(m))}
	// An administrator may have moved a directory to a larger disk and left a link: the directory is what counts.
	fi, err := os.Stat(m.Path(d.Path))
	switch {
	case missing(err) && exists(m, d.Path):
		return nil, fmt.Errorf("%s is a link to nothing", d.Path)
	case missing(err):
		seen.Absent, seen.parents = true, missingDirs(m, d.Path)
		return seen, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", d.Path, cause(err))
	case !fi.IsDir():
		return nil, fmt.Errorf("%s is there, but is not a directory", d.Path)
	}
	seen.Mode = modeOf(fi)
	seen.UID, seen.GID = ownerOf(m, fi)
	if d.Deep {
		if seen.Deep, err = ownedBy(m, d.Path, seen.UID, seen.GID, false); err != nil {
			return nil, err
		}
	}
	if d.Owned || d.Empty {
		if seen.Empty, err = isEmpty(m, d.Path); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func (d Dir) Set(_ context.Context, m Machine, _ Op) error {
	if !path.IsAbs(d.Path) || path.Clean(d.Path) != d.Path {
		return fmt.Errorf("%q is not a clean absolute path", d.Path)
	}
	ours := exists(m, d.mark(m))
	if !d.Absent && d.Owned {
		if err := writeMark(m, d.mark(m), []byte(d.Path+"\n")); err != nil {
			return err
		}
	}
	switch {
	case d.Absent && ours:
		if err := removeTree(m, d.Path); err != nil {
			return err
		}
	case d.Absent:
		if err := removeDir(m, d.Path); err != nil {
			return err
		}
	case !exists(m, d.Path):
		if err := makeParents(m, d.Path+"/."); err != nil {
			return err
		}
		fallthrough
	default:
		if d.Empty && ours && !d.Owned {
			if err := emptyTree(m, d.Path); err != nil {
				return err
			}
		}
		if d.Deep { // what is in it first: while that is not done the directory itself is not right either
			if _, err := ownedBy(m, d.Path, d.UID, d.GID, true); err != nil {
				return err
			}
		}
		if err := adjustDir(m, d.Path, attrs{mode: d.Mode, uid: d.UID, gid: d.GID}); err != nil {
			return err
		}
	}
	if d.Absent {
		if err := d.prune(m, d.Path); err != nil {
			return err
		}
	}
	if d.Owned {
		return nil
	}
	return remove(m, d.mark(m)) // last: as long as it is there, a broken undo goes on
}

func (d Dir) same(seen Op) bool {
	s := seen.(Dir)
	if d.Absent || s.Absent {
		return d.Absent == s.Absent && d.Owned == s.Owned
	}
	return d.Mode == s.Mode && d.UID == s.UID && d.GID == s.GID && d.Owned == s.Owned && (s.Empty || !d.Empty) && (s.Deep || !d.Deep)
}

// ownedBy says whether everything in a directory has one owner and, with change, makes it so. It follows no symlink.
func ownedBy(m Machine, dir string, uid, gid int, change bool) (all bool, err error) {
	all = true
	root := m.Path(dir) + "/" // also where the directory is a link
	err = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if missing(err) || err == nil && name == root {
			return nil
		}
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if missing(err) {
			return nil // gone since
		}
		if err != nil {
			return err
		}
		if u, g := ownerOf(m, fi); u == uid && g == gid {
			return nil
		}
		if all = false; !change {
			return filepath.SkipAll
		}
		if err := changing(m, "change the owner of "+dir+"/"+strings.TrimPrefix(name, root)); err != nil {
			return err
		}
		return chown(m, name, uid, gid)
	})
	if err != nil {
		return false, fmt.Errorf("%s: %w", dir, cause(err))
	}
	return all, nil
}

// mark is the file that says the directory is ours.
func (d Dir) mark(m Machine) string {
	sum := sha256.Sum256([]byte(d.Path))
	return stateDir(m) + "/owned/" + hex.EncodeToString(sum[:8])
}

// writeMark writes a file below the state directory, which nobody but root looks into.
func writeMark(m Machine, p string, content []byte) error {
	if err := os.MkdirAll(m.Path(path.Dir(p)), 0o700); err != nil {
		return Room(m, p, 0, err)
	}
	return writeFile(m, p, attrs{mode: 0o600}, func(w io.Writer) error { _, err := w.Write(content); return err })
}

// lostFound is made by mkfs and belongs to the file system: a directory that holds nothing else is empty.
const lostFound = "lost+found"

func isEmpty(m Machine, dir string) (bool, error) {
	f, err := os.Open(m.Path(dir))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", dir, cause(err))
	}
	defer f.Close()
	names, err := f.Readdirnames(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read %s: %w", dir, cause(err))
	}
	return len(names) == 0 || len(names) == 1 && names[0] == lostFound, nil
}

// removeDir removes a directory that nobody put anything into.
func removeDir(m Machine, dir string) error {
	if !exists(m, dir) {
		return nil
	}
	if err := safeToRemove(dir); err != nil {
		return err
	}
	names, err := os.ReadDir(m.Path(dir))
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, cause(err))
	}
	if len(names) > 0 {
		return fmt.Errorf("%s is not removed: it holds %s, which kubewright did not put there", dir, names[0].Name())
	}
	if err := changing(m, "remove "+dir); err != nil {
		return err
	}
	if err := os.Remove(m.Path(dir)); err != nil {
		return fmt.Errorf("remove %s: %w", dir, cause(err))
	}
	return syncDir(m, path.Dir(dir))
}

func adjustDir(m Machine, dir string, a attrs) error {
	if fi, err := os.Lstat(m.Path(dir)); err == nil && fi.Mode()&os.ModeSymlink != 0 {
		resolved, err := resolve(m, dir)
		if err != nil {
			return err
		}
		dir = resolved
	}
	return adjust(m, dir, a)
}

// never are the directories that are not removed or emptied whatever a journal says.
var never = strings.Fields("/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var " +
	"/etc/systemd /etc/ssh /etc/systemd/system /run/systemd /usr/bin /usr/lib /usr/local /usr/local/bin /usr/local/sbin /usr/local/lib /usr/sbin /usr/share " +
	"/var/cache /var/lib /var/lib/systemd /var/lib/dpkg /var/lib/rpm /var/log /var/run /var/spool /var/tmp")

func safeToRemove(dir string) error {
	if !path.IsAbs(dir) || path.Clean(dir) != dir || strings.Count(dir, "/") < 2 || slices.Contains(never, dir) {
		return fmt.Errorf("%q is not a directory that is ever removed", dir)
	}
	return nil
}
