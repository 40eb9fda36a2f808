package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// Facts is what a host says of itself before anything is done to it. What cannot be found out is left empty: whoever needs a fact says
// so in a check, with a remedy.
type Facts struct {
	Hostname  string `json:"hostname"`
	OS        string `json:"os,omitempty"`        // ID of os-release
	OSVersion string `json:"osVersion,omitempty"` // VERSION_ID of os-release
	OSName    string `json:"osName,omitempty"`    // PRETTY_NAME of os-release
	// PackageManager is apt or dnf, or empty.
	PackageManager string    `json:"packageManager,omitempty"`
	Kernel         string    `json:"kernel"`
	Arch           string    `json:"arch"` // as Go and container images name it
	CPUs           int       `json:"cpus"`
	Memory         uint64    `json:"memory"`              // bytes
	Available      uint64    `json:"available,omitempty"` // bytes of memory that can be had now
	UID            int       `json:"uid"`
	Now            time.Time `json:"now"`

	BootID      string `json:"bootId,omitempty"`
	MachineID   string `json:"machineId,omitempty"`
	ProductUUID string `json:"productUuid,omitempty"`

	Init        string   `json:"init,omitempty"`      // the command of process 1
	Container   string   `json:"container,omitempty"` // what systemd-detect-virt calls it, empty on a machine
	Cgroup      int      `json:"cgroup,omitempty"`    // 1 or 2
	Controllers []string `json:"controllers,omitempty"`
	SELinux     string   `json:"selinux,omitempty"` // enforcing, permissive, or empty
	Guard       Guard    `json:"guard,omitzero"`
	Seccomp     bool     `json:"seccomp,omitempty"` // processes can be given a filter of system calls

	Etcd Account `json:"etcd,omitzero"` // what etcd can run as: the user of that name or, else, numbers that nobody has

	Units   map[string]ops.UnitState `json:"units,omitempty"` // those of interest that exist
	Manager ops.Manager              `json:"manager,omitzero"`
	Docker  string                   `json:"docker,omitempty"`  // the Debian package that Docker is from, where one is
	Modules map[string]string        `json:"modules,omitempty"` // loaded, builtin or available; what is missing is not there
	Listed  bool                     `json:"listed,omitempty"`  // there is a list of the modules that this kernel could load
	Options map[string]string        `json:"options,omitempty"` // how the kernel was built, y, m or n, for what is of interest; empty where nobody kept that
	NAT     string                   `json:"nat,omitempty"`     // whether nftables does what kube-proxy needs: works, or what it lacks; empty where trying would change something
	Sysctls map[string]string        `json:"sysctls,omitempty"`
	Swaps   []string                 `json:"swaps,omitempty"`
	Zram    bool                     `json:"zram,omitempty"` // systemd has a generator of swap in memory
	Disks   []Disk                   `json:"disks,omitempty"`

	Firewall Firewall `json:"firewall,omitzero"`
	NFS      string   `json:"nfs,omitempty"` // whose NFS server runs here: OursNFS or TheirNFS, or empty

	Interfaces   []Interface       `json:"interfaces,omitempty"`
	DefaultRoute string            `json:"defaultRoute,omitempty"` // the interface
	Defaults     []string          `json:"defaults,omitempty"`     // the interfaces of all default routes
	Routes       []Route           `json:"routes,omitempty"`       // IPv4
	Chains       []ops.KernelChain `json:"chains,omitempty"`       // of nftables: those that a cluster makes, and those that drop what passes through
	Listening    []Listener        `json:"listening,omitempty"`
	Nameservers  []string          `json:"nameservers,omitempty"`
	Search       []string          `json:"search,omitempty"`
	Names        []string          `json:"names,omitempty"` // addresses that /etc/hosts gives the host's own name

	Authorities map[string]string `json:"authorities,omitempty"` // certificates in PEM, by name
	Cluster     string            `json:"cluster,omitempty"`     // what the state directory says this host belongs to
	Changes     int               `json:"changes,omitempty"`     // how many things the journal could put back
	Journal     string            `json:"journal,omitempty"`     // why the journal cannot be read
	Remains     []string          `json:"remains,omitempty"`     // what Kubernetes or a relative left, our own aside
	CNI         []string          `json:"cni,omitempty"`         // files in /etc/cni/net.d that are not ours, in the runtime's order
	Unmanaged   bool              `json:"unmanaged,omitempty"`   // NetworkManager is told to leave pods' interfaces alone
	Opened      bool              `json:"opened,omitempty"`      // we have changed the host's firewall already

	Clock   Clock    `json:"clock,omitzero"`
	Upkeep  Upkeep   `json:"upkeep,omitzero"`
	Proxies []Proxy  `json:"proxies,omitempty"`
	Access  Access   `json:"access,omitzero"`
	Loose   []string `json:"loose,omitempty"`   // directories we write to that others could change
	Missing []string `json:"missing,omitempty"` // programs that the kubelet needs
}

