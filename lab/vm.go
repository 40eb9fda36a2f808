package lab

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/inventory"
)

// A virtual machine is a host with a kernel of its own: user-mode-linux, which is a process of this machine and needs neither
// KVM nor anything of its kernel. It has what a container has not: modules, swap, sysctls, a clock, cgroup v2, and a reboot.

const (
	uml        = "/usr/bin/linux.uml"   // by its whole path: at a reboot it starts itself again by this name
	umlModules = "/usr/lib/uml/modules" // what its package brings for its kernel
	vmMemory   = 2 << 30                // bytes; taken from the machine as the host touches them
	vmDisk     = "20G"                  // sparse
	allHosts   = "*"
)

// vmNeeds are what needs lists, for virtual machines.
var vmNeeds = map[string]string{
	"linux.uml": "user-mode-linux",
	"mke2fs":    "e2fsprogs",
}

//go:embed tree/vm/cpuinfo.service
var cpuinfoService string

//go:embed tree/vm/cpuinfo
var cpuinfoScript string

// vmFiles is what a virtual machine has and a container must not have.
func vmFiles(a netip.Addr, net subnet) []treeFile {
	return []treeFile{
		{"/etc/fstab", "/dev/ubda / ext4 errors=remount-ro 0 1\n", 0o644},
		{"/etc/systemd/network/eth0.network", fmt.Sprintf("[Match]\nName=eth0\n\n[Network]\nAddress=%s\nGateway=%s\nIPv6AcceptRA=no\n",
			netip.PrefixFrom(a, net.prefix.Bits()), net.gateway), 0o644},
		// The kubelet does not start without a processor's clock rate, and user-mode-linux tells none.
		{"/usr/lib/kwlab/cpuinfo", cpuinfoScript, 0o755},
		{"/etc/systemd/system/kwlab-cpuinfo.service", cpuinfoService, 0o644},
	}
}

// vmLinks are its symbolic links. Its kernel has no nf_tables for addresses of IPv4 and IPv6, so iptables is the legacy one.
var vmLinks = map[string]string{
	"/etc/alternatives/iptables":          "/usr/sbin/iptables-legacy",
	"/etc/alternatives/iptables-save":     "/usr/sbin/iptables-legacy-save",
	"/etc/alternatives/iptables-restore":  "/usr/sbin/iptables-legacy-restore",
	"/etc/alternatives/ip6tables":         "/usr/sbin/ip6tables-legacy",
	"/etc/alternatives/ip6tables-save":    "/usr/sbin/ip6tables-legacy-save",
	"/etc/alternatives/ip6tables-restore": "/usr/sbin/ip6tables-legacy-restore",

	"/etc/systemd/system/sysinit.target.wants/kwlab-cpuinfo.service":                       "../kwlab-cpuinfo.service",
	"/etc/systemd/system/multi-user.target.wants/systemd-networkd.service":                 "/lib/systemd/system/systemd-networkd.service",
	"/etc/systemd/system/sockets.target.wants/systemd-networkd.socket":                     "/lib/systemd/system/systemd-networkd.socket",
	"/etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service": "/lib/systemd/system/systemd-networkd-wait-online.service",
}

// quiet are the masked units that a virtual machine does without, too: they wait for a terminal or start in the middle of a measurement.
var quiet = []string{
	"console-getty.service", "getty.target", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
	"e2scrub_reap.service", "fstrim.timer", "man-db.timer", "logrotate.timer",
}

