package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Running looks through /proc. The threads of the kernel have no environment, and what ends meanwhile has none either.
func (h *host) Running(ctx context.Context, inputs string) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil || ctx.Err() != nil {
			continue
		}
		if env, err := os.ReadFile("/proc/" + e.Name() + "/environ"); err == nil && carries(env, inputs) {
			return true
		}
	}
	return false
}

// carries says whether an environment as in /proc/PID/environ has this value of InputsVar.
func carries(env []byte, inputs string) bool {
	return bytes.Contains(append([]byte{0}, env...), []byte("\x00"+InputsVar+"="+inputs+"\x00"))
}

// forkTime is how long a process that systemd has forked may take to become its service's program.
const forkTime = time.Second

// inputsOf reads InputsVar from a process' environment. A process that has just ended has none. systemd calls a simple service active
// before its process has executed the program: until then the process is systemd still, and for a moment it has no environment at all.
func inputsOf(pid int) string {
	proc := "/proc/" + strconv.Itoa(pid)
	manager, _ := os.Readlink("/proc/1/exe")
	var env []byte
	for begun := time.Now(); time.Since(begun) < forkTime; time.Sleep(time.Millisecond) {
		exe, err := os.Readlink(proc + "/exe")
		if err != nil {
			return ""
		}
		if env, err = os.ReadFile(proc + "/environ"); err != nil {
			return ""
		}
		if exe != manager && len(env) > 0 {
			break
		}
	}
	for _, v := range bytes.Split(env, []byte{0}) {
		if value, ok := bytes.CutPrefix(v, []byte(InputsVar+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// replaced says whether the program that a process runs is no longer what lies at its path. A program that was put aside and back keeps its
// inode, and is the same.
func replaced(pid int) bool {
	exe := "/proc/" + strconv.Itoa(pid) + "/exe"
	path, err := os.Readlink(exe)
	path, deleted := strings.CutSuffix(path, " (deleted)")
	if err != nil || !deleted {
		return false
	}
	mine, errMine := os.Stat(exe)
	there, errThere := os.Stat(path)
	return errMine != nil || errThere != nil || !os.SameFile(mine, there)
}

// endGroup kills every process in a control group and those below it until none is left. systemd does so only for units whose KillMode says it.
func endGroup(ctx context.Context, group string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		left := 0
		for _, root := range []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} { // versions 1, mixed, 2
			pids, err := processesIn(root + group)
			if err != nil {
				return err
			}
			for _, pid := range pids {
				left++
				if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
					return err
				}
			}
		}
		if left == 0 {
			return nil
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("%d processes do not end", left)
		}
	}
}

func processesIn(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		if e.IsDir() {
			below, err := processesIn(dir + "/" + e.Name())
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
		}
	}
	procs, err := os.ReadFile(dir + "/cgroup.procs")
	if missing(err) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOTSUP) { // a group that ended, or of threads
		return out, nil
	}
	for _, f := range strings.Fields(string(procs)) {
		// 0 is a process of another namespace, 1 is the host's own; neither is a unit's.
		if pid, err := strconv.Atoi(f); err == nil && pid > 1 && pid != os.Getpid() {
			out = append(out, pid)
		}
	}
	return out, err
}

// Running says whether a static pod with these inputs is declared: on a pretend machine declaring it is running it.
func (p *Pretend) Running(_ context.Context, inputs string) bool {
	files, _ := filepath.Glob(p.Path("/etc/kubernetes/manifests") + "/*")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && !strings.HasPrefix(filepath.Base(file), ".") && bytes.Contains(data, []byte(inputs)) {
			return true
		}
	}
	return false
}
