package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// Disk is the room at one path.
type Disk struct {
	Path    string `json:"path"`
	Type    string `json:"type"`
	Size    uint64 `json:"size"` // bytes
	Free    uint64 `json:"free"` // bytes that may be used
	Inodes  uint64 `json:"inodes"`
	IFree   uint64 `json:"ifree"`
	Device  uint64 `json:"device"` // equal for paths that share their room
	Flags   string `json:"flags,omitempty"`
	Untyped bool   `json:"untyped,omitempty"` // directories do not say what their entries are, which overlayfs needs (xfs with ftype=0)
}

// ofInterest are the units that preparation and preflight care about.
var ofInterest = []string{
	"firewalld.service", "ufw.service", "nftables.service", "docker.service", "cri-docker.service", "containerd.service", "kubelet.service", "NetworkManager.service",
	"chronyd.service", "chrony.service", "systemd-timesyncd.service", "ntpd.service", "ntpsec.service", "systemd-resolved.service",
	"nm-cloud-setup.service", "k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service",
	"zramswap.service", "zram-config.service", "k0scontroller.service", "k0sworker.service", "snap.microk8s.daemon-kubelite.service",
	"nfs-server.service", "rpcbind.socket", "rpcbind.service", "rpc-statd.service", "rpc-statd-notify.service",
}

func units(ctx context.Context, m ops.Machine) map[string]ops.UnitState {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	found := map[string]ops.UnitState{}
	for _, name := range ofInterest {
		state, err := m.Units().State(ctx, name)
		if err != nil {
			return found // no systemd, or not running
		}
		if state.Exists {
			found[name] = state
		}
	}
	return found
}

// Whose an NFS server is: it serves what is ours and nothing else, or it was there before.
const (
	OursNFS  = "ours"
	TheirNFS = "theirs"
)

// NFSConf has the settings of an NFS server of ours. A server that was there before keeps its own, and never gets this file.
const NFSConf = "/etc/nfs.conf.d/kubewright.conf"

func nfsServer(runs bool, ours map[ops.Key]*change) string {
	switch {
	case ours[ops.File{Path: NFSConf}.Key()] != nil:
		return OursNFS
	case runs:
		return TheirNFS
	}
	return ""
}

// dockerPackage is which of the packages that have Docker is there, by the list of its files.
func dockerPackage(m ops.Machine) string {
	for _, name := range []string{"docker.io", "docker-ce"} {
		if _, err := os.Lstat(m.Path("/var/lib/dpkg/info/" + name + ".list")); err == nil {
			return name
		}
	}
	return ""
}

// container finds the way systemd-detect-virt does; the first place is for root only.
func container(read func(string) string) string {
	if name := strings.TrimSpace(read("/run/systemd/container")); name != "" {
		return name
	}
	for entry := range strings.SplitSeq(read("/proc/1/environ"), "\x00") {
		if name, ok := strings.CutPrefix(entry, "container="); ok {
			return name
		}
	}
	return ""
}

func cgroups(m ops.Machine) (version int, controllers []string) {
	root := m.Path("/sys/fs/cgroup")
	if text := readText(filepath.Join(root, "cgroup.controllers")); text != "" {
		return 2, strings.Fields(text)
	}
	var st unix.Statfs_t
	if unix.Statfs(root, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		return 2, nil
	}
	for line := range strings.Lines(readText(m.Path("/proc/cgroups"))) {
		if f := strings.Fields(line); len(f) == 4 && !strings.HasPrefix(line, "#") && f[1] != "0" && f[3] == "1" {
			version, controllers = 1, append(controllers, f[0])
		}
	}
	return version, controllers
}

// ofConcern are the units whose state we ask for in full: ours, and those by which hosts get a proxy.
var ofConcern = []string{"kubelet.service", "containerd.service", "docker.service", "kubewright-registry.service"}

// firewalls are the kinds of op that open a firewall.
var firewalls = []string{"firewalld", "ufw", "ufwswitch", "nftrules"}

// wantedModules are what networking and storage of a cluster may need of the kernel.
var wantedModules = []string{
	"overlay", "br_netfilter", "nf_conntrack", "nf_tables", "vxlan", "wireguard", "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh",
	"ip_set", "ip_set_hash_ip", "ip_set_hash_ipport", "ip_set_hash_ipportip", "ip_set_hash_ipportnet", "ip_set_bitmap_port", "xt_set",
	"ip_tables", "iptable_nat", "nft_chain_nat", "nft_masq", "nft_numgen", "nft_fib_ipv4", "nft_ct", "nft_reject", "nft_compat", "wireguard", "nfs", "nfsv4", "nfsd",
}

// effects are what shows that the kernel can do a thing however it was built: some kernels do not list what is built in.
var effects = map[string]string{
	"br_netfilter": "/proc/sys/net/bridge",
	"ip_vs":        "/proc/net/ip_vs",
	"nf_conntrack": "/proc/sys/net/netfilter/nf_conntrack_max",
}

