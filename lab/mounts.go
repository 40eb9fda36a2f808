package lab

import (
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mount is a line of mountinfo (man 5 proc).
type mount struct {
	root, point, fstype, source, super string
}

func readMounts(file string) ([]mount, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseMounts(string(b)), nil
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func parseMounts(text string) []mount {
	var out []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		a, b := strings.Fields(before), strings.Fields(after)
		if !ok || len(a) < 6 || len(b) < 3 {
			continue
		}
		out = append(out, mount{root: unescape.Replace(a[3]), point: unescape.Replace(a[4]),
			fstype: b[0], source: unescape.Replace(b[1]), super: b[2]})
	}
	return out
}

// ours says whether a mount belongs to the lab.
func (m mount) ours() bool {
	return m.point == stateDir || strings.HasPrefix(m.point, stateDir+"/") || strings.HasPrefix(m.source, prefix+"-")
}

func mounted(point string) bool {
	ms, err := readMounts("/proc/self/mountinfo")
	return err == nil && slices.ContainsFunc(ms, func(m mount) bool { return m.point == point })
}

// unmountAll unmounts what belongs to the lab, the newest first.
func unmountAll() error {
	ms, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	slices.Reverse(ms)
	var errs []error
	for _, m := range ms {
		if m.ours() {
			errs = append(errs, unmount(m.point))
		}
	}
	return errors.Join(errs...)
}

// unmount waits a moment for the mount to be idle (a dead container's mount namespace goes a little after its processes) and
// then takes it out of sight, to be freed when its last user is gone.
func unmount(point string) error {
	for range 200 {
		err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return unix.Unmount(point, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
}
