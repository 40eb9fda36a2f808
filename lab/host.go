package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/inventory"
)

// bound are directories that must not lie on the host's overlay: an overlay cannot be the upper layer of the runtime's own,
// and etcd wants its fsync unadulterated.
var bound = []string{"containerd", "docker", "etcd", "kubelet", "registry"}

// container is a lab host as the machine sees it: a few directories.
type container struct {
	inventory.Host
	home string // below stateDir: upper, work, root, lib, sysctl; a virtual machine's disk
	log  string // its console
	vm   bool   // it has a kernel of its own

	selinux bool // and that a policy
}

func containerOf(h inventory.Host, userDir string) container {
	return container{Host: h, home: filepath.Join(stateDir, "hosts", h.Name), log: filepath.Join(userDir, "log", h.Name+".log")}
}

// root is the host's own view of its disk.
func (c container) root() string { return filepath.Join(c.home, "root") }

// mountRoot lays the host's changes over the shared root filesystem.
func (c container) mountRoot(base string) error {
	for _, d := range []string{"upper", "work", "root", "sysctl"} {
		if err := os.MkdirAll(filepath.Join(c.home, d), 0o755); err != nil {
			return err
		}
	}
	for _, d := range bound {
		if err := os.MkdirAll(filepath.Join(c.home, "lib", d), 0o755); err != nil {
			return err
		}
	}
	if mounted(c.root()) {
		return nil
	}
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", base, filepath.Join(c.home, "upper"), filepath.Join(c.home, "work"))
	if err := unix.Mount(prefix+"-"+c.Name, c.root(), "overlay", 0, opts); err != nil {
		return fmt.Errorf("host %s: overlay on %s: %w", c.Name, base, err)
	}
	return nil
}

// settle writes what makes this host itself, and who may log in. A host that has run keeps what became of its files.
func (c container) settle(key keypair) error {
	hostKey, err := c.hostKey()
	if err != nil {
		return err
	}
	for _, home := range []string{"/root", "/home/" + admin} {
		if err := os.MkdirAll(c.root()+home+"/.ssh", 0o700); err != nil {
			return err
		}
		if err := writeFile(c.root()+home+"/.ssh/authorized_keys", []byte(key.authorized), 0o600); err != nil {
			return err
		}
	}
	if err := own(c.root(), admin); err != nil {
		return err
	}
	settled := filepath.Join(c.home, "settled")
	if exists(settled) {
		return nil
	}
	id := make([]byte, 16)
	rand.Read(id)
	for _, f := range []treeFile{
		{"/etc/hostname", c.Name + "\n", 0o644},
		{"/etc/hosts", fmt.Sprintf("127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost ip6-loopback\n", c.Name), 0o644},
		{"/etc/machine-id", hex.EncodeToString(id) + "\n", 0o444},
		{"/etc/ssh/ssh_host_ed25519_key.pub", hostKey.authorized, 0o644},
	} {
		if err := writeFile(c.root()+f.Path, []byte(f.Content), f.Mode); err != nil {
			return err
		}
	}
	// A login's own service manager, which nobody here needs, takes three of the 128 inotify instances that a machine gives all of root's
	// processes (fs.inotify.max_user_instances), and so bounds how many hosts fit.
	if err := os.Symlink("/dev/null", c.root()+"/etc/systemd/system/user@.service"); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if exists(offeredPackages()) {
		if err := writeFile(c.root()+"/etc/apt/sources.list.d/lab.list", []byte(sourceList), 0o644); err != nil {
			return err
		}
	}
	return writeFile(settled, nil, 0o600)
}

// own gives a login its home, by the number the login has inside.
func own(root, login string) error {
	passwd, err := os.ReadFile(root + "/etc/passwd")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(passwd)) {
		var uid, gid int
		f := strings.Split(line, ":")
		if len(f) < 4 || f[0] != login {
			continue
		}
		if _, err := fmt.Sscan(f[2]+" "+f[3], &uid, &gid); err != nil {
			return err
		}
		return filepath.WalkDir(root+"/home/"+login+"/.ssh", func(p string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(p, uid, gid)
		})
	}
	return fmt.Errorf("no login %s in %s", login, root)
}

// start boots the host. It outlives this process.
func (c container) start() (*exec.Cmd, error) {
	if c.vm {
		return c.startVM()
	}
	if err := copySysctls(filepath.Join(c.home, "sysctl")); err != nil {
		return nil, fmt.Errorf("host %s: %w", c.Name, err)
	}
	return c.startLogged(c.nspawnArgs(exists("/dev/kmsg"), exists(offeredPackages())), []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8",
		"SYSTEMD_NSPAWN_API_VFS_WRITABLE=1", // net sysctls are the host's own
		"SYSTEMD_NSPAWN_LOCK=0",             // ours is enough, and leaves no file
	})
}

// startLogged starts what boots the host in the host's cgroup, with its console in the log.
func (c container) startLogged(argv, env []string) (*exec.Cmd, error) {
	if err := os.MkdirAll(filepath.Dir(c.log), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := startIn(cmd, cgroupOf(c.Name)); err != nil {
		return nil, fmt.Errorf("host %s: %w", c.Name, err)
	}
	return cmd, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// nspawnArgs is the container: everything a host may do except set the clock, which is the machine's.
func (c container) nspawnArgs(kmsg, packages bool) []string {
	argv := []string{
		"systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit",
		"--directory=" + c.root(), "--machine=" + prefix + "-" + strings.ReplaceAll(c.Name, ".", "-"), "--hostname=" + c.Name,
		"--network-namespace-path=" + filepath.Join(netnsDir, netnsOf(c.Name)),
		"--capability=all", "--drop-capability=CAP_SYS_TIME",
		"--system-call-filter=@keyring bpf @mount @module",
		"--kill-signal=SIGRTMIN+3", "--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--bind=" + filepath.Join(c.home, "sysctl") + ":/run/kwlab/sysctl",
	}
	for _, d := range bound {
		argv = append(argv, "--bind="+filepath.Join(c.home, "lib", d)+":/var/lib/"+d)
	}
	if kmsg {
		argv = append(argv, "--bind-ro=/dev/kmsg")
	}
	if packages {
		argv = append(argv, "--bind-ro="+offeredPackages()+":"+packagesPath)
	}
	return append(argv, initPath)
}

// copySysctls copies /proc/sys but net: a host's writes must not reach the machine, and its reads must find its writes. What
// cannot be read (vm/drop_caches) becomes an empty file that swallows.
func copySysctls(to string) error {
	// The directory itself may be another boot's mount source: only what is in it goes.
	left, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	const from = "/proc/sys"
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || p == from {
			return err
		}
		rel, _ := filepath.Rel(from, p)
		if rel == "net" {
			return fs.SkipDir
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		b, _ := os.ReadFile(p)
		return os.WriteFile(filepath.Join(to, rel), b, info.Mode().Perm()|0o600)
	})
}
