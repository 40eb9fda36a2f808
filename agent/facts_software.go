package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// Upkeep is what goes on with the host's packages and configuration while we look.
type Upkeep struct {
	Holder      string   `json:"holder,omitempty"`      // who holds a package manager's lock, and which lock
	Broken      []string `json:"broken,omitempty"`      // packages that are half installed or half configured
	Interrupted bool     `json:"interrupted,omitempty"` // the package manager was cut off
	Reboot      bool     `json:"reboot,omitempty"`      // the host asks to be rebooted
	NewKernel   string   `json:"newKernel,omitempty"`   // a kernel that dnf installed since the host booted
	Busy        []string `json:"busy,omitempty"`        // programs at work that change hosts
	CloudInit   string   `json:"cloudInit,omitempty"`   // running, where it is
}

// Proxy is a place that sets a proxy for programs. The proxy's address may hold a password and stays on the host.
type Proxy struct {
	Where    string `json:"where"`
	Variable string `json:"variable"`
	NoProxy  string `json:"noProxy,omitempty"`
}

// packageLocks are the files that package managers lock, as long as they work, with fcntl; dnf writes its process' number into one instead.
var packageLocks = []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/lib/dnf/rpmdb_lock.pid", "/var/lib/rpm/.rpm.lock",
	"/usr/lib/sysimage/rpm/.rpm.lock"}

// editors are programs that change a host by themselves, as the kernel shortens their names.
var editors = []string{"unattended-upgr", "apt-get", "apt", "aptitude", "dpkg", "dnf", "yum", "packagekitd", "zypper", "rpm", "ansible", "ansible-playbo",
	"puppet", "chef-client", "salt-minion", "cloud-init"}

func upkeep(m ops.Machine, processes map[int]string) (u Upkeep) {
	for _, path := range packageLocks {
		pid := lockHolder(m.Path(path))
		if n, err := strconv.Atoi(strings.TrimSpace(readText(m.Path(path)))); strings.HasSuffix(path, ".pid") && err == nil && processes[n] != "" {
			pid = n // else it was killed, and is not at work
		}
		if pid > 0 {
			u.Holder = fmt.Sprintf("%s is held by pid %d", path, pid)
			if name := processes[pid]; name != "" {
				u.Holder += " (" + name + ")"
			}
			break
		}
	}
	u.Broken = brokenPackages(readText(m.Path("/var/lib/dpkg/status")))
	left, _ := os.ReadDir(m.Path("/var/lib/dpkg/updates"))
	u.Interrupted = len(left) > 0
	for _, flag := range []string{"/run/reboot-required", "/var/run/reboot-required"} {
		if _, err := os.Stat(m.Path(flag)); err == nil {
			u.Reboot = true
		}
	}
	for pid, name := range processes {
		if !slices.Contains(editors, name) {
			continue
		}
		line := readText(m.Path(fmt.Sprintf("/proc/%d/cmdline", pid)))
		// Debian's unattended-upgrades has a process that does nothing until shutdown; packagekitd waits to be asked.
		if strings.Contains(line, "unattended-upgrade-shutdown") || name == "packagekitd" {
			continue
		}
		u.Busy = append(u.Busy, fmt.Sprintf("%s (pid %d)", name, pid))
	}
	slices.Sort(u.Busy)
	u.Busy = u.Busy[:min(len(u.Busy), 10)]
	if _, err := os.Stat(m.Path("/run/cloud-init/enabled")); err == nil {
		if _, err := os.Stat(m.Path("/run/cloud-init/result.json")); err != nil {
			u.CloudInit = "running"
		}
	}
	return u
}

// newKernel finds a kernel that was installed since the host booted: dnf, unlike apt, leaves no word that a reboot is due.
func newKernel(m ops.Machine, running string) string {
	_, booted, _ := strings.Cut("\n"+readText(m.Path("/proc/stat")), "\nbtime ")
	booted, _, _ = strings.Cut(booted, "\n")
	since, err := strconv.ParseInt(booted, 10, 64)
	if err != nil {
		return ""
	}
	lists, _ := filepath.Glob(m.Path("/lib/modules/*/modules.dep"))
	for _, list := range lists {
		name := filepath.Base(filepath.Dir(list))
		if fi, err := os.Stat(list); err == nil && name != running && fi.ModTime().Unix() > since {
			return name
		}
	}
	return ""
}

// lockHolder asks the kernel who would keep us from locking a file. Asking opens the file for reading and locks nothing.
func lockHolder(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil || lock.Type == unix.F_UNLCK {
		return 0
	}
	return int(lock.Pid)
}

// brokenPackages reads dpkg's status: the third word of a package's Status says how far its installation came.
func brokenPackages(status string) (broken []string) {
	name := ""
	for line := range strings.Lines(status) {
		if n, ok := strings.CutPrefix(line, "Package: "); ok {
			name = strings.TrimSpace(n)
		}
		s, ok := strings.CutPrefix(line, "Status: ")
		if !ok {
			continue
		}
		if f := strings.Fields(s); len(f) == 3 && slices.Contains([]string{"half-installed", "half-configured", "unpacked", "triggers-awaited", "triggers-pending"}, f[2]) && len(broken) < 20 {
			broken = append(broken, name+" is "+f[2])
		}
	}
	return broken
}

// running are the names of all processes, by their ids.
func running(m ops.Machine) map[int]string {
	found := map[int]string{}
	entries, _ := os.ReadDir(m.Path("/proc"))
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			found[pid] = strings.TrimSpace(readText(m.Path("/proc/" + e.Name() + "/comm")))
		}
	}
	return found
}

