//go:build e2e

package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/lab"
)

// watcher hears of every file that is written to on hosts, from the kernel, with the process that does it. It tells the writes of logins from those of
// what runs on the hosts by themselves.
type watcher struct {
	fd    int
	wake  [2]int // a pipe: written to when watching ends
	ended sync.WaitGroup

	mu     sync.Mutex
	writes map[write]int
	lost   bool // the kernel's queue ran over
}

// write is one file that one program wrote to.
type write struct{ host, program, path string }

// inMemory are the file systems that are gone with the host's power.
var inMemory = []string{"/run", "/dev", "/tmp", "/proc", "/sys"}

// watch watches the hosts' own view of their disks until it is stopped.
func watch(t *testing.T, hosts []string) *watcher {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE|unix.FAN_UNLIMITED_MARKS, unix.O_RDONLY|unix.O_LARGEFILE)
	if err != nil {
		t.Fatalf("fanotify: %v", err)
	}
	w := &watcher{fd: fd, writes: map[write]int{}}
	if err := unix.Pipe2(w.wake[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	all, err := lab.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range all {
		if !slices.Contains(hosts, h.Name) {
			continue
		}
		root := fmt.Sprintf("/proc/%d/root", h.PID)
		for _, dir := range []string{"/", "/var/lib/containerd", "/var/lib/docker", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/registry"} {
			err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_MOUNT, unix.FAN_MODIFY|unix.FAN_CLOSE_WRITE, unix.AT_FDCWD, root+dir)
			if err != nil {
				t.Fatalf("fanotify: %s of %s: %v", dir, h.Name, err)
			}
		}
	}
	w.ended.Go(w.read)
	return w
}

func (w *watcher) read() {
	buf := make([]byte, 64<<10)
	for {
		fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}, {Fd: int32(w.wake[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for {
			n, err := unix.Read(w.fd, buf)
			if err != nil || n <= 0 {
				break
			}
			w.hear(buf[:n])
		}
		if fds[1].Revents != 0 {
			return
		}
	}
}

// hear reads events as fanotify(7) lays them out.
func (w *watcher) hear(buf []byte) {
	const size = 24
	for len(buf) >= size {
		length := int(binary.NativeEndian.Uint32(buf))
		mask := binary.NativeEndian.Uint64(buf[8:])
		fd, pid := int32(binary.NativeEndian.Uint32(buf[16:])), int32(binary.NativeEndian.Uint32(buf[20:]))
		if mask&unix.FAN_Q_OVERFLOW != 0 {
			w.mu.Lock()
			w.lost = true
			w.mu.Unlock()
		}
		if fd >= 0 {
			path, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(fd)))
			unix.Close(int(fd))
			if at, yes := loginOf(int(pid)); yes {
				at.path = path
				w.mu.Lock()
				w.writes[at]++
				w.mu.Unlock()
			}
		}
		if length < size || length > len(buf) {
			return
		}
		buf = buf[length:]
	}
}

// loginOf says which host and program a process is of, if it belongs to a login. One that has ended already is of nobody that we know.
func loginOf(pid int) (write, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	comm, err := os.ReadFile(dir + "/comm")
	if err != nil {
		return write{program: "a process that has ended"}, true
	}
	name := strings.TrimSpace(string(comm))
	cgroup, _ := os.ReadFile(dir + "/cgroup")
	_, rest, ok := strings.Cut(string(cgroup), "/kwlab"+os.Getenv(lab.NameVar)+"-")
	if !ok {
		return write{}, false
	}
	host, _, _ := strings.Cut(rest, "/")
	login := strings.Contains(string(cgroup), "/user.slice/") || strings.HasPrefix(name, "sshd") || strings.HasPrefix(name, "kubewright")
	return write{host: strings.TrimSpace(host), program: name}, login
}

func (w *watcher) stop() {
	_, _ = unix.Write(w.wake[1], []byte{0})
	w.ended.Wait()
	for _, fd := range []int{w.fd, w.wake[0], w.wake[1]} {
		unix.Close(fd)
	}
}

// hold holds that no login wrote to a disk, but for what sshd notes of it.
func (w *watcher) hold(t *testing.T) {
	t.Helper()
	if w.lost {
		t.Error("the kernel could not tell of all writes")
	}
	for at := range w.writes {
		switch {
		case slices.ContainsFunc(inMemory, func(m string) bool { return strings.HasPrefix(at.path, m+"/") }):
		case strings.HasPrefix(at.program, "sshd") && ofLogins.MatchString(at.path):
			t.Logf("%s: of the login itself: %s by %s", at.host, at.path, at.program)
		case strings.HasPrefix(at.path, "/var/lib/etcd/#") && strings.HasSuffix(at.path, " (deleted)"):
			// How long the disk takes to sync can only be told by syncing something: a file without a name, in the store's place.
			t.Logf("%s: to see how fast the disk is: %s by %s", at.host, at.path, at.program)
		case at.program == "a process that has ended":
			t.Logf("%s wrote to %s", at.program, at.path)
		default:
			t.Errorf("%s: %s wrote to %s", at.host, at.program, at.path)
		}
	}
}
