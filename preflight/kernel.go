package preflight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/agent"
)

// version is a kernel's: 6.1 of 6.1.0-18-amd64, with the third number as far as there is one.
type version [3]int

func kernelVersion(release string) (v version, ok bool) {
	for i, part := range strings.SplitN(release, ".", 3) {
		digits := part
		if end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			digits = part[:end]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return v, i > 1
		}
		v[i] = n
	}
	return v, v[0] > 0
}

func (v version) before(other version) bool { return slices.Compare(v[:], other[:]) < 0 }

// requiredOptions are those that kubeadm's validators want of every kernel, beyond what modules are found for.
var requiredOptions = []string{"NAMESPACES", "NET_NS", "PID_NS", "IPC_NS", "UTS_NS", "CPUSETS", "MEMCG", "INET", "PROC_FS",
	"NETFILTER_XT_TARGET_REDIRECT", "NETFILTER_XT_MATCH_COMMENT", "FAIR_GROUP_SCHED", "CGROUPS", "CGROUP_PIDS", "CGROUP_SCHED"}

// perCgroup are those that depend on the version of control groups.
var perCgroup = map[int][]string{1: {"CGROUP_CPUACCT", "CGROUP_DEVICE", "CGROUP_FREEZER"}, 2: {"CGROUP_BPF"}}

// knownBad are kernels that work until they do not. A distribution that mends without saying so in the version is left out.
var knownBad = []struct {
	from, until version
	but         string // a distribution
	why, remedy string
}{
	{version{5, 4, 0}, version{5, 4, 41}, "ubuntu", "it computes wrong checksums for VXLAN packets with translated addresses, which are then dropped",
		"use 5.4.41 or later, or turn the offload off: ethtool -K flannel.1 tx-checksum-ip-generic off"},
	{version{5, 5, 0}, version{5, 6, 13}, "", "it computes wrong checksums for VXLAN packets with translated addresses, which are then dropped",
		"use 5.6.13 or later, or turn the offload off: ethtool -K flannel.1 tx-checksum-ip-generic off"},
}

// kernelChecks are about what the kernel can do.
var kernelChecks = []check{
	{"kernel", Error, node, func(l *look) {
		v, ok := kernelVersion(l.f.Kernel)
		if !ok {
			l.skip("the host does not say which kernel it runs")
			return
		}
		l.see("kernel %s", l.f.Kernel)
		longTerm := v[0] > 5 || slices.Contains([]int{4, 10, 15}, v[1])
		switch {
		case v.before(version{5, 4}):
			l.add(l.saw, "5.4 or later", "use a later kernel")
		case !longTerm:
			l.as(Warning, l.saw, "a kernel that is still looked after: 5.4, 5.10, 5.15, or 6.0 and later", "use one of them")
		}
	}},
	{"kernel-known-bad", Warning, node, func(l *look) {
		v, ok := kernelVersion(l.f.Kernel)
		if !ok {
			l.skip("the host does not say which kernel it runs")
			return
		}
		l.see("nothing is known against %s", l.f.Kernel)
		for _, bad := range knownBad {
			if !v.before(bad.from) && v.before(bad.until) && (bad.but == "" || l.f.OS != bad.but) {
				l.add("kernel "+l.f.Kernel+": "+bad.why, "a kernel without that fault", bad.remedy)
			}
		}
	}},
	{"kernel-options", Error, node, func(l *look) {
		if len(l.f.Options) == 0 {
			l.skip("nobody kept how the kernel was built")
			return
		}
		need := slices.Concat(requiredOptions, perCgroup[l.f.Cgroup])
		l.see("%d options are set", len(need))
		var lack []string
		for _, o := range need {
			if l.f.Options[o] == "n" {
				lack = append(lack, "CONFIG_"+o)
			}
		}
		if len(lack) > 0 {
			l.add("the kernel was built without "+list(lack), "a kernel with them", "use another kernel")
		}
	}},
	{"modules", Error, node, func(l *look) {
		need := []string{"overlay", "br_netfilter", "nf_conntrack"}
		if overlay, _ := l.Cluster.Overlay(); overlay != "" {
			need = append(need, overlay)
		}
		l.modules(need, func([]string) string {
			return "install the package with this kernel's modules, or boot the kernel whose modules are there"
		})
	}},
	{"limits", Warning, node, func(l *look) {
		l.see("the kernel's limits are enough")
		if l.f.Container != "" {
			l.skip("they are those of the machine that this container is on")
			return
		}
		for _, s := range []struct {
			name  string
			least uint64
			why   string
		}{
			{"fs.inotify.max_user_instances", 128, "every kubelet, runtime and many a pod watches files"},
			{"fs.inotify.max_user_watches", 8192, "every kubelet, runtime and many a pod watches files"},
			{"fs.file-max", 100000, "pods open files and sockets"},
			{"kernel.pid_max", 32768, "a pod may have 4096 processes"},
			{"kernel.threads-max", 8192, "a pod may have 4096 processes"},
		} {
			if n, err := strconv.ParseUint(l.f.Sysctls[s.name], 10, 64); err == nil && n < s.least {
				l.add(fmt.Sprintf("%s is %d", s.name, n), fmt.Sprintf("%d or more: %s", s.least, s.why), fmt.Sprintf("write %s = %d into a file in /etc/sysctl.d", s.name, s.least))
			}
		}
	}},
	{"conntrack", Warning, node, func(l *look) {
		n, err := strconv.ParseUint(l.f.Sysctls["net.netfilter.nf_conntrack_max"], 10, 64)
		if err != nil || l.f.Container == "" {
			l.skip("kube-proxy sizes the table")
			return
		}
		if l.see("room for %d connections", n); n < 32768 {
			l.add(l.saw, "32768: in a container kube-proxy cannot enlarge the table", "raise net.netfilter.nf_conntrack_max on the machine that the container is on")
		}
	}},
}