func modules(m ops.Machine, kernel string, options map[string]string) (found map[string]string, listed bool) {
	found = map[string]string{}
	mark := func(name, how string) {
		name = strings.ReplaceAll(name, "-", "_")
		if slices.Contains(wantedModules, name) && found[name] == "" {
			found[name] = how
		}
	}
	for _, name := range firstFields(readText(m.Path("/proc/modules")), 0) {
		mark(name, "loaded")
	}
	for name, path := range effects {
		if _, err := os.Lstat(m.Path(path)); err == nil {
			mark(name, "builtin")
		}
	}
	for _, name := range firstFields(strings.ReplaceAll(readText(m.Path("/proc/filesystems")), "nodev", ""), 0) {
		mark(name, "builtin") // overlay, where it is not loaded
	}
	// A module that was built in and has parameters or a version shows up in /sys/module as well.
	for _, name := range wantedModules {
		if _, err := os.Lstat(m.Path("/sys/module/" + name)); err == nil {
			mark(name, "builtin")
		}
	}
	for option, value := range options {
		if value == "y" {
			mark(moduleOf(option), "builtin")
		}
	}
	tree := m.Path("/lib/modules/" + kernel)
	for _, list := range []struct{ file, how string }{{"modules.builtin", "builtin"}, {"modules.dep", "available"}} {
		for line := range strings.Lines(readText(filepath.Join(tree, list.file))) {
			line = strings.TrimSpace(line)
			path, _, _ := strings.Cut(line, ":")
			name, _, _ := strings.Cut(filepath.Base(path), ".ko")
			if list.how == "available" {
				listed = true
				if name = strings.ReplaceAll(name, "-", "_"); !slices.Contains(wantedModules, name) || !loadable(tree, line) {
					continue
				}
			}
			mark(name, list.how)
		}
	}
	return found, listed
}

// nft asks the kernel about its nftables, where that changes nothing: asking for what is in a module that is not loaded would load it.
func nft(m ops.Machine, modules, options map[string]string) (nat string, chains []ops.KernelChain) {
	there := func(module string) bool {
		return modules[module] == "loaded" || modules[module] == "builtin"
	}
	if !there("nf_tables") {
		return "", nil
	}
	all, err := ops.KernelChainsOf(m)
	if err != nil {
		return "", nil
	}
	for _, c := range all {
		if (c.Clustered() || c.Hook == ops.Forwarding && c.Drop) && len(chains) < 200 {
			chains = append(chains, c)
		}
	}
	if options["MODULES"] != "n" {
		for _, module := range []string{"nft_chain_nat", "nft_masq", "nft_numgen", "nft_fib_ipv4"} {
			if !there(module) {
				return "", chains
			}
		}
	}
	switch err := ops.TryNFTables(); {
	case err == nil:
		nat = "works"
	case !ops.Untried(err):
		nat = clip(err.Error(), maxName)
	}
	return nat, chains
}

// zramGenerator says whether systemd makes swap in memory at each start, wherever a distribution or an administrator puts the program for it.
func zramGenerator(m ops.Machine) bool {
	return slices.ContainsFunc([]string{"/usr/lib", "/lib", "/usr/local/lib", "/etc"}, func(dir string) bool {
		_, err := os.Stat(m.Path(dir + "/systemd/system-generators/zram-generator"))
		return err == nil
	})
}

// filling are the paths that a cluster fills, and those that must take what we write.
var filling = []string{
	"/", "/etc", "/etc/kubernetes", "/var/lib", "/var/lib/containerd", "/var/lib/docker", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/kubewright",
	"/var/lib/registry", "/var/log", "/usr/local/bin", "/usr/local/sbin", "/opt", "/opt/cni/bin", "/run", "/tmp",
}

func disks(m ops.Machine) (all []Disk) {
	for _, path := range filling {
		var fs unix.Statfs_t
		var st unix.Stat_t
		// What is not there yet will be made in the next directory above that is.
		at := path
		for at != "/" && unix.Stat(m.Path(at), &st) != nil {
			at = filepath.Dir(at)
		}
		if unix.Statfs(m.Path(at), &fs) != nil || unix.Stat(m.Path(at), &st) != nil {
			continue
		}
		size := uint64(fs.Bsize)
		d := Disk{Path: path, Type: fsType(int64(fs.Type)), Size: fs.Blocks * size, Free: fs.Bavail * size,
			Inodes: fs.Files, IFree: fs.Ffree, Device: st.Dev, Flags: mountFlags(int64(fs.Flags))}
		immutable := false
		immutable, d.Untyped = directory(m.Path(at))
		if immutable {
			d.Flags = strings.TrimPrefix(d.Flags+",immutable", ",")
		}
		all = append(all, d)
	}
	return all
}

const isImmutable = 0x10 // linux/fs.h: FS_IMMUTABLE_FL

// directory says whether nothing may be made in a directory (chattr +i), and whether its entries do not say what they are.
func directory(path string) (immutable, untyped bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(fd)
	if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil {
		immutable = flags&isImmutable != 0
	}
	buffer := make([]byte, 4096)
	n, err := unix.Getdents(fd, buffer)
	// The first entry is the directory itself or what it is in; the type of an entry is its 19th byte (struct linux_dirent64).
	return immutable, err == nil && n > 18 && buffer[18] == unix.DT_UNKNOWN
}