// becomeVM makes a virtual machine's tree of what a container would boot from.
func (c container) becomeVM(net subnet) error {
	for _, u := range masked {
		if slices.Contains(quiet, u) {
			continue
		}
		if err := os.Remove(c.root() + "/etc/systemd/system/" + u); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, f := range vmFiles(c.Address, net) {
		if err := writeFile(c.root()+f.Path, []byte(f.Content), f.Mode); err != nil {
			return err
		}
	}
	for path, to := range vmLinks {
		if err := link(c.root()+path, to); err != nil {
			return err
		}
	}
	return legacyFirewalld(c.root() + "/etc/firewalld/firewalld.conf")
}

// legacyFirewalld has firewalld speak through iptables.
func legacyFirewalld(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return writeFile(file, bytes.Replace(b, []byte("\nFirewallBackend=nftables\n"), []byte("\nFirewallBackend=iptables\n"), 1), 0o644)
}

func link(path, to string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(to, path)
}

func (c container) disk() string { return filepath.Join(c.home, "disk.img") }

// makeDisk turns the host's tree, with its kernel's modules and the packages on offer in it, into the disk it boots from. A host that has one
// keeps it.
func (c container) makeDisk(ctx context.Context, net subnet) (err error) {
	if exists(c.disk()) {
		return nil
	}
	if err := c.becomeVM(net); err != nil {
		return err
	}
	within := map[string]string{}
	if c.selinux {
		if err := c.enforceable(ctx); err != nil {
			return err
		}
	} else {
		within["/usr/lib/modules"] = umlModules
		if exists(offeredPackages()) {
			within[packagesPath] = offeredPackages()
		}
	}
	for path, from := range within {
		at := c.root() + path
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(from, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", from, err)
		}
		defer func() { err = errors.Join(err, unmount(at)) }()
	}
	tmp := c.disk() + ".tmp"
	if err := os.RemoveAll(tmp); err != nil { // of an Up that was killed; mke2fs would ask
		return err
	}
	if err := run(ctx, "mke2fs", "-q", "-t", "ext4", "-m", "0", "-J", "size=32", "-d", c.root(), tmp, vmDisk); err != nil {
		return err
	}
	return os.Rename(tmp, c.disk())
}

// umlArgs is the machine: one disk, one card on the bridge, and its console on stdout.
func (c container) umlArgs() []string {
	return []string{
		uml, "mem=" + strconv.Itoa(vmMemory>>20) + "M", "ubd0=" + c.disk(), "root=/dev/ubda", "rw",
		"eth0=tuntap," + portOf(c.Name) + "," + macOf(c.Name), "net.ifnames=0",
		"con=null", "con0=null,fd:1", "TERM=dumb",
		"uml_dir=" + c.home + "/", "umid=uml",
	}
}

// umlEnv says where its memory is: a file without a name, in /dev/shm where there is room for it, else on the disk.
func (c container) umlEnv() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	var st unix.Statfs_t
	if unix.Statfs("/dev/shm", &st) != nil || st.Type != unix.TMPFS_MAGIC || st.Bavail*uint64(st.Bsize) < vmMemory {
		env = append(env, "TMPDIR="+c.home)
	}
	return env
}

// startVM switches the machine on, inside the bridge's network namespace. It outlives this process.
func (c container) startVM() (cmd *exec.Cmd, err error) {
	err = inNetns(prefix, func() error {
		cmd, err = c.startLogged(c.umlArgs(), c.umlEnv())
		return err
	})
	return cmd, err
}

// plugVM gives the machine a cable to the bridge, of which it holds the other end itself.
func plugVM(ctx context.Context, h inventory.Host) error {
	port := portOf(h.Name)
	if !hasLink(ctx, prefix, port) {
		if err := run(ctx, "ip", "-n", prefix, "tuntap", "add", "dev", port, "mode", "tap"); err != nil {
			return err
		}
	}
	return run(ctx, "ip", "-n", prefix, "link", "set", "dev", port, "master", bridge, "up")
}

// machinesOf are the hosts that are meant, each of which must be one of the cluster's.
func machinesOf(c inventory.Cluster, wanted []string) ([]string, error) {
	var out []string
	for _, h := range c.Spec.Hosts {
		if slices.Contains(wanted, allHosts) || slices.Contains(wanted, h.Name) {
			out = append(out, h.Name)
		}
	}
	for _, w := range wanted {
		if w != allHosts && !slices.Contains(out, w) {
			return nil, fmt.Errorf("no host is called %q, so it cannot be a virtual machine (there are %s)", w, names(c))
		}
	}
	return out, nil
}

// roomFor refuses virtual machines that could fill more memory than the machine has left.
func roomFor(rec record) error {
	all, err := labCgroups()
	if err != nil {
		return err
	}
	var need uint64
	for _, host := range rec.VMs {
		if len(processes(all[cgroupOf(host)])) == 0 {
			need += vmMemory
		}
	}
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	if left := available(string(b)); need > left {
		return fmt.Errorf("the virtual machines may need %d MiB of memory, and this machine has %d MiB left", need>>20, left>>20)
	}
	return nil
}

func available(meminfo string) uint64 {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kb, _ := strconv.ParseUint(strings.Fields(rest + " 0")[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// outermost finds the process that was started from outside: a virtual machine's own, the parent of those that run its programs.
func outermost(pids []int, parent func(int) int) int {
	for _, pid := range pids {
		if p := parent(pid); p != 0 && !slices.Contains(pids, p) {
			return pid
		}
	}
	return 0
}

func parentOf(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(rest))
			return n
		}
	}
	return 0
}
