package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	admin    = "admin" // the login that is not root; it has sudo without a password
	initPath = "/usr/lib/kwlab/init"
	runcPath = "/usr/lib/kwlab/runc"
)

// Every lab builds for itself, so that one that goes does not end another's work. What is built they share.
var buildCgroup, building = prefix + ".build", "." + prefix + ".tmp"

//go:embed tree/init
var initScript string

//go:embed tree/runc
var runcScript string

//go:embed tree/sshd.conf
var sshdConfig string

// packages are what a small server has, and what Kubernetes' documentation expects of a host.
var packages = []string{
	"ca-certificates", "conntrack", "curl", "dbus", "ethtool", "firewalld", "iproute2", "ipset", "iptables", "iputils-ping",
	"ipvsadm", "kmod", "libseccomp2", "nfs-common", "nftables", "openssh-server", "procps", "socat", "sudo", "systemd",
	"systemd-sysv", "udev", "ufw",
}

// treeFile is a file the lab adds to the packages.
type treeFile struct {
	Path, Content string
	Mode          fs.FileMode
}

var treeFiles = []treeFile{
	{initPath, initScript, 0o755},
	{runcPath, runcScript, 0o755}, // for Docker, where CAP_SYS_RESOURCE is missing
	{"/etc/ssh/sshd_config.d/lab.conf", sshdConfig, 0o644},
	{"/etc/sudoers.d/" + admin, admin + " ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440},
	// While systemd boots, nobody but root may log in; the lab's admin may.
	{"/etc/tmpfiles.d/systemd-nologin.conf", "", 0o644},
	{"/etc/systemd/journald.conf.d/lab.conf", "[Journal]\nSystemMaxUse=64M\nReadKMsg=no\n", 0o644},
	{"/etc/default/locale", "LANG=C.UTF-8\n", 0o644}, // PAM complains at every login without it
	{"/etc/fstab", "# A lab host's disk comes from outside.\n", 0o644},
	{"/etc/resolv.conf", "", 0o644}, // the builder's own leaks in otherwise
	{"/etc/machine-id", "", 0o444},
	{"/etc/apt/sources.list", "", 0o644}, // a lab host has no way out
}

// disabled units stay at hand for a test or an installer to start.
var disabled = []string{"firewalld.service", "nftables.service", "ufw.service", "rpcbind.service", "rpcbind.socket", "nfs-client.target", "remote-fs.target"}

// masked units have no place in a container: they speak to hardware, to the machine's kernel or to a terminal that is not
// there, or would start by themselves in the middle of a measurement.
var masked = []string{
	"systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-udev-trigger.service",
	"systemd-udev-settle.service", "systemd-modules-load.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount",
	"proc-sys-fs-binfmt_misc.mount", "run-rpc_pipefs.mount", "nfs-blkmap.service", "systemd-random-seed.service",
	"console-getty.service", "getty.target", "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
	"dev-hugepages.mount", "systemd-pstore.service", "modprobe@.service", "apt-daily.timer", "apt-daily-upgrade.timer",
	"dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "man-db.timer", "logrotate.timer",
	"systemd-networkd.service", "systemd-networkd.socket", "systemd-networkd-wait-online.service",
}

// rootfsKey changes when anything changes that the root filesystem is made of.
func rootfsKey(suite string) string {
	b, err := json.Marshal([]any{suite, packages, treeFiles, disabled, masked, rootfsRevision})
	if err != nil {
		panic(err) // strings and numbers only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// rootfsRevision stands for the code of finish in the key.
const rootfsRevision = 1

func cacheDir() (string, error) {
	c, err := os.UserCacheDir()
	return filepath.Join(c, "kubewright"), err
}

// rootfs returns the root filesystem that all hosts share, read-only. It is built once and kept.
func rootfs(ctx context.Context, o Options) (string, error) {
	src, err := readAptSource()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	tree := filepath.Join(cache, "rootfs-"+rootfsKey(src.suite))
	if _, err := os.Stat(tree); err == nil {
		return tree, nil
	}
	began := time.Now()
	o.say("building the hosts' root filesystem from %s packages (once; under a minute)", src.suite)
	tmp := tree + building
	if err := clearBuild(ctx, cache); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(tmp, "tmp"), 0o755); err != nil {
		return "", err
	}
	if err := bootstrap(ctx, src, tmp); err != nil {
		return "", err
	}
	if err := finish(ctx, filepath.Join(tmp, "tree")); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(tmp, "tree"), tree); err != nil && !errors.Is(err, fs.ErrExist) { // another lab was faster
		return "", err
	}
	o.say("root filesystem built in %s", time.Since(began).Round(100*time.Millisecond))
	return tree, clearBuild(ctx, cache)
}

// bootstrap lets mmdebstrap fill tmp/tree.
func bootstrap(ctx context.Context, src aptSource, tmp string) error {
	aptConf := filepath.Join(tmp, "tmp", "machine.conf")
	if err := os.WriteFile(aptConf, []byte(src.options), 0o644); err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "mmdebstrap", bootstrapArgs(src, aptConf, filepath.Join(tmp, "tree"))...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + filepath.Join(tmp, "tmp"), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	cmd.Stdout, cmd.Stderr = &out, &out
	// Its mounts are its own, so that they go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Unshareflags: syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return stopBuild(context.WithoutCancel(ctx)) }
	if err := startIn(cmd, buildCgroup); err != nil {
		return fmt.Errorf("mmdebstrap: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("mmdebstrap: %w\n%s", err, lastLines(out.String(), 15))
	}
	return nil
}

func bootstrapArgs(src aptSource, aptConf, tree string) []string {
	args := []string{
		"--mode=root", "--variant=minbase", "--format=directory", "--include=" + strings.Join(packages, ","),
		"--aptopt=" + aptConf,
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		src.suite, tree,
	}
	return append(args, src.files...)
}

// finish makes a host of a heap of packages.
func finish(ctx context.Context, tree string) error {
	for _, pattern := range []string{"/etc/ssh/ssh_host_*", "/etc/apt/sources.list.d/*", "/etc/apt/apt.conf.d/99mmdebstrap", "/etc/hostname"} {
		names, _ := filepath.Glob(tree + pattern)
		for _, n := range names {
			if err := os.Remove(n); err != nil {
				return err
			}
		}
	}
	for _, f := range treeFiles {
		if err := writeFile(tree+f.Path, []byte(f.Content), f.Mode); err != nil {
			return err
		}
	}
	return errors.Join(
		inside(ctx, tree, "/usr/sbin/useradd", "--create-home", "--shell", "/bin/bash", admin),
		inside(ctx, tree, slices.Concat([]string{"/usr/bin/systemctl", "--quiet", "disable"}, disabled)...),
		inside(ctx, tree, slices.Concat([]string{"/usr/bin/systemctl", "--quiet", "mask"}, masked)...),
		inside(ctx, tree, "/usr/bin/systemctl", "--quiet", "set-default", "multi-user.target"),
	)
}

// inside runs a program of a tree, with the tree for its root.
func inside(ctx context.Context, tree string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: tree}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w: %s", argv, tree, err, lastLines(string(out), 5))
	}
	return nil
}

