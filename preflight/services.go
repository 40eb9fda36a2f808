package preflight

import (
	"slices"
	"strings"

	"github.com/kubewright/kubewright/inventory"
)

// timeServices keep a host's clock right.
var timeServices = []string{"chrony.service", "chronyd.service", "systemd-timesyncd.service", "ntpd.service", "ntpsec.service", "openntpd.service"}

// serviceChecks are about the host's service manager and logins.
var serviceChecks = []check{
	{"masked-units", Error, every, func(l *look) {
		need := []string{}
		if node(l.host) {
			need = append(need, "kubelet.service")
			if l.host.Docker() {
				need = append(need, "docker.service", "cri-docker.service", "cri-docker.socket")
			} else {
				need = append(need, "containerd.service")
			}
		}
		if registryHost(l.host) {
			need = append(need, "kubewright-registry.service")
		}
		l.see("none of %s is masked", list(need))
		for _, name := range need {
			if slices.Contains(l.f.Manager.Masked, name) {
				l.add(name+" is masked: it cannot be started", "a unit that can", "run systemctl unmask "+name)
			}
		}
	}},
	{"systemd-state", Warning, every, func(l *look) {
		if l.f.Manager.State == "" {
			l.skip("systemd could not be asked")
			return
		}
		l.see("systemd %s is %s", l.f.Manager.Version, l.f.Manager.State)
		// A login's own service manager is nobody's business but the login's.
		failed := slices.DeleteFunc(slices.Clone(l.f.Manager.Failed), func(u string) bool { return strings.HasPrefix(u, "user@") })
		switch l.f.Manager.State {
		case "running":
		case "degraded":
			if len(failed) == 0 {
				return
			}
			l.add("systemd is degraded: "+list(few(failed))+" failed", "all units well", "run systemctl --failed, and mend them or reset them with systemctl reset-failed")
		default:
			l.add("systemd is "+l.f.Manager.State, "a host that has booted", "wait until systemctl is-system-running says running")
		}
	}},
	{"daemon-reload", Warning, every, func(l *look) {
		l.see("systemd has read its units' files as they are")
		if len(l.f.Manager.Stale) > 0 {
			l.add("the files of "+list(l.f.Manager.Stale)+" changed since systemd read them", "systemd and its files agree", "run systemctl daemon-reload")
		}
	}},
	{"sessions", Warning, every, func(l *look) {
		l.see("sshd allows sessions enough")
		if n := l.f.Access.MaxSessions; n > 0 && n < 3 {
			l.add("sshd allows "+itoa(n)+" sessions on a connection", "3, or a second connection is made", "raise MaxSessions in sshd_config; the default of 10 is enough")
		}
	}},
	{"trusted-paths", Error, every, func(l *look) {
		l.see("only root can change the directories that we write to")
		for _, what := range l.f.Loose {
			remedy := "run chown root:root and chmod o-w on it"
			l.add(what, "directories that only root can change, for what is in them runs as root", remedy)
		}
	}},
	{"selinux", Warning, node, func(l *look) {
		if l.f.SELinux == "" {
			l.see("SELinux is off")
			return
		}
		l.see("SELinux is %s", l.f.SELinux)
		if l.f.SELinux == "enforcing" && !l.f.Guard.ContainerPolicy && l.Cluster.Spec.SELinux != inventory.SELinuxPermissive {
			l.add("SELinux is enforcing, and has no rules for containers", "the package container-selinux",
				"install it where the distribution has it, or let the inventory say selinux: permissive")
		}
	}},
	{"apparmor", Warning, node, func(l *look) {
		l.see("AppArmor is off, or can be told of containers' profiles")
		if l.f.Guard.AppArmor && !l.f.Guard.AppArmorParser && l.f.Container == "" {
			l.add("AppArmor is on, and there is no apparmor_parser", "it: with it the runtime confines containers", "install the package apparmor")
		}
	}},
	{"network-manager", Warning, node, func(l *look) {
		l.see("NetworkManager does not run, or leaves pods' interfaces alone")
		if l.f.Units["NetworkManager.service"].Active && !l.f.Unmanaged {
			l.add("NetworkManager manages every interface, also those of pods", "cni0, flannel.1 and veth* left alone",
				"write [keyfile] unmanaged-devices=interface-name:cni0;interface-name:flannel.*;interface-name:veth* into /etc/NetworkManager/conf.d/kubewright.conf and reload it")
		}
		for _, name := range []string{"nm-cloud-setup.service", "nm-cloud-setup.timer"} {
			if u := l.f.Units[name]; u.Enabled || u.Active {
				l.add(name+" is enabled: it adds routes of its own that break pods' traffic", "it off", "run systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer and reboot")
				break
			}
		}
	}},
}

