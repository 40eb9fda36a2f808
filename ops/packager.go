package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// packager is a package manager: what differs between apt and dnf.
type packager interface {
	name() string
	// table is every package that the machine's own database knows.
	table(ctx context.Context, m Machine) (packageTable, error)
	// offers says whether a repository has that very version.
	offers(ctx context.Context, m Machine, name, version string) (bool, error)
	// install installs a package of the repositories, in whatever direction that changes its version. It removes no other package.
	install(ctx context.Context, m Machine, name, version string) error
	// fetch downloads the file of a version into a directory.
	fetch(ctx context.Context, m Machine, name, version, dir string) error
	// installFiles installs packages from files.
	installFiles(ctx context.Context, m Machine, files ...string) error
	// remove removes these packages and no others, with purge also their configuration; it fails where another package needs one of them.
	remove(ctx context.Context, m Machine, purge bool, names ...string) error
	hold(ctx context.Context, m Machine, name string, held bool) error
	// mend makes whole what a change of ours that was cut off has left half done, so that the change can be made again, or undone; with finish,
	// also what it would have run yet. repair is the command line for what others left.
	mend(ctx context.Context, m Machine, t *trace, all packageTable, finish bool) error
	repair() string
	// files are those that a package has.
	files(ctx context.Context, m Machine, name string) ([]string, error)
	// locks are the files that whoever changes packages locks; one whose name ends in .pid holds the number of the process instead.
	locks() []string
	// writes are the directories that the manager and installation scripts write to, below which everything is looked at.
	writes() []string
}

// packageTable is packages by name; one of another architecture than the machine's own has it behind a colon.
type packageTable map[string]packageState

// packageState is one package.
type packageState struct {
	Version string `json:"version,omitempty"`
	State   string `json:"state,omitempty"` // "" is installed and whole
	Held    bool   `json:"held,omitempty"`
	Config  bool   `json:"config,omitempty"` // removed, but its configuration is there
	Alias   bool   `json:"alias,omitempty"`  // one of several versions beside each other, which have names of their own as well
}

func (s packageState) installed() bool { return s.Version != "" && !s.Config }

// PackageManager names the machine's package manager, "" where it has none that we know.
func PackageManager(m Machine) string {
	manager, err := managerOf(m)
	if err != nil {
		return ""
	}
	return manager.name()
}

func managerOf(m Machine) (packager, error) {
	hasAPT, hasDNF := exists(m, "/usr/bin/apt-get"), exists(m, "/usr/bin/dnf")
	if hasAPT && hasDNF { // each is also a package of the other's world: the host's own is the one by which it was installed
		fi, err := os.Stat(m.Path(dpkgStatus))
		hasAPT = err == nil && fi.Size() > 0
	}
	target, _ := os.Readlink(m.Path("/usr/bin/dnf"))
	switch {
	case hasAPT:
		return apt{}, nil
	case hasDNF && path.Base(target) == "dnf5":
		return nil, errors.New("this host has dnf 5, of which kubewright knows only the predecessor, dnf 4")
	case hasDNF:
		return dnf{}, nil
	}
	return nil, errors.New("this host has neither apt nor dnf")
}

// How long the package manager is waited for, and how often it is asked and told of.
var (
	lockBound = 5 * time.Minute
	lockAsk   = 500 * time.Millisecond
	lockTell  = 10 * time.Second
)

// awaitManager returns when nobody changes packages any more. It tells whom it waits for, and gives up naming them.
func awaitManager(ctx context.Context, m Machine, manager packager) error {
	return awaitHolder(ctx, m, func() (string, error) { return lockHolder(m, manager.locks()) })
}

func awaitHolder(ctx context.Context, m Machine, who func() (string, error)) error {
	began := time.Now()
	var told time.Time
	for {
		holder, err := who()
		if err != nil || holder == "" {
			return err
		}
		left := lockBound - time.Since(began)
		if left <= 0 {
			return fmt.Errorf("the package manager has been locked for %s, by %s", lockBound, holder)
		}
		if told.IsZero() || time.Since(told) >= lockTell {
			told = time.Now()
			tell(m, fmt.Sprintf("waits for %s, which changes packages; %s left", holder, left.Round(time.Second)))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockAsk):
		}
	}
}

// lockHolder names the process that holds one of the files' locks, "" where none does.
func lockHolder(m Machine, files []string) (string, error) {
	for _, file := range files {
		if strings.HasSuffix(file, ".pid") {
			if pid := livingPID(m, file); pid > 0 {
				return processName(m, pid), nil
			}
			continue
		}
		f, err := os.Open(m.Path(file))
		if missing(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", file, cause(err))
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
		err = errors.Join(unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock), f.Close())
		if err != nil {
			return "", fmt.Errorf("ask who holds %s: %w", file, err)
		}
		if lock.Type == unix.F_UNLCK {
			continue
		}
		return processName(m, int(lock.Pid)), nil
	}
	return "", nil
}

// livingPID is the process whose number a file holds, 0 where there is none any more: whoever is killed leaves the file.
func livingPID(m Machine, file string) int {
	data, err := os.ReadFile(m.Path(file))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || !exists(m, fmt.Sprintf("/proc/%d", pid)) {
		return 0
	}
	return pid
}

func processName(m Machine, pid int) string {
	if pid <= 0 {
		return "a process that cannot be seen from here"
	}
	line, _ := os.ReadFile(m.Path(fmt.Sprintf("/proc/%d/cmdline", pid))) // it may have ended since
	name := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	if len(name) > 80 {
		name = name[:80] + "..."
	}
	if name == "" {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("process %d (%s)", pid, name)
}
