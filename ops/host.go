package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// host is the machine that this process runs on.
type host struct {
	systemd
	firewalld
	digests
	state string
	ask   func(context.Context, Question) ([]byte, error)
}

// What a machine may offer is found while it runs. A host that has lost some of it, as by two embedded types with a method of the same name, must not compile.
var _ interface {
	Kernel
	Network
	Firewall
	Processes
	managed
	remembering
	ruled
	stateful
} = (*host)(nil)

// NewHost is the machine that this process runs on. stateDir is where marks and uploaded bytes lie; ask answers questions, nil refuses all.
func NewHost(stateDir string, ask func(context.Context, Question) ([]byte, error)) Machine {
	h := &host{state: stateDir, ask: ask}
	h.systemd.host, h.firewalld.host = h, h
	return h
}

func (h *host) Path(p string) string { return p }
func (h *host) Units() Units         { return &h.systemd }
func (h *host) StateDir() string     { return h.state }
func (h *host) Now() time.Time       { return time.Now() }

func (h *host) Ask(ctx context.Context, q Question) ([]byte, error) {
	if h.ask == nil {
		return nil, fmt.Errorf("nobody can answer the question %s %s", q.Kind, q.Name)
	}
	return h.ask(ctx, q)
}

const (
	outputKept = 64 << 10 // bytes of a tool's output that are kept, of each stream
	linesKept  = 15
)

// Run runs an argv with a small, fixed environment. What the tool says on stderr is in the error. It does not outlive this process, however that
// ends: the next one would find two at work.
func (h *host) Run(ctx context.Context, argv ...string) ([]byte, error) {
	if len(argv) == 0 {
		return nil, errors.New("there is nothing to run")
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root",
		"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1"} // the last two keep package managers from asking, and from restarting what is not theirs
	cmd.Dir = "/"
	cmd.WaitDelay = 5 * time.Second // a grandchild that keeps the pipe open does not keep us
	var out bytes.Buffer
	said := tail{}
	cmd.Stdout, cmd.Stderr = &out, &said
	if !strings.Contains(argv[0], "/") {
		// Looked up in the fixed PATH rather than in ours: what sudo leaves of it is not the host's.
		for _, dir := range strings.Split(strings.TrimPrefix(cmd.Env[0], "PATH="), ":") {
			if fi, err := os.Stat(dir + "/" + argv[0]); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
				cmd.Path, cmd.Err = dir+"/"+argv[0], nil
				break
			}
		}
	}
	// The kernel's signal comes when the thread that forked ends, not the process: the thread must stay as long as the child.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	err := cmd.Run()
	runtime.UnlockOSThread()
	if err == nil {
		return out.Bytes(), nil
	}
	if ctx.Err() != nil {
		return out.Bytes(), ctx.Err()
	}
	last := said.lines()
	if len(last) == 0 {
		last = lastLines(out.Bytes())
	}
	if len(last) > 0 {
		err = fmt.Errorf("%w: %s", err, last[len(last)-1])
	}
	return out.Bytes(), &OutputError{Err: err, Last: strings.Join(last, "\n")}
}

// tail keeps the end of what is written to it.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if over := len(t.data) - outputKept; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

func (t *tail) lines() []string { return lastLines(t.data) }

func lastLines(data []byte) []string {
	var out []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-linesKept):]
}

func (h *host) SwapOff(area string) error {
	p, err := unix.BytePtrFromString(area)
	if err != nil {
		return err
	}
	return syscallError(unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(p)), 0, 0))
}

func (h *host) SwapOn(area string, priority int) error {
	p, err := unix.BytePtrFromString(area)
	if err != nil {
		return err
	}
	var flags uintptr
	if priority >= 0 { // linux/swap.h: SWAP_FLAG_PREFER and the priority's 15 bits
		flags = 0x8000 | uintptr(priority&0x7fff)
	}
	return syscallError(unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(p)), flags, 0))
}

func (h *host) Unmount(path string) error {
	return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
}

func (h *host) Unload(module string) error {
	return unix.DeleteModule(module, unix.O_NONBLOCK)
}

func (h *host) Links() ([]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range all {
		out = append(out, i.Name)
	}
	return out, nil
}

// bus is a connection to the system's D-Bus, made when it is first needed.
type bus struct {
	mu   sync.Mutex
	conn *dbus.Conn
}

func (b *bus) get() (*dbus.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && b.conn.Connected() {
		return b.conn, nil
	}
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, fmt.Errorf("connect to the system bus: %w", err)
	}
	b.conn = conn
	return conn, nil
}