// modules finds which modules of those that are needed cannot be had, and those that might but for a kernel that takes no more.
func (l *look) modules(need []string, remedy func(lack []string) string) {
	var lack, barred []string
	for _, m := range need {
		switch {
		case absent(l.f, m):
			lack = append(lack, m)
		case l.f.Modules[m] == "available" && l.f.Sysctls["kernel.modules_disabled"] == "1":
			barred = append(barred, m)
		}
	}
	l.see("%s can be had, as far as the host tells", list(need))
	if len(lack) > 0 {
		l.add("the kernel "+l.f.Kernel+" has no "+list(lack)+", built in or as a module", "all of "+list(need), remedy(lack))
	}
	if len(barred) > 0 {
		l.add("kernel.modules_disabled is 1, and "+list(barred)+" is not loaded", "it loaded, or modules that can be",
			"load them before modules are disabled (/etc/modules-load.d), and reboot")
	}
}

// absent says that a kernel is known not to have a module: there is a list of what it could load and that is not on it, or it says that it was
// built without. Kernels that tell neither may well have it.
func absent(f agent.Facts, module string) bool {
	if f.Modules[module] != "" {
		return false
	}
	if value, known := f.Options[optionOf[module]]; known {
		return value == "n" || f.Listed // built as a module whose file is not there
	}
	return f.Listed
}

// optionOf is the option that builds a module.
var optionOf = map[string]string{
	"overlay": "OVERLAY_FS", "br_netfilter": "BRIDGE_NETFILTER", "nf_conntrack": "NF_CONNTRACK", "vxlan": "VXLAN", "wireguard": "WIREGUARD",
	"nf_tables": "NF_TABLES", "nft_chain_nat": "NFT_NAT", "nft_masq": "NFT_MASQ", "nft_numgen": "NFT_NUMGEN", "nft_fib_ipv4": "NFT_FIB_IPV4",
	"nft_ct": "NFT_CT", "nft_reject": "NFT_REJECT",
	"ip_vs": "IP_VS", "ip_vs_rr": "IP_VS_RR", "ip_vs_wrr": "IP_VS_WRR", "ip_vs_sh": "IP_VS_SH", "ip_set": "IP_SET",
	"ip_set_hash_ip": "IP_SET_HASH_IP", "ip_set_hash_ipport": "IP_SET_HASH_IPPORT", "ip_set_hash_ipportip": "IP_SET_HASH_IPPORTIP",
	"ip_set_hash_ipportnet": "IP_SET_HASH_IPPORTNET", "ip_set_bitmap_port": "IP_SET_BITMAP_PORT", "xt_set": "NETFILTER_XT_SET",
	"ip_tables": "IP_NF_IPTABLES", "iptable_nat": "IP_NF_NAT", "nft_compat": "NFT_COMPAT",
	"nfs": "NFS_FS", "nfsv4": "NFS_V4", "nfsd": "NFSD",
}