// softwareChecks are about who else changes the host.
var softwareChecks = []check{
	{"package-lock", Warning, every, func(l *look) {
		l.see("no package manager is at work")
		if l.f.Upkeep.Holder != "" {
			l.add("a package manager is at work: "+l.f.Upkeep.Holder, "nobody else changing the host", "wait until it is done")
		}
	}},
	{"packages", Warning, every, func(l *look) {
		l.see("all packages are installed in full")
		if l.f.Upkeep.Interrupted {
			l.add("dpkg was cut off", "packages that are installed in full", "run dpkg --configure -a")
		}
		if b := l.f.Upkeep.Broken; len(b) > 0 {
			l.add(list(few(b)), "packages that are installed in full", "run dpkg --configure -a, or apt-get -f install")
		}
	}},
	{"reboot-pending", Warning, every, func(l *look) {
		if l.see("the host asks for no reboot"); l.f.Upkeep.Reboot {
			l.add("the host asks to be rebooted (/run/reboot-required)", "a host that runs what is installed", "reboot it before it is a node")
		}
		if v := l.f.Upkeep.NewKernel; v != "" {
			l.add("the kernel "+v+" was installed since the host booted, and it runs "+l.f.Kernel, "a host that runs what is installed", "reboot it before it is a node")
		}
	}},
	{"other-tools", Warning, every, func(l *look) {
		if l.see("nobody else changes the host"); len(l.f.Upkeep.Busy) > 0 {
			l.add("at work: "+list(l.f.Upkeep.Busy), "nobody else changing the host", "wait until it is done")
		}
	}},
	{"cloud-init", Warning, every, func(l *look) {
		if l.see("cloud-init is done, or not there"); l.f.Upkeep.CloudInit != "" {
			l.add("cloud-init is still running", "a host whose first boot is over", "wait: cloud-init status --wait")
		}
	}},
	{"proxy", Warning, every, func(l *look) {
		l.see("no program is told to use a proxy, or not for the cluster")
		for _, p := range l.f.Proxies {
			if lack := l.unproxied(p.NoProxy); len(lack) > 0 {
				l.add(p.Where+" sets "+p.Variable+" without exceptions for "+list(few(lack)), "the cluster's own addresses reached without the proxy",
					"add to NO_PROXY there: "+list(l.direct()))
			}
		}
	}},
}

// direct is what programs have to reach without a proxy.
func (l *look) direct() []string {
	out := []string{"127.0.0.1", "localhost", l.Cluster.Spec.Network.PodCIDR.String(), l.Cluster.Spec.Network.ServiceCIDR.String(), "." + l.Cluster.Spec.Network.DNSDomain}
	for _, h := range l.Cluster.Spec.Hosts {
		out = append(out, h.Address.String())
	}
	return out
}

// unproxied are the addresses that a NO_PROXY does not cover, read as Go's programs do: names, addresses and ranges.
func (l *look) unproxied(no string) (lack []string) {
	if strings.TrimSpace(no) == "*" {
		return nil
	}
	var prefixes []prefix
	words := strings.FieldsFunc(no, func(r rune) bool { return r == ',' || r == ' ' })
	for _, w := range words {
		if p, ok := parsePrefix(w); ok {
			prefixes = append(prefixes, p)
		}
	}
	covered := func(p prefix) bool {
		return slices.ContainsFunc(prefixes, func(q prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
	}
	for _, want := range l.direct() {
		if p, ok := parsePrefix(want); ok && want != "127.0.0.1" && !covered(p) {
			lack = append(lack, want)
		}
	}
	return lack
}