// stopBuild ends a root filesystem's builder, also one whose Up was killed.
func stopBuild(ctx context.Context) error {
	all, err := labCgroups()
	if err != nil {
		return err
	}
	if err := killCgroup(ctx, buildCgroup, all[buildCgroup]); err != nil {
		return err
	}
	return removeCgroup(all[buildCgroup])
}

// clearBuild removes what a builder left that did not come to its end.
func clearBuild(ctx context.Context, cache string) error {
	if err := stopBuild(ctx); err != nil {
		return err
	}
	left, _ := filepath.Glob(filepath.Join(cache, "rootfs-*"+building))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// prune removes the cached root filesystems that nobody will ask for again, and the packages for them. What another lab builds or stands
// on stays.
func prune(cache string) error {
	src, err := readAptSource()
	if err != nil {
		return nil // then there is no telling
	}
	all, _ := filepath.Glob(filepath.Join(cache, "rootfs-*"))
	packages, _ := filepath.Glob(filepath.Join(cache, "packages-*"))
	mounts, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, dir := range slices.Concat(all, packages) {
		if strings.HasSuffix(dir, ".tmp") || slices.ContainsFunc(mounts, func(m mount) bool { return strings.Contains(m.super, dir) }) {
			continue
		}
		if filepath.Base(dir) == "rootfs-"+rootfsKey(src.suite) || strings.HasPrefix(filepath.Base(dir), "packages-"+rootfsKey(src.suite)+"-") {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
