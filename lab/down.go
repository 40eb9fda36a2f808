package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Down takes the lab down and leaves nothing of it but the cached root filesystem. It goes by what the kernel knows, so it
// also takes down a lab whose Up was killed at any moment, and it may itself be killed and called again.
func Down(ctx context.Context, o Options) error {
	release, err := lock()
	if err != nil {
		return err
	}
	defer release()
	rec, err := readRecord()
	if err != nil && !errors.Is(err, ErrNoLab) {
		return err
	}
	if err := killAll(ctx); err != nil {
		return err
	}
	for _, ns := range labNetns() {
		if err := removeNetns(ctx, ns); err != nil {
			return err
		}
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	if err := errors.Join(unmountAll(), tidyNetnsDir(), removeNspawnTraces(), clearBuild(ctx, cache)); err != nil {
		return err
	}
	if err := prune(cache); err != nil {
		return err
	}
	if rec.Dir != "" {
		if err := removeUserFiles(rec.Dir); err != nil {
			return err
		}
	}
	if err := discard(filepath.Join(stateDir, "hosts")); err != nil {
		return err
	}
	o.say("the lab is gone")
	return os.RemoveAll(stateDir)
}

// discard removes a directory such that a killed Down leaves no half of it for the next Up to take for a whole.
func discard(dir string) error {
	if err := os.RemoveAll(dir + ".gone"); err != nil {
		return err
	}
	if err := os.Rename(dir, dir+".gone"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir + ".gone")
}

// killAll ends every process of the lab and removes its cgroups, all hosts at once.
func killAll(ctx context.Context) error {
	all, err := labCgroups()
	if err != nil {
		return err
	}
	var g errgroup.Group
	for name, dirs := range all {
		g.Go(func() error {
			if err := killCgroup(ctx, name, dirs); err != nil {
				return err
			}
			return removeCgroup(dirs)
		})
	}
	return g.Wait()
}

// removeNspawnTraces removes the mount tunnels that systemd-nspawn leaves when it is killed.
func removeNspawnTraces() error {
	names, _ := filepath.Glob("/run/systemd/nspawn/propagate/" + prefix + "-*")
	var errs []error
	for _, n := range names {
		errs = append(errs, os.RemoveAll(n))
	}
	for _, dir := range []string{"/run/systemd/nspawn/propagate", "/run/systemd/nspawn"} {
		os.Remove(dir) // if it is empty
	}
	return errors.Join(errs...)
}

// removeUserFiles removes what the lab and the installer wrote for its user, and the directory if nothing else is in it. A directory
// without the lab's marker is not touched.
func removeUserFiles(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, marker)); err != nil {
		return nil
	}
	for _, n := range []string{"cluster.yaml", keyName, keyName + ".pub", "known_hosts", "kubeconfig", "bin", "log"} {
		if err := os.RemoveAll(filepath.Join(dir, n)); err != nil {
			return err
		}
	}
	half, _ := filepath.Glob(filepath.Join(dir, ".kwlab-*"))
	for _, n := range half {
		if err := os.Remove(n); err != nil {
			return err
		}
	}
	// What the user put there stays, and the marker with it, so that the next lab may use the directory again.
	if left, err := os.ReadDir(dir); err == nil && len(left) == 1 {
		return os.RemoveAll(dir)
	}
	return nil
}

// leftovers names everything of a lab that the machine still has, for an error or a test.
func leftovers() ([]string, error) {
	var out []string
	all, err := labCgroups()
	if err != nil {
		return nil, err
	}
	for name, dirs := range all {
		out = append(out, dirs...)
		for _, pid := range processes(dirs) {
			out = append(out, fmt.Sprintf("process %d in %s", pid, name))
		}
	}
	for _, ns := range labNetns() {
		out = append(out, "network namespace "+ns)
	}
	ms, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for _, m := range ms {
		if m.ours() {
			out = append(out, "mount "+m.point)
		}
	}
	if names, err := os.ReadDir(stateDir); err == nil {
		for _, n := range names {
			if !strings.HasPrefix(n.Name(), ".") {
				out = append(out, filepath.Join(stateDir, n.Name()))
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	slices.Sort(out)
	return out, nil
}