// Account is the numbers of a user and its primary group.
type Account struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// Gather collects the facts. It reads files and makes system calls; it starts nothing and changes nothing.
func Gather(ctx context.Context, m ops.Machine, stateDir string) Facts {
	f := Facts{Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), UID: os.Geteuid(), Now: m.Now().UTC()}
	read := func(path string) string { return readText(m.Path(path)) }

	// The service manager is the only one asked that could keep us waiting.
	var wg sync.WaitGroup
	wg.Go(func() {
		f.Units = units(ctx, m)
		f.Manager, _ = ops.ManagerOf(ctx, m, ofConcern)
		f.Proxies = proxies(f.Manager.Environment, read("/etc/environment"))
	})
	f.Hostname, f.Kernel = uname()
	release := osRelease(read("/etc/os-release"))
	if len(release) == 0 {
		release = osRelease(read("/usr/lib/os-release"))
	}
	f.OS, f.OSVersion, f.OSName = release["ID"], release["VERSION_ID"], release["PRETTY_NAME"]
	f.Etcd = etcdAccount(read("/etc/passwd"), read("/etc/group"))
	f.PackageManager = ops.PackageManager(m)
	f.Memory, f.Available = memory(read("/proc/meminfo"))
	f.BootID = bootID(m)
	f.MachineID = strings.TrimSpace(read("/etc/machine-id"))
	f.ProductUUID = strings.ToLower(strings.TrimSpace(read("/sys/class/dmi/id/product_uuid")))
	f.Init = strings.TrimSpace(read("/proc/1/comm"))
	f.Container = container(read)
	f.Cgroup, f.Controllers = cgroups(m)
	if _, err := os.Stat(m.Path("/etc/selinux/config")); err == nil { // a kernel that has it, but was given no policy, lets everything pass
		f.SELinux = map[string]string{"1": "enforcing", "0": "permissive"}[strings.TrimSpace(read("/sys/fs/selinux/enforce"))]
	}
	f.Guard, f.Seccomp = guard(m), seccomp(read)
	f.Options = kernelConfig(m, f.Kernel)
	f.Modules, f.Listed = modules(m, f.Kernel, f.Options)
	f.Sysctls = sysctls(m)
	f.NAT, f.Chains = nft(m, f.Modules, f.Options)
	f.Docker = dockerPackage(m)
	f.Swaps = firstFields(read("/proc/swaps"), 1)
	f.Zram = zramGenerator(m)
	f.Disks = disks(m)
	f.Interfaces = interfaces()
	f.Routes, f.Defaults = routes(read("/proc/net/route"), read("/proc/net/ipv6_route"))
	if len(f.Defaults) > 0 {
		f.DefaultRoute = f.Defaults[0]
	}
	f.Listening = listening(m)
	f.Nameservers, f.Search = resolvers(read("/etc/resolv.conf"))
	f.Names = hostsEntries(read("/etc/hosts"), f.Hostname)
	f.Authorities = foundAuthorities(read)

	f.Cluster = strings.TrimSpace(read(filepath.Join(stateDir, "cluster")))
	var ours map[ops.Key]*change
	if j, _, err := readJournal(m.Path(stateDir)); err != nil {
		f.Journal = clip(err.Error(), maxMessage)
	} else {
		f.Changes, ours = len(j.changes), j.index
	}
	f.Remains, f.CNI = remains(m, ours), foreignCNI(m, ours)
	for key := range ours {
		f.Opened = f.Opened || slices.Contains(firewalls, key.Kind())
	}
	f.Unmanaged = unmanaged(m)
	f.Clock = clock()
	f.Upkeep = upkeep(m, running(m))
	if f.PackageManager == "dnf" && f.Container == "" {
		f.Upkeep.NewKernel = newKernel(m, f.Kernel)
	}
	f.Access, f.Loose, f.Missing = sshd(m), loose(m), missingTools(m)
	wg.Wait()
	f.Firewall = firewall(ctx, m, f.Units, read)
	f.NFS = nfsServer(f.Units["nfs-server.service"].Active, ours)
	return f
}

// readText reads a small file; what is missing, unreadable or endless reads as empty or cut off.
func readText(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, 4<<20))
	return string(data)
}

func uname() (host, kernel string) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "", ""
	}
	return unix.ByteSliceToString(u.Nodename[:]), unix.ByteSliceToString(u.Release[:])
}

// bootID tells one boot from the next. A container started again on a running kernel has booted too, so there its first process' start counts.
func bootID(m ops.Machine) string {
	id := strings.TrimSpace(readText(m.Path("/proc/sys/kernel/random/boot_id")))
	if started := processStart(readText(m.Path("/proc/1/stat"))); id != "" && started != "" {
		id += "-" + started
	}
	return id
}

// processStart is field 22 of /proc/PID/stat, in clock ticks since boot. The second field may hold spaces and brackets, so count from
// its end.
func processStart(stat string) string {
	_, rest, ok := strings.Cut(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	if fields := strings.Fields(rest); ok && len(fields) > 19 {
		return fields[19]
	}
	return ""
}

func memory(meminfo string) (total, available uint64) {
	for line := range strings.Lines(meminfo) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		n, _ := strconv.ParseUint(fields[0], 10, 64)
		switch name {
		case "MemTotal":
			total = n << 10
		case "MemAvailable":
			available = n << 10
		}
	}
	return total, available
}

// osRelease reads os-release(5): shell assignments, of which only quoting has to be understood.
func osRelease(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		out[name] = value
	}
	return out
}

// firstFields is the first word of every line after the heading ones.
func firstFields(table string, heading int) (out []string) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if heading--; heading < 0 && len(fields) > 0 {
			out = append(out, fields[0])
		}
	}
	return out
}

// ownHash is the digest of the running executable, so that the workstation knows that it speaks to what it sent. A process runs one.
var ownHash = sync.OnceValue(func() string {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
})