func mountFlags(flags int64) string {
	var names []string
	for _, f := range []struct {
		bit  int64
		name string
	}{{unix.ST_RDONLY, "ro"}, {unix.ST_NOEXEC, "noexec"}, {unix.ST_NOSUID, "nosuid"}} {
		if flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ",")
}

func fsType(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case 0x2fc12fc1:
		return "zfs"
	}
	return ""
}

// foundAuthorities are the certificates of the CAs that lie where kubeadm and kubewright put them.
func foundAuthorities(read func(string) string) map[string]string {
	found := map[string]string{}
	for name, path := range map[string]string{
		"kubernetes":  "/etc/kubernetes/pki/ca.crt",
		"etcd":        "/etc/kubernetes/pki/etcd/ca.crt",
		"front-proxy": "/etc/kubernetes/pki/front-proxy-ca.crt",
		"registry":    "/etc/kubewright/pki/registry-ca.crt",
	} {
		if pem := read(path); pem != "" && len(pem) < 64<<10 {
			found[name] = pem
		}
	}
	return found
}

// leftovers are paths that tell of a cluster or of something that was one.
var leftovers = []string{
	"/etc/kubernetes/manifests/*.yaml", "/etc/kubernetes/*.conf", "/etc/kubernetes/pki/ca.crt", "/var/lib/etcd/member",
	"/var/lib/kubelet/config.yaml", "/var/lib/kubelet/pki", "/var/lib/kubelet/pods/*", "/var/lib/cni/*", "/run/flannel",
	"/etc/rancher/k3s", "/var/lib/rancher", "/usr/local/bin/k3s", "/etc/rancher/rke2", "/etc/k0s", "/var/lib/k0s", "/run/k0s",
	"/var/snap/microk8s", "/var/lib/minikube", "/var/lib/rke", "/usr/local/bin/k0s", "/usr/local/bin/rke2", "/opt/rke2",
	"/etc/systemd/system/k3s*.service", "/etc/systemd/system/rke2-*.service", "/etc/systemd/system/k0s*.service", "/usr/local/lib/systemd/system/rke2-*.service",
	"/etc/systemd/system/snap.microk8s.*.service", "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
	"/var/lib/docker/swarm/docker-state.json",
}

// remains is what of the leftovers is not of our making: neither a path nor a directory above it is in the journal.
func remains(m ops.Machine, ours map[ops.Key]*change) (found []string) {
	own := map[string]bool{}
	for key := range ours {
		if path := key.Name(); strings.HasPrefix(path, "/") {
			own[path] = true
		}
	}
	root := strings.TrimSuffix(m.Path("/"), "/")
	for _, pattern := range leftovers {
		matches, _ := filepath.Glob(m.Path(pattern))
		for _, match := range matches {
			path := strings.TrimPrefix(match, root)
			if !covered(own, path) {
				found = append(found, path)
			}
		}
	}
	if len(found) > 50 {
		found = found[:50]
	}
	return found
}

// foreignCNI are the configurations of pod networks that are not ours. The runtime takes the first by name, whoever's it is, and a directory of ours
// may hold a file of somebody else's.
func foreignCNI(m ops.Machine, ours map[ops.Key]*change) (found []string) {
	entries, _ := os.ReadDir(m.Path("/etc/cni/net.d"))
	for _, e := range entries {
		own := ours[ops.Key("file:/etc/cni/net.d/"+e.Name())] != nil
		if ext := filepath.Ext(e.Name()); !own && (ext == ".conf" || ext == ".conflist" || ext == ".json") && len(found) < 50 {
			found = append(found, e.Name())
		}
	}
	return found
}

func covered(own map[string]bool, path string) bool {
	for ; path != "/" && path != "." && path != ""; path = filepath.Dir(path) {
		if own[path] {
			return true
		}
	}
	return false
}

// etcdNumber is where the numbers begin that are tried for etcd's user and group: that of its port, which no distribution gives to anybody.
const etcdNumber = 2379

// etcdAccount finds the user etcd and its primary group or, where there is none, the group etcd and numbers that nobody has.
func etcdAccount(passwd, group string) Account {
	taken := map[int]bool{}
	gid := 0
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 3 {
			continue
		}
		n, err := strconv.Atoi(f[2])
		if f[0] == "etcd" && err == nil {
			gid = n // made by a run that was cut off before it made the user, perhaps: the number is the user's, too
		} else {
			taken[n] = true
		}
	}
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		primary, err2 := strconv.Atoi(f[3])
		if f[0] == "etcd" && err1 == nil && err2 == nil {
			return Account{UID: uid, GID: primary}
		}
		taken[uid] = true
	}
	n := etcdNumber
	for taken[n] {
		n++
	}
	if gid == 0 {
		gid = n
	}
	return Account{UID: n, GID: gid}
}
