package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is one mounted cgroup tree and the caller's place in it.
type hierarchy struct {
	mount string // where it is mounted
	own   string // the caller's cgroup, as a directory
	v2    bool
	name  string // the controllers, as in /proc/self/cgroup
}

// dir is where a lab cgroup goes. With cgroup v1 it is below the caller's own, so that the caller's limits hold; with v2 a
// cgroup that has processes may not hand out controllers, so it is at the top.
func (h hierarchy) dir(name string) string {
	if h.v2 {
		return filepath.Join(h.mount, name)
	}
	return filepath.Join(h.own, name)
}

// hierarchies reads the machine's cgroup trees.
func hierarchies() ([]hierarchy, error) {
	mounts, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, err
	}
	return matchHierarchies(mounts, string(own)), nil
}

// matchHierarchies joins mountinfo and /proc/self/cgroup (man 7 cgroups: id:controllers:path, v2 with id 0 and no controllers).
func matchHierarchies(mounts []mount, self string) []hierarchy {
	var out []hierarchy
	for line := range strings.Lines(self) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		v2 := f[0] == "0" && f[1] == ""
		for _, m := range mounts {
			if v2 != (m.fstype == "cgroup2") || !v2 && (m.fstype != "cgroup" || !hasControllers(m.super, f[1])) {
				continue
			}
			rel, err := filepath.Rel(m.root, f[2])
			if err != nil || strings.HasPrefix(rel, "..") {
				continue // mounted from somewhere we are not in
			}
			out = append(out, hierarchy{mount: m.point, own: filepath.Join(m.point, rel), v2: v2, name: f[1]})
			break
		}
	}
	return out
}

// hasControllers says whether a v1 mount's options (rw,cpu,cpuacct or rw,name=systemd) carry all the controllers.
func hasControllers(options, controllers string) bool {
	have := strings.Split(options, ",")
	for c := range strings.SplitSeq(controllers, ",") {
		if !slices.Contains(have, c) {
			return false
		}
	}
	return true
}

// makeCgroup makes the cgroup in every hierarchy.
func makeCgroup(hs []hierarchy, name string) error {
	for _, h := range hs {
		dir := h.dir(name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if h.name != "cpuset" {
			continue
		}
		// A new v1 cpuset is empty and takes no process before it has processors and memory nodes.
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), f))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, f), b, 0o644)
			}
			if err != nil {
				return fmt.Errorf("cgroup %s: %w", dir, err)
			}
		}
	}
	return nil
}

// startIn starts the command inside the cgroup. A child is born where the thread that forks it is, so there is no instant at
// which a lab process is outside: Down finds it whenever its maker is killed.
func startIn(cmd *exec.Cmd, name string) error {
	runtime.LockOSThread()
	hs, err := hierarchies()
	if err == nil {
		err = makeCgroup(hs, name)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	tid := []byte(strconv.Itoa(unix.Gettid()))
	defer func() {
		for _, h := range hs {
			if !h.v2 && os.WriteFile(filepath.Join(h.own, "tasks"), tid, 0) != nil {
				return // still locked: the runtime ends the thread with its goroutine
			}
		}
		runtime.UnlockOSThread()
	}()
	for _, h := range hs {
		if h.v2 {
			d, err := os.Open(h.dir(name))
			if err != nil {
				return err
			}
			defer d.Close()
			cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(d.Fd())
		} else if err := os.WriteFile(filepath.Join(h.dir(name), "tasks"), tid, 0); err != nil {
			return err
		}
	}
	return cmd.Start()
}

// labCgroups finds every cgroup of the lab, whoever made it: the tops only, in all hierarchies, keyed by name.
func labCgroups() (map[string][]string, error) {
	hs, err := hierarchies()
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, h := range hs {
		err := filepath.WalkDir(h.mount, func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a cgroup that has just gone
			}
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == prefix || strings.HasPrefix(d.Name(), prefix+"-") || d.Name() == buildCgroup) {
				out[d.Name()] = append(out[d.Name()], p)
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// processes lists what runs in the cgroups and below them.
func processes(dirs []string) []int {
	var pids []int
	for _, dir := range dirs {
		filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil
			}
			b, _ := os.ReadFile(filepath.Join(p, "cgroup.procs"))
			for f := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// killCgroup ends everything in a lab cgroup, as pulling the plug would, and returns when nothing runs in it.
func killCgroup(ctx context.Context, name string, dirs []string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		pids := processes(dirs)
		if len(pids) == 0 {
			return nil
		}
		for _, dir := range dirs {
			thaw(dir)
		}
		for _, pid := range pids {
			kill(pid, name)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cgroup %s: processes %v do not end: %w", name, pids, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// kill ends one process if it still is in the cgroup: its number may have become somebody else's.
func kill(pid int, cgroup string) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if strings.Contains(string(b)+"\n", "/"+cgroup+"\n") || strings.Contains(string(b), "/"+cgroup+"/") {
		unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	}
}

// thaw lets frozen processes die: cgroup v1 delivers no SIGKILL to them.
func thaw(dir string) {
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "freezer.state" {
			os.WriteFile(p, []byte("THAWED"), 0)
		}
		return nil
	})
}

// removeCgroup removes emptied cgroups, the innermost first. The kernel needs a moment after the last process.
func removeCgroup(dirs []string) error {
	for _, top := range dirs {
		var all []string
		filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, p)
			}
			return nil
		})
		slices.Reverse(all)
		for _, dir := range all {
			var err error
			for range 400 {
				err = unix.Rmdir(dir)
				if err == nil || errors.Is(err, fs.ErrNotExist) || !errors.Is(err, unix.EBUSY) {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
			}
		}
	}
	return nil
}
