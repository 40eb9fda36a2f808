package agent

import (
	"bytes"
	"compress/gzip"
	"os"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// A machine on which much goes on at once.
func TestFactsOfABusyMachine(t *testing.T) {
	m := ops.NewPretend(t.TempDir())
	_, kernel := uname()
	var config bytes.Buffer
	z := gzip.NewWriter(&config)
	_, _ = z.Write([]byte("# a comment\nCONFIG_IP_VS=m\nCONFIG_NF_TABLES=y\n# CONFIG_NFT_NAT is not set\nCONFIG_OVERLAY_FS=y\nCONFIG_HZ=250\nCONFIG_X=\"y\"\n"))
	_ = z.Close()
	plant(t, m, map[string]string{
		"/proc/config.gz":                                          config.String(),
		"/lib/modules/" + kernel + "/modules.dep":                  "kernel/ip_vs.ko: kernel/nf_conntrack.ko\nkernel/gone.ko:\nkernel/vxlan.ko: kernel/udp_tunnel.ko\n",
		"/lib/modules/" + kernel + "/kernel/ip_vs.ko":              "x",
		"/lib/modules/" + kernel + "/kernel/nf_conntrack.ko":       "x",
		"/lib/modules/" + kernel + "/kernel/vxlan.ko":              "x", // and nothing of what it stands on
		"/var/lib/dpkg/status":                                     "Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: install ok half-configured\n\nPackage: c\nStatus: deinstall ok config-files\n",
		"/var/lib/dpkg/updates/0001":                               "x",
		"/var/lib/dpkg/lock-frontend":                              "",
		"/run/reboot-required":                                     "",
		"/run/cloud-init/enabled":                                  "",
		"/proc/71/comm":                                            "puppet\n",
		"/proc/71/cmdline":                                         "puppet\x00agent\x00",
		"/proc/72/comm":                                            "unattended-upgr\n",
		"/proc/72/cmdline":                                         "/usr/bin/python3\x00/usr/share/unattended-upgrades/unattended-upgrade-shutdown\x00--wait-for-signal\x00",
		"/proc/73/comm":                                            "bash\n",
		"/proc/sys/fs/inotify/max_user_instances":                  "128\n",
		"/proc/sys/net/ipv4/conf/eth0/rp_filter":                   "1\n",
		"/proc/sys/kernel/seccomp/actions_avail":                   "kill_process kill_thread trap errno trace log allow\n",
		"/etc/environment":                                         "PATH=/bin\nhttps_proxy=\"http://user:hunter2@proxy:3128\"\nno_proxy=\"localhost,10.0.0.0/8\"\n",
		"/etc/ssh/sshd_config":                                     "# MaxSessions 3\nInclude /etc/ssh/sshd_config.d/*.conf\nMaxSessions 7\nMatch User x\n MaxSessions 1\n",
		"/etc/ssh/sshd_config.d/10-site.conf":                      "maxsessions = 2\n",
		"/etc/cni/net.d/05-x.conflist":                             "{}",
		"/etc/cni/net.d/10-flannel.conflist":                       "{}",
		"/etc/cni/net.d/README":                                    "",
		"/etc/NetworkManager/conf.d/cni.conf":                      "[keyfile]\nunmanaged-devices=interface-name:cni0;interface-name:flannel.*\n",
		"/sys/module/apparmor/parameters/enabled":                  "Y\n",
		"/var/lib/selinux/targeted/active/modules/200/container/x": "",
		"/usr/bin/mount":                                           "x",
		"/var/lib/kubewright/journal.jsonl": `{"version":1,"state":"intent","key":"file:/etc/cni/net.d/10-flannel.conflist"}` + "\n" +
			`{"version":1,"state":"intent","key":"dir:/etc/cni/net.d"}` + "\n" + `{"version":1,"state":"intent","key":"firewalld:trusted"}` + "\n",
	})
	for path, mode := range map[string]os.FileMode{"/opt": 0o777, "/usr/bin/mount": 0o755, "/etc/systemd": 0o755, "/var/log": 0o777 | os.ModeSticky} {
		_ = os.MkdirAll(m.Path(path), 0o755)
		if err := os.Chmod(m.Path(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	f := Gather(t.Context(), m, StateDir)
	for name, row := range map[string]struct{ got, want any }{
		"options":   {[]string{f.Options["IP_VS"], f.Options["NF_TABLES"], f.Options["NFT_NAT"], f.Options["MEMCG"], f.Options["HZ"]}, []string{"m", "y", "n", "n", ""}},
		"modules":   {f.Modules, map[string]string{"ip_vs": "available", "nf_tables": "builtin", "overlay": "builtin"}},
		"listed":    {f.Listed, true},
		"upkeep":    {f.Upkeep, Upkeep{Broken: []string{"b is half-configured"}, Interrupted: true, Reboot: true, Busy: []string{"puppet (pid 71)"}, CloudInit: "running"}},
		"sysctls":   {f.Sysctls["fs.inotify.max_user_instances"] + f.Sysctls["net.ipv4.conf.eth0.rp_filter"], "1281"},
		"seccomp":   {f.Seccomp, true},
		"proxies":   {f.Proxies, []Proxy{{Where: "/etc/environment", Variable: "https_proxy", NoProxy: "localhost,10.0.0.0/8"}}},
		"access":    {f.Access, Access{MaxSessions: 2}},
		"loose":     {f.Loose, []string{"/opt can be written to by everyone (mode 0777)"}},
		"cni":       {f.CNI, []string{"05-x.conflist"}},
		"guard":     {f.Guard, Guard{AppArmor: true, ContainerPolicy: true}},
		"unmanaged": {f.Unmanaged, true},
		"opened":    {f.Opened, true},
		"missing":   {f.Missing, []string{"umount", "cp", "losetup"}},
	} {
		if !reflect.DeepEqual(row.got, row.want) {
			t.Errorf("%s: %v, want %v", name, row.got, row.want)
		}
	}
}

// A machine of dnf's, on which one is at work and another was killed, and whose kernel was replaced.
func TestFactsOfAMachineOfDNFs(t *testing.T) {
	m := ops.NewPretend(t.TempDir())
	_, kernel := uname()
	plant(t, m, map[string]string{
		"/usr/bin/dnf": "", "/var/lib/dnf/rpmdb_lock.pid": "71", "/proc/stat": "cpu 1\nbtime 1700000000\nprocesses 1\n",
		"/lib/modules/" + kernel + "/modules.dep": "", "/lib/modules/9.8-1/modules.dep": "", "/lib/modules/9.9-1/modules.dep": "",
	})
	if err := os.Chtimes(m.Path("/lib/modules/9.8-1/modules.dep"), time.Time{}, time.Unix(1600000000, 0)); err != nil {
		t.Fatal(err)
	}
	if f := Gather(t.Context(), m, StateDir); !reflect.DeepEqual(f.Upkeep, Upkeep{NewKernel: "9.9-1"}) || f.PackageManager != "dnf" {
		t.Errorf("%+v, %q", f.Upkeep, f.PackageManager)
	}
	plant(t, m, map[string]string{"/proc/71/comm": "dnf\n", "/proc/1/environ": "container=lxc\x00"})
	f := Gather(t.Context(), m, StateDir)
	if want := "/var/lib/dnf/rpmdb_lock.pid is held by pid 71 (dnf)"; f.Upkeep.Holder != want || !reflect.DeepEqual(f.Upkeep.Busy, []string{"dnf (pid 71)"}) {
		t.Errorf("%+v, want %s", f.Upkeep, want)
	}
	if f.Container == "" || f.Upkeep.NewKernel != "" {
		t.Errorf("the kernel of a container (%q) is its machine's: %q", f.Container, f.Upkeep.NewKernel)
	}
}

// A lock is found by asking the kernel for its holder, which is another process than ours: a lock of one's own keeps nobody out.
func TestWhoHoldsALock(t *testing.T) {
	path := t.TempDir() + "/lock"
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if pid := lockHolder(path); pid != 0 {
		t.Errorf("pid %d holds what nobody locked", pid)
	}
	if pid := lockHolder(path + "-is-not-there"); pid != 0 {
		t.Errorf("pid %d holds what is not there", pid)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err != nil { // belongs to the open file, and so is another's to a second one
		t.Skip(err)
	}
	if pid := lockHolder(path); pid != -1 && pid != 0 {
		t.Errorf("a lock of an open file is held by pid %d", pid)
	}
}

func TestUntypedAndImmutableDirectories(t *testing.T) {
	if immutable, untyped := directory(t.TempDir()); immutable || untyped {
		t.Errorf("a new directory is immutable %v, untyped %v", immutable, untyped)
	}
	if immutable, untyped := directory("/is/not/there"); immutable || untyped {
		t.Error("what is not there is something")
	}
}
