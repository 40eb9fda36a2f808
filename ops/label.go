package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// What is made without a word gets the SELinux type of its directory, which is not always what the policy wants at that path. So things are made with
// their label. Labelled a moment later, a thing could be used in between, and a crash would leave it wrong where nobody looks again.

// fscreate is the label of what this thread makes.
const fscreate = "/proc/thread-self/attr/fscreate"

// labelName is a variable for tests: only root can give a file the true one.
var labelName = "security.selinux"

// kinds are as matchpathcon calls them.
const (
	aFile = "file"
	aDir  = "dir"
	aLink = "lnk_file"
)

// labelled has do make what will be p, with the label of what is there now or, where nothing of that kind is, with the policy's.
func labelled(m Machine, p, kind string, do func() error) error {
	label, err := labelFor(m, p, kind)
	if err != nil {
		return fmt.Errorf("its label: %w", err)
	}
	if label == "" {
		return do()
	}
	return Aside(func() error {
		f, err := os.OpenFile(m.Path(fscreate), os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(label)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("its label, %s: %w", label, cause(err))
		}
		return do()
	})
}

// labelFor is "" where there is no SELinux, and where what the kernel does is right.
func labelFor(m Machine, p, kind string) (string, error) {
	// libselinux counts a kernel that has it, but was given no policy, as one that has not.
	if !exists(m, selinuxEnforce) || !exists(m, selinuxConfig) || p == stateDir(m) || strings.HasPrefix(p, stateDir(m)+"/") {
		return "", nil
	}
	if label := labelOf(m, p, kind); label != "" {
		return label, nil
	}
	if !exists(m, "/usr/sbin/matchpathcon") && !exists(m, "/sbin/matchpathcon") {
		return "", nil
	}
	real := p
	if dir, err := resolve(m, path.Dir(p)); err == nil { // the policy speaks of where a thing is, not of a link's way there
		real = path.Join(dir, path.Base(p))
	}
	out, err := m.Run(context.Background(), "matchpathcon", "-N", "-n", "-m", kind, "--", real)
	if err != nil {
		return "", err
	}
	label := strings.TrimSpace(string(out))
	if label == "<<none>>" { // the policy leaves it to the kernel
		label = ""
	}
	return label, nil
}

// labelOf is the label of the file or link at p, "" where none of that kind is there.
func labelOf(m Machine, p, kind string) string {
	fi, err := os.Lstat(m.Path(p))
	if err != nil || (fi.Mode()&os.ModeSymlink != 0) != (kind == aLink) {
		return ""
	}
	value := make([]byte, 4<<10)
	n, err := unix.Lgetxattr(m.Path(p), labelName, value)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(value[:n]), "\x00")
}
