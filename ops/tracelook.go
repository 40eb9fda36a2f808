package ops

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// found is what lies at a path.
type found struct {
	Mode  uint32 `json:"mode"` // with the type, as in stat(2)
	UID   int    `json:"uid,omitempty"`
	GID   int    `json:"gid,omitempty"`
	Sum   string `json:"sum,omitempty"`   // a file's digest, a link's target
	Empty bool   `json:"empty,omitempty"` // a directory of which only the name counts, with nothing in it
}

func (f *found) is(other *found) bool { return f == other || f != nil && other != nil && *f == *other }

func (f *found) kind() uint32 { return f.Mode & unix.S_IFMT }

func (f *found) attrs() attrs { return attrs{mode: f.Mode & 0o7777, uid: f.UID, gid: f.GID} }

// traceRoots are the directories in which only the names count: what lies below a new one belongs to it.
var traceRoots = []string{"/home", "/opt", "/run", "/srv", "/var/lib", "/var/opt", "/var/spool"}

// traceless is what lies in the places looked at, and is the cluster's, or changes by itself, or is dpkg's record of its own packages.
var traceless = []string{"/etc/kubernetes", "/etc/kubewright", "/run/kubewright.lock", "/run/log", "/run/systemd", "/run/user", "/run/utmp",
	"/var/lib/apt/lists", "/var/lib/apt/periodic", dpkgDir + "/info", dpkgDir + "/lock", dpkgDir + "/lock-frontend", dpkgDir + "/parts", dpkgDir + "/updates"}

// traceSize is the size up to which a file can be brought back.
const traceSize = 16 << 20

// shallow says whether only the name of what lies at a path counts.
func shallow(p string) bool {
	return slices.Contains(traceRoots, path.Dir(p)) && p != dpkgDir && p != "/var/lib/apt" && p != "/var/lib/ucf" && p != "/var/lib/pam" && p != "/var/lib/alternatives"
}

// passive are the targets that a service pulls in, and that stay when it is gone.
var passive = []string{"network-pre.target", "network.target", "network-online.target", "nss-lookup.target", "nss-user-lookup.target",
	"remote-fs-pre.target", "rpc_pipefs.target", "rpcbind.target", "time-set.target", "time-sync.target"}

// reached tells which of those targets have been.
func reached(ctx context.Context, m Machine) (map[string]bool, error) {
	all := map[string]bool{}
	for _, name := range passive {
		s, err := m.Units().State(ctx, name)
		if err != nil {
			return nil, err
		}
		if s.Active {
			all[name] = true
		}
	}
	return all, nil
}

// look is everything in the places that installation scripts write to.
func look(m Machine) (map[string]*found, error) {
	manager, err := managerOf(m)
	if err != nil {
		return nil, err
	}
	all := map[string]*found{}
	see := func(p string) error {
		f, err := lookAt(m, p)
		if err == nil && f != nil {
			all[p] = f
		}
		return err
	}
	for _, root := range manager.writes() {
		real := m.Path(root)
		err := filepath.WalkDir(real, func(name string, d fs.DirEntry, err error) error {
			p := root + strings.TrimPrefix(name, real)
			switch {
			case missing(err):
				return nil
			case err != nil:
				return err
			case !slices.Contains(traceless, p):
				return see(p)
			case d.IsDir():
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, root := range traceRoots {
		entries, err := os.ReadDir(m.Path(root))
		if err != nil && !missing(err) {
			return nil, err
		}
		for _, e := range entries {
			if p := root + "/" + e.Name(); p != stateDir(m) && !slices.Contains(traceless, p) {
				if err := see(p); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

// lookAt looks at one path; nil when nothing is there.
func lookAt(m Machine, p string) (*found, error) {
	fi, err := os.Lstat(m.Path(p))
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, cause(err))
	}
	f := &found{Mode: fi.Sys().(*syscall.Stat_t).Mode}
	f.UID, f.GID = ownerOf(m, fi)
	switch {
	case fi.IsDir() && shallow(p):
		f.Empty, err = isEmpty(m, p)
	case fi.Mode()&fs.ModeSymlink != 0:
		f.Sum, err = os.Readlink(m.Path(p))
	case fi.Mode().IsRegular() && !shallow(p) && fi.Size() <= traceSize:
		f.Sum, err = digestFile(context.Background(), m, p)
	}
	if missing(err) {
		return nil, nil
	}
	return f, err
}
