//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestLookingWritesNothing watches the disks of the hosts while everything that only looks is run, against hosts that nobody has touched and against those
// of a cluster: nothing is written, made, removed or described anew, not even for a moment. What a login itself leaves is told apart. The memory of a host
// (/run, /dev/shm) may be used, and has to be as before afterwards.
func TestLookingWritesNothing(t *testing.T) {
	bare(t)
	t.Run("bare hosts", func(t *testing.T) { looks(t, nil) })
	must(t, kubewright(bounded(t), "up"))
	t.Run("a cluster", func(t *testing.T) { looks(t, ownWriters) })
}

// lookers are the commands that only look, and how they may end.
var lookers = []struct {
	args  []string
	codes []int
}{
	{[]string{"plan"}, []int{0}},
	{[]string{"plan", "--diff"}, []int{0}},
	{[]string{"preflight"}, []int{0, 3}},
	{[]string{"drift"}, []int{0, 20}},
	{[]string{"status"}, []int{0}},
}

// ofLogins is what sshd and journald write when somebody logs in, whoever that is.
var ofLogins = regexp.MustCompile(`^/var/log(/journal(/.*)?|/wtmp|/lastlog|/btmp)?$`)

// ownWriters are the places that a running cluster writes to all the time. Writes of the installer there are known by the process.
var ownWriters = []string{"/var/lib/kubelet", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/cni", "/var/log/pods", "/var/log/containers", "/var/log/kubernetes"}

func looks(t *testing.T, busy []string) {
	for _, c := range lookers {
		name := c.args[0]
		if r := run(t, inLab(bounded(t), "kubewright", name, "--help")); !strings.Contains(r.stdout, "kubewright "+name) {
			t.Logf("there is no %s", name)
			continue
		}
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			memory := look(t, "-only", "file,process")
			before := disks(t)
			w := watch(t, hosts)
			r := run(t, kubewright(bounded(t), c.args...))
			w.stop()
			after := disks(t)
			if !slices.Contains(c.codes, r.code) {
				t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			for _, h := range hosts {
				for _, path := range changed(before[h], after[h]) {
					switch {
					case slices.ContainsFunc(busy, func(b string) bool { return path == b || strings.HasPrefix(path, b+"/") }):
					case ofLogins.MatchString(path):
						t.Logf("%s: of the login itself: %s", h, path)
					default:
						t.Errorf("%s: %s was written to the disk", h, path)
					}
				}
			}
			w.hold(t)
			sameHosts(t, withoutNoise(memory), withoutNoise(look(t, "-only", "file,process")), "something was left")
		})
	}
}

// withoutNoise leaves what a running cluster changes by itself out of fingerprints, and what a login leaves.
func withoutNoise(all map[string][]string) map[string][]string {
	for h, lines := range all {
		all[h] = slices.DeleteFunc(lines, func(l string) bool {
			f := strings.Fields(l)
			return f[0] == "process" && f[1] != "kubewright-agen" || f[0] == "file" && !strings.HasPrefix(f[1], "/run/kubewright") && !strings.HasPrefix(f[1], "/dev/shm/") &&
				!strings.HasPrefix(f[1], "/tmp/") && !strings.HasPrefix(f[1], "/var/tmp/") && !strings.HasPrefix(f[1], "/etc/") && !strings.HasPrefix(f[1], "/root/")
		})
	}
	return all
}

// disks is the state of everything on the hosts' disks, down to the time of the last change of its description, which nobody can set.
func disks(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for _, h := range hosts {
		home := filepath.Dir(rootOf(h))
		libs, _ := filepath.Glob(home + "/lib/*")
		if len(libs) == 0 {
			t.Fatalf("%s: its disk is not at %s", h, home)
		}
		all[h] = map[string]string{}
		err := describeAll(all[h], filepath.Join(home, "upper"), "")
		for _, lib := range libs { // what is mounted there hides what lies below it
			err = errors.Join(err, describeAll(all[h], lib, "/var/lib/"+filepath.Base(lib)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func describeAll(into map[string]string, real, name string) error {
	return filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // a cluster's own, gone while we looked
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		st := info.Sys().(*syscall.Stat_t)
		into[name+strings.TrimPrefix(p, real)] = fmt.Sprint(st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Rdev, st.Mtim, st.Ctim)
		return nil
	})
}

// changed lists the paths that are described otherwise, that came, and that went.
func changed(before, after map[string]string) []string {
	var out []string
	for p, v := range after {
		if before[p] != v {
			out = append(out, p)
		}
	}
	for p := range before {
		if _, ok := after[p]; !ok {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}