// proxies finds where programs are told to use a proxy.
func proxies(environment map[string][]string, login string) (found []Proxy) {
	places := map[string][]string{"/etc/environment": strings.Split(login, "\n")}
	for where, lines := range environment {
		places[where] = lines
	}
	for where, lines := range places {
		p := Proxy{Where: where}
		for _, line := range lines {
			name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
			if !ok || value == "" {
				continue
			}
			switch name {
			case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy":
				if p.Variable == "" {
					p.Variable = name
				}
			case "NO_PROXY", "no_proxy":
				p.NoProxy = clip(strings.Trim(value, `"'`), maxMessage)
			}
		}
		if p.Variable != "" {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b Proxy) int { return strings.Compare(a.Where, b.Where) })
	return found[:min(len(found), 20)]
}

// Access is how logins to the host are limited.
type Access struct {
	MaxSessions int `json:"maxSessions,omitempty"` // 0: sshd's default, 10
}

// sshd reads the settings that bound us. In sshd_config the first word about a thing counts, and what Include names stands in its place.
func sshd(m ops.Machine) (a Access) {
	var read func(path string, depth int)
	read = func(path string, depth int) {
		for line := range strings.Lines(readText(m.Path(path))) {
			f := strings.Fields(strings.ReplaceAll(line, "=", " "))
			if len(f) < 2 || strings.HasPrefix(f[0], "#") {
				continue
			}
			switch strings.ToLower(f[0]) {
			case "match": // what follows is for some logins only
				return
			case "include":
				for _, pattern := range f[1:] {
					if !strings.HasPrefix(pattern, "/") {
						pattern = "/etc/ssh/" + pattern
					}
					matches, _ := filepath.Glob(m.Path(pattern))
					for _, match := range matches[:min(len(matches), 50)] {
						if depth < 4 {
							read(strings.TrimPrefix(match, strings.TrimSuffix(m.Path("/"), "/")), depth+1)
						}
					}
				}
			case "maxsessions":
				if n, err := strconv.Atoi(f[1]); err == nil && a.MaxSessions == 0 {
					a.MaxSessions = n
				}
			}
		}
	}
	read("/etc/ssh/sshd_config", 0)
	return a
}

// written are the directories in which we write files that root trusts, with all that lies above them.
var written = []string{"/", "/etc", "/etc/kubernetes", "/etc/kubewright", "/etc/systemd", "/etc/systemd/system", "/etc/containerd", "/etc/cni", "/etc/cni/net.d",
	"/etc/sysctl.d", "/etc/modules-load.d", "/usr", "/usr/local", "/usr/local/bin", "/usr/local/sbin", "/opt", "/opt/cni", "/opt/cni/bin", "/var", "/var/lib",
	"/var/lib/kubewright", "/var/lib/kubelet", "/var/lib/containerd", "/var/log", "/run"}

// loose are those of them that somebody else than root could change.
func loose(m ops.Machine) (found []string) {
	for _, path := range written {
		var st unix.Stat_t
		if unix.Stat(m.Path(path), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		switch {
		case st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX == 0:
			found = append(found, fmt.Sprintf("%s can be written to by everyone (mode %04o)", path, st.Mode&0o7777))
		case st.Uid != 0 && os.Geteuid() == 0:
			found = append(found, fmt.Sprintf("%s belongs to user %d", path, st.Uid))
		}
	}
	return found
}

// tools are programs that the kubelet starts to mount volumes.
var tools = []string{"mount", "umount", "cp", "losetup"}

func missingTools(m ops.Machine) (missing []string) {
	for _, tool := range tools {
		found := false
		for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
			if fi, err := os.Stat(m.Path(dir + "/" + tool)); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
				found = true
			}
		}
		if !found {
			missing = append(missing, tool)
		}
	}
	return missing
}

// Guard is what confines programs on the host beyond what owners and modes do.
type Guard struct {
	AppArmor        bool `json:"appArmor,omitempty"`
	AppArmorParser  bool `json:"appArmorParser,omitempty"`
	ContainerPolicy bool `json:"containerPolicy,omitempty"` // SELinux has rules for containers (container-selinux)
}

func guard(m ops.Machine) (g Guard) {
	there := func(patterns ...string) bool {
		for _, p := range patterns {
			if matches, _ := filepath.Glob(m.Path(p)); len(matches) > 0 {
				return true
			}
		}
		return false
	}
	g.AppArmor = strings.TrimSpace(readText(m.Path("/sys/module/apparmor/parameters/enabled"))) == "Y"
	g.AppArmorParser = there("/sbin/apparmor_parser", "/usr/sbin/apparmor_parser")
	g.ContainerPolicy = there("/usr/share/selinux/packages/container.pp*", "/usr/share/selinux/packages/*/container.pp*", "/var/lib/selinux/*/active/modules/*/container")
	return g
}

// unmanaged says whether NetworkManager is told to leave the interfaces of pods alone.
func unmanaged(m ops.Machine) bool {
	for _, pattern := range []string{"/etc/NetworkManager/NetworkManager.conf", "/etc/NetworkManager/conf.d/*.conf", "/usr/lib/NetworkManager/conf.d/*.conf", "/run/NetworkManager/conf.d/*.conf"} {
		matches, _ := filepath.Glob(m.Path(pattern))
		for _, file := range matches[:min(len(matches), 50)] {
			for line := range strings.Lines(readText(file)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				if name = strings.TrimSpace(name); (name == "unmanaged-devices" || name == "match-device") && strings.Contains(value, "cni") {
					return true
				}
			}
		}
	}
	return false
}
