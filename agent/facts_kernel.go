package agent

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// options are what a cluster may need a kernel to have been built with, where the kernel tells: what kubeadm's validators want, and what
// kube-proxy's modes stand on. An option that is built as a module is found as one.
var options = map[string]string{
	"NAMESPACES": "", "NET_NS": "", "PID_NS": "", "IPC_NS": "", "UTS_NS": "", "CPUSETS": "", "MEMCG": "", "INET": "", "PROC_FS": "",
	"FAIR_GROUP_SCHED": "", "CGROUPS": "", "CGROUP_BPF": "", "CGROUP_PIDS": "", "CGROUP_SCHED": "", "CGROUP_DEVICE": "", "CGROUP_FREEZER": "",
	"CGROUP_CPUACCT": "", "SECCOMP": "", "SECCOMP_FILTER": "", "CFS_BANDWIDTH": "", "MODULES": "",
	"NETFILTER_XT_TARGET_REDIRECT": "xt_REDIRECT", "NETFILTER_XT_MATCH_COMMENT": "xt_comment",
	"OVERLAY_FS": "overlay", "BRIDGE_NETFILTER": "br_netfilter", "NF_CONNTRACK": "nf_conntrack", "VXLAN": "vxlan", "WIREGUARD": "wireguard",
	"NF_TABLES": "nf_tables", "NF_TABLES_IPV4": "", "NFT_NAT": "nft_chain_nat", "NFT_MASQ": "nft_masq", "NFT_NUMGEN": "nft_numgen",
	"NFT_FIB_IPV4": "nft_fib_ipv4", "NFT_CT": "nft_ct", "NFT_REJECT": "nft_reject",
	"IP_VS": "ip_vs", "IP_VS_RR": "", "IP_VS_WRR": "", "IP_VS_SH": "", "IP_SET": "ip_set",
	"IP_SET_HASH_IP": "ip_set_hash_ip", "IP_SET_HASH_IPPORT": "ip_set_hash_ipport", "IP_SET_HASH_IPPORTIP": "ip_set_hash_ipportip",
	"IP_SET_HASH_IPPORTNET": "ip_set_hash_ipportnet", "IP_SET_BITMAP_PORT": "ip_set_bitmap_port", "NETFILTER_XT_SET": "xt_set",
	"IP_NF_IPTABLES": "ip_tables", "IP_NF_NAT": "iptable_nat", "NFT_COMPAT": "nft_compat",
	"NFS_FS": "nfs", "NFS_V4": "nfsv4", "NFSD": "nfsd",
}

// moduleOf is the module that an option builds.
func moduleOf(option string) string {
	if name := options[option]; name != "" {
		return name
	}
	if strings.HasPrefix(option, "IP_VS_") {
		return strings.ToLower(option)
	}
	return ""
}

// kernelConfig finds how the running kernel was built; nil where nobody kept that. An option of interest that is not there was not
// set.
func kernelConfig(m ops.Machine, kernel string) map[string]string {
	var text string
	for _, path := range []string{"/proc/config.gz", "/boot/config-" + kernel, "/lib/modules/" + kernel + "/config", "/usr/lib/modules/" + kernel + "/config"} {
		if text = readConfig(m.Path(path)); text != "" {
			break
		}
	}
	if text == "" {
		return nil
	}
	found := map[string]string{}
	for option := range options {
		found[option] = "n"
	}
	for line := range strings.Lines(text) {
		option, value, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "CONFIG_")), "=")
		if _, wanted := options[option]; ok && wanted && (value == "y" || value == "m") {
			found[option] = value
		}
	}
	return found
}

func readConfig(path string) string {
	if !strings.HasSuffix(path, ".gz") {
		return readText(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return ""
	}
	data, err := io.ReadAll(io.LimitReader(z, 4<<20))
	if err != nil {
		return ""
	}
	return string(data)
}

// loadable says whether a line of modules.dep can be made true: the module's file and those of all that it stands on are there. A kernel
// that was upgraded and not booted yet has a list and no files.
func loadable(tree, line string) bool {
	path, deps, _ := strings.Cut(line, ":")
	for _, p := range append([]string{path}, strings.Fields(deps)...) {
		if _, err := os.Stat(filepath.Join(tree, p)); err != nil {
			return false
		}
	}
	return true
}

// settings are the sysctls that preflight looks at.
var settings = []string{
	"fs.inotify.max_user_instances", "fs.inotify.max_user_watches", "fs.file-max", "kernel.pid_max", "kernel.threads-max",
	"net.netfilter.nf_conntrack_max", "net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter",
	"net.ipv6.conf.all.disable_ipv6", "kernel.modules_disabled", "net.bridge.bridge-nf-call-iptables", "user.max_user_namespaces",
	"kernel.seccomp.actions_avail",
}

func sysctls(m ops.Machine) map[string]string {
	found := map[string]string{}
	for _, name := range settings {
		if text := readText(m.Path("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))); text != "" {
			found[name] = clip(strings.TrimSpace(text), maxName)
		}
	}
	// Strictness is decided by the stricter of an interface's own value and that for all.
	dirs, _ := filepath.Glob(m.Path("/proc/sys/net/ipv4/conf/*/rp_filter"))
	for _, path := range dirs[:min(len(dirs), maxLinks)] {
		found["net.ipv4.conf."+filepath.Base(filepath.Dir(path))+".rp_filter"] = clip(strings.TrimSpace(readText(path)), maxName)
	}
	return found
}

// maxLinks bounds how many network links are told of; a node has three of its own, and one for each of its pods.
const maxLinks = 300

// Clock is what the kernel says of its own clock.
type Clock struct {
	Known    bool          `json:"known,omitempty"`
	Synced   bool          `json:"synced,omitempty"`   // somebody disciplines it
	MaxError time.Duration `json:"maxError,omitempty"` // as that somebody estimates
}

func clock() (c Clock) {
	var t unix.Timex // modes 0: only asked
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return c
	}
	const unsynchronised, leftAlone = 0x40, 5 // STA_UNSYNC; TIME_ERROR
	c.Known = true
	c.Synced = t.Status&unsynchronised == 0 && state != leftAlone
	c.MaxError = time.Duration(t.Maxerror) * time.Microsecond
	return c
}

// seccomp says whether processes can be given a filter of system calls.
func seccomp(read func(string) string) bool {
	return slices.Contains(strings.Fields(read("/proc/sys/kernel/seccomp/actions_avail")), "errno")
}
