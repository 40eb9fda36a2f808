// Package lab makes real hosts on one machine: systemd with sshd in containers, each in a network namespace of its own, on
// a bridge that leads nowhere. It is made from an inventory like the user's own, for trying, testing and CI.
//
// Everything of the lab carries the name kwlab, and its own name after that: network namespaces, mounts, cgroups and therefore processes. Down finds
// what there is by that name in the kernel, not in a record, so that a half-made lab can be continued or taken down
// whenever and however its maker died.
package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/inventory"
)

// NameVar is the environment variable that names a lab, so that there may be several on one machine, each knowing nothing of the others.
const NameVar = "KUBEWRIGHT_LAB"

// name is a lab's own; the usual lab has none.
var name = os.Getenv(NameVar)

var (
	prefix   = "kwlab" + name                   // of every name the lab gives to the kernel; alone, it is the bridge's network namespace
	stateDir = "/var/lib/kubewright-lab" + name // as namespaces are the machine's, so is this; gone after Down
)

// plainName keeps one lab's names from beginning like another's, which a hyphen would allow.
var plainName = regexp.MustCompile(`^[a-z0-9]{0,8}$`)

// Options says which lab is meant.
type Options struct {
	Dir     string             // where the user finds the inventory, the SSH key and the hosts' consoles; default .lab
	Cluster *inventory.Cluster // nil: the default topology, or whatever lab is there already
	VMs     []string           // the hosts that are virtual machines, * for all; nil: none, or whatever lab is there already
	// Packages are Debian packages that apt on the hosts can install, with all they depend on; nil: those of the lab that is there already.
	Packages []string
	SELinux  bool         // virtual machines have a policy, and every file its label; false: whatever lab is there already
	Log      func(string) // told in short sentences what is being done, one at a time; nil: silence
}

func (o Options) dir() (string, error) { return filepath.Abs(cmp.Or(o.Dir, ".lab")) }

var saying sync.Mutex // hosts come up at once and speak one after the other

func (o Options) say(format string, args ...any) {
	if o.Log != nil {
		saying.Lock()
		defer saying.Unlock()
		o.Log(fmt.Sprintf(format, args...))
	}
}

// record is what the lab was asked to be. It is written before anything is made and is needed only for what the kernel
// cannot tell: the addresses and the user's directory.
type record struct {
	Dir      string            `json:"dir"`
	Cluster  inventory.Cluster `json:"cluster"`
	VMs      []string          `json:"vms,omitempty"`
	Packages []string          `json:"packages,omitempty"`
	SELinux  bool              `json:"selinux,omitempty"`
}

// ErrNoLab says that there is no lab on this machine.
var ErrNoLab = errors.New("there is no lab on this machine (kubewright lab up makes one)")

func recordFile() string { return filepath.Join(stateDir, "lab.json") }

func readRecord() (record, error) {
	var r record
	b, err := os.ReadFile(recordFile())
	if errors.Is(err, fs.ErrNotExist) {
		return r, ErrNoLab
	}
	if err != nil {
		return r, err
	}
	if json.Unmarshal(b, &r) != nil {
		return record{}, ErrNoLab // the machine lost power while it was written; what there is can still be taken down
	}
	return r, nil
}

func (r record) write() error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(recordFile(), b, 0o600)
}

func (r record) isVM(host string) bool { return slices.Contains(r.VMs, host) }

func (r record) container(h inventory.Host) container {
	c := containerOf(h, r.Dir)
	c.vm = r.isVM(h.Name)
	c.selinux = r.SELinux
	return c
}

func (r record) host(name string) (inventory.Host, error) {
	for _, h := range r.Cluster.Spec.Hosts {
		if h.Name == name {
			return h, nil
		}
	}
	return inventory.Host{}, fmt.Errorf("the lab has no host %q", name)
}

// lock holds off a second Up, Down or Restart. It is the kernel's, so it dies with its holder.
func lock() (release func(), err error) {
	if !plainName.MatchString(name) {
		return nil, fmt.Errorf("%s=%q: want at most eight lower-case letters and digits", NameVar, name)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab makes namespaces, mounts and cgroups: it needs root")
	}
	for {
		if err := os.MkdirAll(stateDir, 0o700); err != nil {
			return nil, err
		}
		d, err := os.Open(stateDir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a Down has just removed it
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			d.Close()
			return nil, errors.New("another kubewright is making or taking down the lab just now")
		}
		held, err1 := d.Stat()
		there, err2 := os.Stat(stateDir)
		if err1 == nil && err2 == nil && os.SameFile(held, there) {
			return func() { d.Close() }, nil
		}
		d.Close() // locked a directory that a Down removed meanwhile
	}
}

// needs are the programs the lab runs, and the packages that bring them.
var needs = map[string]string{
	"ip":             "iproute2",
	"mmdebstrap":     "mmdebstrap",
	"systemd-nspawn": "systemd-container",
}

func checkTools(needs map[string]string) error {
	var errs []error
	for tool, pkg := range needs {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, fmt.Errorf("the lab needs %s: install the package %s", tool, pkg))
		}
	}
	return errors.Join(errs...)
}

// run runs a tool of the machine and puts what it said on stderr into the error.
func run(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, firstLine(out))
	}
	return nil
}

func firstLine(b []byte) string {
	for i, c := range b {
		if c == '\n' {
			return string(b[:i])
		}
	}
	return string(b)
}

// writeFile replaces a file in one step, so that a killed Up never leaves half a key behind.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".kwlab-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
