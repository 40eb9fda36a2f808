package host_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/host/sshtest"
)

const (
	runMount = "tmpfs /run tmpfs rw,nosuid,nodev,size=100k,mode=755 0 0\n"
	shmMount = "tmpfs /dev/shm tmpfs rw,nosuid,nodev 0 0\n"
	noexec   = "tmpfs /run tmpfs rw,nosuid,nodev,noexec,mode=755 0 0\n"
)

// TestALookWritesNothing: the agent of who only looks was in memory, and is gone from there; where it cannot be, it is told that it was left.
func TestALookWritesNothing(t *testing.T) {
	bin, hash := small(t)
	for _, row := range []struct {
		name, user, mounts string
		dirs               []string // that there are
		fault              func(*sshtest.Faults)
		want               string // from where the agent was started
	}{
		{name: "root", user: "root", mounts: "/dev/vda1 / ext4 rw 0 0\n" + runMount + shmMount, dirs: []string{"run", "dev/shm"}, want: "/run/kubewright-"},
		{name: "sudo", user: "kw", mounts: runMount + shmMount, dirs: []string{"run", "dev/shm"}, want: "/run/kubewright-"},
		{name: "sudo without sftp-server", user: "kw", mounts: runMount + shmMount, dirs: []string{"run", "dev/shm"}, want: "/run/kubewright-",
			fault: func(f *sshtest.Faults) { f.Sudo = sshtest.SudoBare }},
		{name: "one session at a time", user: "kw", mounts: runMount, dirs: []string{"run"}, want: "/run/kubewright-", fault: func(f *sshtest.Faults) { f.MaxSessions = 1 }},
		{name: "no programs in /run", user: "root", mounts: noexec + shmMount, dirs: []string{"run", "dev/shm"}, want: "/dev/shm/kubewright-"},
		{name: "mounted over", user: "root", mounts: runMount + noexec + shmMount, dirs: []string{"run", "dev/shm"}, want: "/dev/shm/kubewright-"},
		{name: "no room in /run", user: "root", mounts: runMount + shmMount, dirs: []string{"dev/shm"}, want: "/dev/shm/kubewright-"},
		{name: "no programs in memory", user: "root", mounts: noexec, dirs: []string{"run", "dev/shm"}, want: "/var/lib/kubewright/agent/"},
		{name: "/run on a disk", user: "root", mounts: "/dev/vda2 /run ext4 rw 0 0\n", dirs: []string{"run"}, want: "/var/lib/kubewright/agent/"},
		{name: "no table of mounts", user: "root", dirs: []string{"run"}, want: "/var/lib/kubewright/agent/"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := sshtest.Start(t, sshtest.Options{User: row.user, Agent: greeter(hash)})
			for _, dir := range append(row.dirs, "proc/self") {
				if err := os.MkdirAll(filepath.Join(s.Root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if row.mounts != "" {
				if err := os.WriteFile(filepath.Join(s.Root, "proc/self/mounts"), []byte(row.mounts), 0o444); err != nil {
					t.Fatal(err)
				}
			}
			if row.fault != nil {
				s.Fault(row.fault)
			}
			before := tree(t, s.Root)
			session, left, err := dial(t, s).Look(t.Context(), bin, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, strings.Join(s.Commands(), "\n"))
			}
			session.Close()
			ran := s.Commands()
			last := strings.TrimPrefix(ran[len(ran)-1], "sudo -n ")
			if !strings.HasPrefix(last, row.want) {
				t.Errorf("the agent was started as %q, not from %s", last, row.want)
			}
			onDisk := strings.HasPrefix(row.want, "/var")
			if left != onDisk {
				t.Errorf("it says that it was left: %v", left)
			}
			if after := tree(t, s.Root); !onDisk && !slices.Equal(before, after) {
				t.Errorf("the look left something:\n%q, was\n%q", after, before)
			}
		})
	}
}

// TestALookTakesTheAgentThatIsThere: on a host that has it, nothing is sent.
func TestALookTakesTheAgentThatIsThere(t *testing.T) {
	bin, hash := small(t)
	s := sshtest.Start(t, sshtest.Options{Agent: greeter(hash)})
	s.Install(bin)
	session, left, err := dial(t, s).Look(t.Context(), bin, nil)
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
	if left || len(s.Commands()) != 1 {
		t.Errorf("left %v, after %q", left, s.Commands())
	}
}

// tree is every path below root.
func tree(t *testing.T, root string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
