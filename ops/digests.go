package ops

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// digests remembers the digests of files that this program has written, so that looking at them again needs no second reading of some hundred
// megabytes. A digest counts for as long as the kernel says that nobody has touched the file: another inode, size or time of change, and it is read. The
// time of change (ctime) is the kernel's own, and no program can set it.
type digests struct {
	mu     sync.Mutex
	loaded bool
	dirty  bool
	known  map[string]digested
}

// digested is a file at the time when its digest was known.
type digested struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	Size   int64  `json:"size"`
	Mtime  int64  `json:"mtime"` // nanoseconds
	Ctime  int64  `json:"ctime"`
	Digest string `json:"digest"`
}

const (
	digestsName = "digests.json"
	// blur is how long the kernel's clock for files may stand still: what changes again within it has the same time.
	blur = 50 * time.Millisecond
)

// remembering is a machine that remembers digests.
type remembering interface {
	recall(path string) string
	remember(path, digest string)
	saveDigests() error
}

func stampOf(path string) (digested, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return digested{}, err
	}
	return digested{Device: st.Dev, Inode: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}, nil
}

func (h *host) recall(path string) string {
	d := &h.digests
	d.mu.Lock()
	defer d.mu.Unlock()
	d.load(h.state)
	was, ok := d.known[path]
	if !ok {
		return ""
	}
	digest := was.Digest
	was.Digest = ""
	if now, err := stampOf(path); err != nil || now != was {
		return ""
	}
	return digest
}

func (h *host) remember(path, digest string) {
	now, err := stampOf(path)
	if err != nil {
		return
	}
	now.Digest = digest
	d := &h.digests
	d.mu.Lock()
	defer d.mu.Unlock()
	d.load(h.state)
	d.known[path], d.dirty = now, true
}

// load reads what an earlier process has saved. It is a help only: what cannot be read is not missed.
func (d *digests) load(dir string) {
	if d.loaded {
		return
	}
	d.loaded, d.known = true, map[string]digested{}
	data, err := os.ReadFile(filepath.Join(dir, digestsName))
	if err == nil && json.Unmarshal(data, &d.known) != nil {
		d.known = map[string]digested{}
	}
}

func (h *host) saveDigests() error {
	d := &h.digests
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.dirty {
		return nil
	}
	for path, was := range d.known {
		now, err := stampOf(path)
		now.Digest = was.Digest
		if err != nil || now != was || time.Since(time.Unix(0, now.Ctime)) < blur {
			delete(d.known, path)
		}
	}
	data, err := json.Marshal(d.known)
	if err != nil {
		return err
	}
	d.dirty = false
	name := filepath.Join(h.state, digestsName)
	temp := name + ".new"
	return errors.Join(os.WriteFile(temp, data, 0o600), os.Rename(temp, name)) // without a sync: half a file is no JSON
}

// SaveDigests writes down in the state directory which files this process has written, for those that look at them later.
func SaveDigests(m Machine) error {
	if r, ok := find[remembering](m); ok {
		return r.saveDigests()
	}
	return nil
}

// remember is for who has just written a file with that digest.
func remember(m Machine, path, digest string) {
	if r, ok := find[remembering](m); ok {
		r.remember(path, digest)
	}
}
