package preflight

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

func TestNothingIsFoundOnGoodHosts(t *testing.T) {
	r := Run(clean(t).Input)
	if len(r.Findings) > 0 || r.Err() != nil {
		t.Errorf("found %v", r.Findings)
	}
	var skipped []string
	for _, s := range r.Skipped {
		if !slices.Contains(skipped, s.Check) {
			skipped = append(skipped, s.Check)
		}
	}
	// What hosts that are machines, with a survey and a bundle, leave unanswered.
	if want := []string{"conntrack", "trial"}; !slices.Equal(skipped, want) {
		t.Errorf("not looked at are %q, want %q", skipped, want)
	}
	if want := len(all()) - len(skipped); r.Checks != want || r.Hosts != 4 {
		t.Errorf("%d checks on %d hosts, want %d on 4", r.Checks, r.Hosts, want)
	}
	for _, p := range r.Passed {
		if strings.Contains(p.Text, "%!") {
			t.Errorf("%s: %s", p.Check, p.Text)
		}
	}
}

// row spoils one thing. What is found is one finding of that check about that host, in words that say what is and what to do.
type row struct {
	check, name string
	spoil       func(*world)
	found       string // as host: text; empty: nothing is found
	severity    Severity
}

// on spoils the facts of a host.
func on(host string, spoil func(*agent.Facts)) func(*world) {
	return func(w *world) { w.facts(host, spoil) }
}

func running(units ...string) func(*agent.Facts) {
	return func(f *agent.Facts) {
		f.Units = map[string]ops.UnitState{"chrony.service": {Exists: true, Active: true}}
		for _, u := range units {
			f.Units[u] = ops.UnitState{Exists: true, Enabled: true, Active: true}
		}
	}
}

func listening(l agent.Listener) func(*agent.Facts) {
	return func(f *agent.Facts) { f.Listening = append(slices.Clone(f.Listening), l) }
}

func link(i agent.Interface) func(*agent.Facts) {
	return func(f *agent.Facts) { f.Interfaces = append(slices.Clone(f.Interfaces), i) }
}

func mode(asked, fallback string) func(*world) {
	return func(w *world) {
		w.Cluster.Spec.KubeProxy = inventory.KubeProxy{Mode: asked, Fallback: fallback}
	}
}

func both(spoil ...func(*world)) func(*world) {
	return func(w *world) {
		for _, s := range spoil {
			s(w)
		}
	}
}

func lacks(modules ...string) func(*agent.Facts) {
	return func(f *agent.Facts) {
		for _, m := range modules {
			delete(f.Modules, m)
		}
	}
}

func rows(t *testing.T) []row {
	other := authority(t, true, -time.Hour, time.Hour)
	tmpfs := func(d *agent.Disk) { d.Type = "tmpfs" }
	return []row{
		{"systemd", "another init", on("node-0001", func(f *agent.Facts) { f.Init = "busybox" }), "node-0001: process 1 is busybox", Error},
		{"systemd", "another init on a host that is no node", on("registry", func(f *agent.Facts) { f.Init = "openrc-init" }), "registry: process 1 is openrc-init", Error},
		{"root", "a login that is not root", on("node-0002", func(f *agent.Facts) { f.UID = 1000 }), "node-0002: the agent runs as user 1000", Error},
		{"platform", "a bundle for other hosts", on("node-0001", func(f *agent.Facts) { f.Arch = "arm64" }), "node-0001: linux/arm64", Error},
		{"cpus", "a control plane with one", on("master", func(f *agent.Facts) { f.CPUs = 1 }), "master: 1 CPUs", Error},
		{"cpus", "a worker with one", on("node-0001", func(f *agent.Facts) { f.CPUs = 1 }), "", ""},
		{"memory", "a control plane with a byte too little", on("master", func(f *agent.Facts) { f.Memory-- }), "master: 1699 MiB of memory", Error},
		{"memory", "a worker with little", on("node-0001", func(f *agent.Facts) { f.Memory = 600 * mib }), "node-0001: 600 MiB of memory", Warning},
		{"memory-available", "little that is free", on("node-0001", func(f *agent.Facts) { f.Available = 200 * mib }), "node-0001: 200 MiB of memory can be had now", Warning},
		{"memory-available", "little that is free beside our own", on("node-0001", func(f *agent.Facts) { f.Available, f.Changes = 200*mib, 3 }), "", ""},
		{"cgroup", "v1 on a node", on("node-0002", func(f *agent.Facts) { f.Cgroup, f.Controllers = 1, nil }), "node-0002: cgroup v1, on which", Error},
		{"cgroup", "v1 that the inventory tolerates", both(on("node-0002", func(f *agent.Facts) { f.Cgroup, f.Controllers = 1, nil }),
			func(w *world) { w.Cluster.Spec.Kubelet.FailCgroupV1 = new(false) }), "", ""},
		{"cgroup", "that nobody knows", on("node-0002", func(f *agent.Facts) { f.Cgroup, f.Controllers = 0, nil }), "", ""},
		{"cgroup-controllers", "without memory", on("node-0001", func(f *agent.Facts) { f.Controllers = []string{"cpuset", "cpu", "pids"} }), "node-0001: no cgroup controller memory", Error},
		{"cgroup-controllers", "without cpuset", on("node-0001", func(f *agent.Facts) { f.Controllers = []string{"memory", "cpu", "pids"} }), "node-0001: no cgroup controller cpuset", Warning},
		{"seccomp", "without filters", on("node-0001", func(f *agent.Facts) { f.Seccomp = false }), "node-0001: the kernel cannot filter", Error},
		{"overlay", "that does not work", func(w *world) { w.Surveys["node-0001"].Overlay = "an overlay cannot be mounted: no such device" }, "node-0001: an overlay cannot be mounted: no such device", Error},
		{"tools", "without mount", on("node-0001", func(f *agent.Facts) { f.Missing = []string{"mount", "umount"} }), "node-0001: there is no program mount, umount", Error},
		{"tools", "without losetup", on("node-0001", func(f *agent.Facts) { f.Missing = []string{"losetup"} }), "node-0001: there is no program losetup", Warning},
		{"kernel", "too old", both(mode("iptables", ""), on("node-0001", func(f *agent.Facts) { f.Kernel = "4.19.0-26-amd64" })), "node-0001: kernel 4.19.0-26-amd64", Error},
		{"kernel", "that nobody looks after", both(mode("iptables", ""), on("node-0001", func(f *agent.Facts) { f.Kernel = "5.11.2" })), "node-0001: kernel 5.11.2", Warning},
		{"kernel", "of long standing", both(mode("iptables", ""), on("node-0001", func(f *agent.Facts) { f.Kernel = "5.10.0-28-amd64" })), "", ""},
		{"kernel-known-bad", "wrong checksums", both(mode("iptables", ""), on("node-0001", func(f *agent.Facts) { f.Kernel = "5.4.40" })), "node-0001: kernel 5.4.40: it computes wrong checksums", Warning},
		{"kernel-known-bad", "mended by the distribution", both(mode("iptables", ""), on("node-0001", func(f *agent.Facts) { f.Kernel, f.OS = "5.4.0-186-generic", "ubuntu" })), "", ""},
		{"kernel-options", "built without one", on("node-0001", func(f *agent.Facts) { f.Options["MEMCG"] = "n" }), "node-0001: the kernel was built without CONFIG_MEMCG", Error},
		{"kernel-options", "nobody kept how it was built", on("node-0001", func(f *agent.Facts) { f.Options = nil }), "", ""},
		{"modules", "of a kernel that is not the running one", on("node-0001", lacks("vxlan", "overlay")), "node-0001: the kernel 6.1.0-18-amd64 has no overlay, vxlan", Error},
		{"modules", "on a host that does not tell", on("node-0001", func(f *agent.Facts) { f.Modules, f.Listed = nil, false }), "", ""},
		{"modules", "that may not be loaded any more", on("node-0001", func(f *agent.Facts) {
			f.Sysctls["kernel.modules_disabled"], f.Modules["overlay"], f.Modules["nf_conntrack"], f.Modules["vxlan"] = "1", "loaded", "builtin", "loaded"
		}), "node-0001: kernel.modules_disabled is 1, and br_netfilter is not loaded", Error},
		{"limits", "that pods will meet", on("node-0001", func(f *agent.Facts) { f.Sysctls["fs.inotify.max_user_instances"] = "64" }), "node-0001: fs.inotify.max_user_instances is 64", Warning},
		{"limits", "of the machine below", on("node-0001", func(f *agent.Facts) {
			f.Sysctls["fs.inotify.max_user_instances"], f.Container = "64", "systemd-nspawn"
		}), "", ""},
		{"conntrack", "in a container, too small", on("node-0001", func(f *agent.Facts) {
			f.Sysctls["net.netfilter.nf_conntrack_max"], f.Container = "4096", "systemd-nspawn"
		}), "node-0001: room for 4096 connections", Warning},

		{"same-host", "two names for it", func(w *world) {
			w.facts("node-0002", func(f *agent.Facts) {
				first := w.Facts["node-0001"]
				f.BootID, f.MachineID, f.ProductUUID, f.Hostname = first.BootID, first.MachineID, first.ProductUUID, first.Hostname
				f.Interfaces = slices.Clone(f.Interfaces)
				f.Interfaces[1].MAC = first.Interfaces[1].MAC
			})
		}, "node-0002, node-0001: they are one and the same host", Error},
		{"machine-id", "of a copied host", on("node-0002", func(f *agent.Facts) { f.MachineID = fmt.Sprintf("%032x", 2) }), "node-0002, node-0001: the same machine-id: 0000", Error},
		{"machine-id", "of a host that is no node", on("registry", func(f *agent.Facts) { f.MachineID = fmt.Sprintf("%032x", 2) }), "registry, node-0001: the same machine-id", Error},
		{"machine-id", "that is not set", on("node-0002", func(f *agent.Facts) { f.MachineID = "" }), "", ""},
		{"product-uuid", "of a copied machine", on("node-0002", func(f *agent.Facts) { f.ProductUUID = "00000002-1111-4000-8000-000000000000" }), "node-0002, node-0001: the same product_uuid: 00000002-1111", Error},
		{"product-uuid", "of the machine that containers are on", both(on("node-0001", func(f *agent.Facts) { f.Container = "lxc" }),
			on("node-0002", func(f *agent.Facts) { f.ProductUUID = "00000002-1111-4000-8000-000000000000" })), "", ""},
		{"mac-address", "given twice", on("node-0002", func(f *agent.Facts) {
			f.Interfaces = slices.Clone(f.Interfaces)
			f.Interfaces[1].MAC = "52:54:00:00:00:02"
		}), "node-0002, node-0001: the same MAC address: 52:54:00:00:00:02", Error},
		{"host-name", "as the image has it", both(on("node-0001", func(f *agent.Facts) { f.Hostname = "debian" }), on("node-0002", func(f *agent.Facts) { f.Hostname = "debian" })),
			"node-0002, node-0001: they both call themselves debian", Warning},
		{"address-taken", "a host has another's address, too", on("node-0002", link(agent.Interface{Name: "eth1", Up: true, Addresses: []string{"192.168.1.31/24"}})),
			"node-0002, node-0001: the address 192.168.1.31 of node-0001 is on eth1 of node-0002", Error},

		{"other-cluster", "k3s by its unit", on("node-0001", func(f *agent.Facts) { f.Remains = []string{"/etc/systemd/system/k3s.service"} }), "node-0001: there is k3s: /etc/systemd/system/k3s.service", Error},
		{"other-cluster", "rke2", on("node-0001", func(f *agent.Facts) { f.Remains = []string{"/etc/rancher/rke2"} }), "node-0001: there is rke2: /etc/rancher/rke2", Error},
		{"other-cluster", "k0s", on("node-0001", func(f *agent.Facts) { f.Remains = []string{"/var/lib/k0s"} }), "node-0001: there is k0s: /var/lib/k0s", Error},
		{"other-cluster", "microk8s by its unit", on("node-0001", running("snap.microk8s.daemon-kubelite.service")), "node-0001: there is microk8s: snap.microk8s.daemon-kubelite.service", Error},
		{"other-cluster", "kubeadm", on("node-0001", func(f *agent.Facts) { f.Remains = []string{"/etc/kubernetes/kubelet.conf"} }), "node-0001: there is kubeadm: /etc/kubernetes/kubelet.conf", Error},
		{"other-cluster", "beside ours", on("node-0001", func(f *agent.Facts) { f.Remains, f.Changes = []string{"/var/lib/minikube"}, 3 }), "node-0001: there is minikube: /var/lib/minikube", Error},
		{"remains", "of another installation", on("node-0001", func(f *agent.Facts) { f.Remains = []string{"/var/lib/cni/networks", "/run/flannel"} }), "node-0001: there are remains of another installation: /var/lib/cni/networks, /run/flannel", Error},
		{"remains", "of our own, which the journal knows", on("node-0001", func(f *agent.Facts) { f.Remains, f.Changes = []string{"/run/flannel"}, 3 }), "", ""},
		{"remains", "on a host that is no node", on("registry", func(f *agent.Facts) { f.Remains = []string{"/var/lib/minikube"} }), "", ""},
		{"cni-config", "that comes first", on("node-0001", func(f *agent.Facts) { f.CNI, f.Changes = []string{"05-calico.conflist"}, 3 }), "node-0001: /etc/cni/net.d/05-calico.conflist comes before our 10-flannel.conflist", Error},
		{"cni-config", "that comes later", on("node-0001", func(f *agent.Facts) { f.CNI = []string{"99-loopback.conf"} }), "node-0001: /etc/cni/net.d/99-loopback.conf configures another", Warning},
		{"links", "a bridge of another cluster", on("node-0001", link(agent.Interface{Name: "cni0", Addresses: []string{"10.42.0.1/24"}})), "node-0001: cni0 is there already, with the address 10.42.0.1/24", Error},
		{"links", "our own bridge", on("node-0001", func(f *agent.Facts) {
			link(agent.Interface{Name: "cni0", Addresses: []string{"10.244.1.1/24"}})(f)
			f.Changes = 3
		}), "", ""},
		{"rules", "of another cluster", on("node-0001", func(f *agent.Facts) { f.Chains = []ops.KernelChain{{Table: "ip nat", Name: "KUBE-SERVICES"}} }), "node-0001: there are rules of another cluster: ip nat KUBE-SERVICES", Warning},
		{"forwarding", "dropped by Docker's rules", on("node-0001", func(f *agent.Facts) {
			f.Chains = []ops.KernelChain{{Table: "ip filter", Name: "FORWARD", Hook: ops.Forwarding, Drop: true}}
		}), "node-0001: what passes through the host is dropped at the end of ip filter FORWARD", Warning},
		{"runtime", "of somebody else", on("node-0001", running("docker.service")), "node-0001: docker.service runs already", Error},
		{"runtime", "of our own, which the journal knows", on("node-0001", func(f *agent.Facts) { running("containerd.service")(f); f.Changes = 3 }), "", ""},
		{"runtime", "that is installed and does not run", on("node-0001", func(f *agent.Facts) { f.Units["docker.service"] = ops.UnitState{Exists: true} }), "", ""},
		{"runtime", "on a host that is no node", on("registry", running("containerd.service")), "", ""},
		{"journal", "that nobody can read", on("registry", func(f *agent.Facts) { f.Journal = "line 3 is cut off" }), "registry: the journal of earlier changes cannot be read: line 3 is cut off", Error},

		{"masked-units", "the kubelet's", on("node-0001", func(f *agent.Facts) { f.Manager.Masked = []string{"kubelet.service"} }), "node-0001: kubelet.service is masked", Error},
		{"masked-units", "the kubelet's on a host that is no node", on("registry", func(f *agent.Facts) { f.Manager.Masked = []string{"kubelet.service"} }), "", ""},
		{"systemd-state", "degraded", on("node-0001", func(f *agent.Facts) { f.Manager.State, f.Manager.Failed = "degraded", []string{"apt-daily.service"} }), "node-0001: systemd is degraded: apt-daily.service failed", Warning},
		{"systemd-state", "degraded by a login's own manager", on("node-0001", func(f *agent.Facts) { f.Manager.State, f.Manager.Failed = "degraded", []string{"user@0.service"} }), "", ""},
		{"systemd-state", "still booting", on("node-0001", func(f *agent.Facts) { f.Manager.State = "starting" }), "node-0001: systemd is starting", Warning},
		{"daemon-reload", "pending", on("node-0001", func(f *agent.Facts) { f.Manager.Stale = []string{"kubelet.service"} }), "node-0001: the files of kubelet.service changed", Warning},
		{"sessions", "too few", on("node-0001", func(f *agent.Facts) { f.Access.MaxSessions = 1 }), "node-0001: sshd allows 1 sessions", Warning},
		{"trusted-paths", "open to everyone", on("node-0001", func(f *agent.Facts) { f.Loose = []string{"/opt can be written to by everyone (mode 0777)"} }), "node-0001: /opt can be written to by everyone", Error},
		{"selinux", "enforcing without rules", on("node-0001", func(f *agent.Facts) { f.SELinux = "enforcing" }), "node-0001: SELinux is enforcing, and has no rules", Warning},
		{"selinux", "enforcing without rules, and to be permissive", both(func(w *world) { w.Cluster.Spec.SELinux = inventory.SELinuxPermissive },
			on("node-0001", func(f *agent.Facts) { f.SELinux = "enforcing" })), "", ""},
		{"selinux", "enforcing with rules", on("node-0001", func(f *agent.Facts) { f.SELinux, f.Guard.ContainerPolicy = "enforcing", true }), "", ""},
		{"apparmor", "without its parser", on("node-0001", func(f *agent.Facts) { f.Guard.AppArmorParser = false }), "node-0001: AppArmor is on, and there is no apparmor_parser", Warning},
		{"network-manager", "that manages everything", on("node-0001", running("NetworkManager.service")), "node-0001: NetworkManager manages every interface", Warning},
		{"network-manager", "that leaves pods alone", on("node-0001", func(f *agent.Facts) { running("NetworkManager.service")(f); f.Unmanaged = true }), "", ""},
		{"network-manager", "with routes of a cloud", on("node-0001", running("nm-cloud-setup.service")), "node-0001: nm-cloud-setup.service is enabled", Warning},

		{"package-lock", "held", on("node-0001", func(f *agent.Facts) { f.Upkeep.Holder = "/var/lib/dpkg/lock-frontend is held by pid 812 (apt-get)" }), "node-0001: a package manager is at work: /var/lib/dpkg/lock-frontend is held by pid 812 (apt-get)", Warning},
		{"packages", "half configured", on("node-0001", func(f *agent.Facts) { f.Upkeep.Broken = []string{"grub-pc is half-configured"} }), "node-0001: grub-pc is half-configured", Warning},
		{"packages", "cut off", on("node-0001", func(f *agent.Facts) { f.Upkeep.Interrupted = true }), "node-0001: dpkg was cut off", Warning},
		{"reboot-pending", "after an upgrade", on("node-0001", func(f *agent.Facts) { f.Upkeep.Reboot = true }), "node-0001: the host asks to be rebooted", Warning},
		{"reboot-pending", "after an upgrade with dnf", on("node-0001", func(f *agent.Facts) { f.Upkeep.NewKernel = "9.9-1" }), "node-0001: the kernel 9.9-1 was installed since the host booted", Warning},
		{"other-tools", "at work", on("node-0001", func(f *agent.Facts) { f.Upkeep.Busy = []string{"puppet (pid 7)"} }), "node-0001: at work: puppet (pid 7)", Warning},
		{"cloud-init", "at work", on("node-0001", func(f *agent.Facts) { f.Upkeep.CloudInit = "running" }), "node-0001: cloud-init is still running", Warning},
		{"proxy", "without exceptions", on("node-0001", func(f *agent.Facts) {
			f.Proxies = []agent.Proxy{{Where: "containerd.service", Variable: "HTTPS_PROXY", NoProxy: "localhost,192.168.1.0/24"}}
		}),
			"node-0001: containerd.service sets HTTPS_PROXY without exceptions for 10.244.0.0/16, 10.96.0.0/12", Warning},
		{"proxy", "with exceptions for the cluster", on("node-0001", func(f *agent.Facts) {
			f.Proxies = []agent.Proxy{{Where: "/etc/environment", Variable: "http_proxy", NoProxy: "10.0.0.0/8, 192.168.0.0/16"}}
		}), "", ""},

		{"clock", "past the limit", func(w *world) { w.Skews["node-0001"] = Skew{Ahead: 31 * time.Second, Within: 20 * time.Millisecond} }, "node-0001: its clock is 31s (give or take 20ms) from the middle", Error},
		{"clock", "at the limit, as far as can be told", func(w *world) { w.Skews["node-0001"] = Skew{Ahead: 31 * time.Second, Within: 2 * time.Second} }, "", ""},
		{"clock", "behind", func(w *world) { w.Skews["registry"] = Skew{Ahead: -600 * time.Second} }, "registry: its clock is -10m0s", Error},
		{"clock", "the first one", func(w *world) { w.Skews["master"] = Skew{Ahead: time.Minute} }, "master: its clock is 1m0s", Error},
		{"clock-year", "a host without a battery", on("node-0001", func(f *agent.Facts) { f.Now = time.Unix(4000, 0) }), "node-0001: it is 1970-01-01T01:06:40Z there", Error},
		{"clock-workstation", "an hour behind", func(w *world) { shift(w, time.Hour) }, "all hosts: the clock of this workstation is 1h0m0s behind the hosts'", Error},
		{"clock-workstation", "an hour ahead", func(w *world) { shift(w, -time.Hour) }, "all hosts: the clock of this workstation is 1h0m0s ahead of the hosts'", Warning},
		{"time-service", "none", on("node-0001", func(f *agent.Facts) { f.Units, f.Clock.Synced = nil, false }), "node-0001: nobody keeps the clock right", Warning},
		{"time-service", "none to enable", func(w *world) {
			w.Cluster.Spec.TimeService = inventory.TimeServiceEnable
			on("node-0001", func(f *agent.Facts) { f.Units = nil })(w)
		}, "node-0001: no time service is installed", Error},
		{"time-service", "one that is going to be installed", func(w *world) {
			w.Cluster.Spec.TimeService, w.Cluster.Spec.Packages = inventory.TimeServiceEnable, []inventory.Package{{Name: "chrony"}}
			on("node-0001", func(f *agent.Facts) { f.Units = nil })(w)
		}, "", ""},
		{"time-service", "without a server that answers", on("node-0001", func(f *agent.Facts) { f.Clock.Synced = false }), "node-0001: systemd-timesyncd.service runs, and the clock is not synchronised", Warning},

		{"address", "that no interface has", on("node-0001", func(f *agent.Facts) { f.Interfaces = f.Interfaces[:1] }), "node-0001: no interface has the address 192.168.1.31", Error},
		{"address", "of which an interface has only the beginning", on("node-0001", func(f *agent.Facts) {
			f.Interfaces = []agent.Interface{{Name: "eth0", Up: true, Addresses: []string{"192.168.1.3/24", "192.168.1.310/24"}}}
		}), "node-0001: no interface has the address 192.168.1.31", Error},
		{"address", "on an interface that is down", on("node-0001", func(f *agent.Facts) {
			f.Interfaces = slices.Clone(f.Interfaces)
			f.Interfaces[1].Up = false
		}), "node-0001: the interface eth0 with the address 192.168.1.31 is down", Error},
		{"default-route", "none", on("node-0001", func(f *agent.Facts) { f.Defaults = nil }), "node-0001: no default route", Warning},
		{"reverse-path", "strict, with two ways out", on("node-0001", func(f *agent.Facts) {
			f.Defaults, f.Sysctls["net.ipv4.conf.eth0.rp_filter"] = []string{"eth0", "eth1"}, "1"
		}), "node-0001: several default routes (eth0, eth1) and strict", Warning},
		{"reverse-path", "loose, with two ways out", on("node-0001", func(f *agent.Facts) { f.Defaults = []string{"eth0", "eth1"} }), "", ""},
		{"ranges", "a tunnel into them", on("node-0001", func(f *agent.Facts) {
			f.Routes = append(slices.Clone(f.Routes), agent.Route{Network: "10.0.0.0/8", Interface: "tun0"})
		}),
			"node-0001: spec.network.podCIDR 10.244.0.0/16 overlaps the route to 10.0.0.0/8 by tun0; node-0001: spec.network.serviceCIDR 10.96.0.0/12 overlaps the route to 10.0.0.0/8 by tun0", Error},
		{"ranges", "Docker's bridge", on("node-0001", link(agent.Interface{Name: "docker0", Addresses: []string{"10.244.0.1/16"}})), "node-0001: spec.network.podCIDR 10.244.0.0/16 overlaps the network 10.244.0.0/16 of docker0", Error},
		{"ranges", "a name server in them", on("node-0001", func(f *agent.Facts) { f.Nameservers = []string{"10.100.0.2"} }), "node-0001: spec.network.serviceCIDR 10.96.0.0/12 overlaps the name server 10.100.0.2", Error},
		{"ranges", "our own pods' network", on("node-0001", func(f *agent.Facts) {
			link(agent.Interface{Name: "cni0", Addresses: []string{"10.244.1.1/24"}})(f)
			f.Routes, f.Changes = append(slices.Clone(f.Routes), agent.Route{Network: "10.244.2.0/24", Interface: "flannel.1"},
				agent.Route{Network: "10.244.0.0/24", Interface: "eth0", Gateway: "192.168.1.21"}), 3
		}), "", ""},
		{"ranges", "a route of somebody else's into them", on("node-0001", func(f *agent.Facts) {
			f.Routes, f.Changes = append(slices.Clone(f.Routes), agent.Route{Network: "10.244.0.0/24", Interface: "eth0", Gateway: "192.168.1.1"}), 3
		}), "node-0001: spec.network.podCIDR 10.244.0.0/16 overlaps the route to 10.244.0.0/24 by eth0", Error},
		{"resolver-loop", "the host itself", on("node-0001", func(f *agent.Facts) { f.Nameservers = []string{"127.0.0.1"} }), "node-0001: /etc/resolv.conf asks 127.0.0.1, the host itself", Error},
		{"resolver-loop", "systemd-resolved's stub", on("node-0001", func(f *agent.Facts) {
			running("systemd-resolved.service")(f)
			f.Nameservers = []string{"127.0.0.53"}
		}), "", ""},
		{"resolver-loop", "none at all", on("node-0001", func(f *agent.Facts) { f.Nameservers = nil }), "", ""},
		{"resolver-limits", "four name servers", on("node-0001", func(f *agent.Facts) { f.Nameservers = []string{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"} }), "node-0001: 4 name servers", Warning},
		{"resolver-limits", "many search domains", on("node-0001", func(f *agent.Facts) { f.Search = make([]string, 30) }), "node-0001: 30 search domains", Warning},
		{"own-name", "at another host's address", on("node-0001", func(f *agent.Facts) { f.Names = []string{"192.168.1.32"} }), "node-0001: /etc/hosts says that its own name node-0001 is at 192.168.1.32, which is node-0002", Error},
		{"own-name", "at another host's address, says a name server", func(w *world) {
			w.facts("node-0001", func(f *agent.Facts) { f.Names = nil })
			w.ask(Brief)
			w.Surveys["node-0001"].Names[0] = agent.Resolved{Addresses: []string{"192.168.1.32"}}
		}, "node-0001: DNS says that its own name node-0001 is at 192.168.1.32, which is node-0002", Error},
		{"own-name", "on the loopback, as Debian has it", on("node-0001", func(f *agent.Facts) { f.Names = []string{"127.0.1.1", "192.168.1.31"} }), "", ""},
		{"endpoint", "that one host does not find", func(w *world) {
			w.Cluster.Spec.APIServer.Endpoint = "api.example.net:6443"
			w.ask(Brief)
			w.Surveys["node-0002"].Names[0] = agent.Resolved{Error: "no such host"}
		}, "node-0002: spec.apiServer.endpoint api.example.net cannot be resolved: no such host", Error},
		{"endpoint", "that leads one host elsewhere", func(w *world) {
			w.Cluster.Spec.APIServer.Endpoint = "api.example.net:6443"
			w.ask(Brief)
			w.Surveys["node-0002"].Names[0] = agent.Resolved{Addresses: []string{"192.168.1.99"}}
		}, "node-0002, master: spec.apiServer.endpoint api.example.net leads to 192.168.1.99, and on master to 192.168.1.21", Error},

		{"disk-space", "too little for images beside the eviction line", on("node-0001", func(f *agent.Facts) {
			for i := range f.Disks {
				f.Disks[i].Free = 6*gib + 512*mib
			}
			disk("/run", tmpfs)(f)
		}), "node-0001: /var/lib/kubelet, /var/lib/containerd, /var/lib/kubewright (ext4) has 6.5 GiB free of 40 GiB", Error},
		{"disk-space", "enough for what is there already", on("node-0001", func(f *agent.Facts) {
			for i := range f.Disks {
				f.Disks[i].Free, f.Changes = 6*gib+512*mib, 3
			}
		}), "", ""},
		{"disk-space", "a small disk of its own for images", on("node-0001", disk("/var/lib/containerd", func(d *agent.Disk) { d.Device, d.Size, d.Free = 7, 1*gib, 1*gib })),
			"node-0001: /var/lib/containerd (ext4) has 1.0 GiB free of 1.0 GiB", Error},
		{"disk-inodes", "none left", on("node-0001", disk("/var/lib/containerd", func(d *agent.Disk) { d.Device, d.IFree = 7, 900 })), "node-0001: /var/lib/containerd (ext4) has 900 inodes free of 2600000: there may be space", Error},
		{"disk-inodes", "of a file system that has no such number", on("node-0001", disk("/var/lib/containerd", func(d *agent.Disk) { d.Device, d.Inodes, d.IFree = 7, 0, 0 })), "", ""},
		{"image-collection", "a disk that is nearly full", both(func(w *world) { w.Cluster.Spec.Kubelet.EvictionHard = map[string]string{"nodefs.available": "1Gi"} },
			on("node-0001", disk("/var/lib/containerd", func(d *agent.Disk) { d.Free = 5 * gib }))), "node-0001: 88% of /var/lib/containerd is used", Warning},
		{"audit-room", "little", on("master", disk("/var/log", func(d *agent.Disk) { d.Device, d.Free = 7, 500*mib })), "master: /var/log has 500 MiB free", Warning},
		{"mount-options", "read-only", on("node-0001", disk("/etc", func(d *agent.Disk) { d.Flags = "ro" })), "node-0001: /etc is mounted read-only", Error},
		{"mount-options", "immutable", on("node-0001", disk("/etc", func(d *agent.Disk) { d.Flags = "immutable" })), "node-0001: /etc is immutable", Error},
		{"mount-options", "programs that cannot be started", on("node-0001", disk("/opt/cni/bin", func(d *agent.Disk) { d.Flags = "noexec,nosuid" })), "node-0001: /opt/cni/bin is mounted noexec", Error},
		{"mount-options", "volumes that programs cannot be started from", on("node-0001", disk("/var/lib/kubelet", func(d *agent.Disk) { d.Flags = "noexec" })), "node-0001: /var/lib/kubelet is mounted noexec", Warning},
		{"mount-options", "etcd's where no etcd is", on("node-0001", disk("/var/lib/etcd", func(d *agent.Disk) { d.Flags = "ro" })), "", ""},
		{"etcd-disk", "in memory", on("master", disk("/var/lib/etcd", tmpfs)), "master: /var/lib/etcd is on tmpfs, which is in memory", Error},
		{"etcd-disk", "on another machine", on("master", disk("/var/lib/etcd", func(d *agent.Disk) { d.Type = "nfs" })), "master: /var/lib/etcd is on nfs", Error},
		{"etcd-disk", "an overlay", on("master", disk("/var/lib/etcd", func(d *agent.Disk) { d.Type = "overlay" })), "master: /var/lib/etcd is on overlay", Error},
		{"etcd-disk", "in memory where no etcd is", on("node-0001", disk("/var/lib/etcd", tmpfs)), "", ""},
		{"runtime-disk", "an overlay", on("node-0001", disk("/var/lib/containerd", func(d *agent.Disk) { d.Type = "overlay" })), "node-0001: /var/lib/containerd is on overlay", Error},
		{"runtime-disk", "xfs as it once was", on("node-0001", disk("/var/lib/containerd", func(d *agent.Disk) { d.Type, d.Untyped = "xfs", true })), "node-0001: /var/lib/containerd is on a file system whose directories", Error},
		{"fsync", "slow", func(w *world) { w.Surveys["master"].Fsync.P99 = 12 * time.Millisecond }, "master: 1000 appends of 2 KiB took 1ms each, 99 of 100 at most 12ms", Warning},
		{"fsync", "too slow", func(w *world) { w.Surveys["master"].Fsync.P99 = 101 * time.Millisecond }, "master: 1000 appends of 2 KiB took 1ms each, 99 of 100 at most 101ms", Error},
		{"fsync", "not to be measured", func(w *world) { w.Surveys["master"].Fsync = &agent.Fsync{Error: "operation not supported"} }, "", ""},

		{"port", "of the kubelet, taken", on("node-0001", listening(agent.Listener{Protocol: "tcp", Address: "::", Port: 10250, PID: 812, Process: "nc"})), "node-0001: port 10250/tcp is in use by pid 812 (nc)", Error},
		{"port", "of the kubelet, taken on a host that is no node", on("registry", listening(agent.Listener{Protocol: "tcp", Address: "::", Port: 10250, PID: 812, Process: "nc"})), "", ""},
		{"port", "of the overlay, taken by the kernel", on("node-0001", listening(agent.Listener{Protocol: "udp", Address: "0.0.0.0", Port: 8472})), "node-0001: port 8472/udp is in use by the kernel", Error},
		{"port", "of the kubelet, taken by our own", on("node-0001", func(f *agent.Facts) {
			listening(agent.Listener{Protocol: "tcp", Address: "::", Port: 10250, PID: 812, Process: "kubelet"})(f)
			f.Changes = 3
		}), "", ""},
		{"port", "of the kubelet, taken where ours should be", on("node-0001", func(f *agent.Facts) {
			listening(agent.Listener{Protocol: "tcp", Address: "::", Port: 10250, PID: 812, Process: "nginx"})(f)
			f.Changes = 3
		}), "node-0001: port 10250/tcp is in use by pid 812 (nginx)", Error},
		{"port", "of the registry, taken on the loopback", on("registry", listening(agent.Listener{Protocol: "tcp", Address: "127.0.0.1", Port: 5000, PID: 5, Process: "python3"})), "", ""},
		{"port", "of the controllers, taken on the loopback", on("master", listening(agent.Listener{Protocol: "tcp", Address: "127.0.0.1", Port: 10257, PID: 5, Process: "python3"})), "master: port 10257/tcp is in use by pid 5 (python3)", Error},
		{"port", "of an addon that is not enabled", on("node-0001", listening(agent.Listener{Protocol: "tcp", Address: "0.0.0.0", Port: 9100, PID: 5, Process: "node_exporter"})), "", ""},
		{"port", "of monitoring, taken by Debian's", func(w *world) {
			w.Cluster.Spec.Addons.Monitoring.Enabled = true
			on("node-0001", listening(agent.Listener{Protocol: "tcp", Address: "0.0.0.0", Port: 9100, PID: 5, Process: "prometheus-node"}))(w)
		}, "node-0001: port 9100/tcp is in use by pid 5 (prometheus-node)", Error},
		{"node-ports", "taken", on("node-0001", listening(agent.Listener{Protocol: "tcp", Address: "0.0.0.0", Port: 31337, PID: 5, Process: "python3"})), "node-0001: ports of Services are in use: 31337/tcp by pid 5 (python3)", Warning},
		{"survey", "an answer that is none", func(w *world) {
			w.Surveys, w.Mute = nil, map[string]string{"node-0001": "the agent was asked about 3 names and answered about 0"}
		}, "node-0001: what was asked of it got no answer that can be used: the agent was asked about 3 names", Error},
		{"reach", "dropped on the way", func(w *world) { w.crossed("node-0001", "master", 6443, "tcp", state(agent.CrossTimeout)) },
			"node-0001, master: blocked: node-0001 -> master 6443/tcp: no answer: packets are dropped on the way", Error},
		{"reach", "refused by a firewall", func(w *world) { w.crossed("node-0001", "node-0002", 8472, "udp", state(agent.CrossRefused)) },
			"node-0001, node-0002: blocked: node-0001 -> node-0002 8472/udp: connection refused by a firewall", Error},
		{"reach", "refused by a firewall that up will tell", func(w *world) {
			w.facts("master", func(f *agent.Facts) { f.Firewall.Zones = map[string]ops.FirewallZone{"public": {}} })
			w.crossed("node-0001", "master", 6443, "tcp", state(agent.CrossUnreachable))
		}, "", ""},
		{"reach", "refused by a firewall that nobody will tell", func(w *world) {
			w.Cluster.Spec.Firewall = inventory.FirewallIgnore
			w.facts("master", func(f *agent.Facts) { f.Firewall.Zones = map[string]ops.FirewallZone{"public": {}} })
			w.crossed("node-0001", "master", 6443, "tcp", func(c *agent.Crossed) { c.State, c.Detail = agent.CrossUnreachable, "no route to host" })
		}, "node-0001, master: blocked: node-0001 -> master 6443/tcp: no route to host, says a firewall or a router", Error},
		{"reach", "refused by a firewall that up has told", func(w *world) {
			w.facts("master", func(f *agent.Facts) { f.Firewall.Zones, f.Opened = map[string]ops.FirewallZone{"public": {}}, true })
			w.crossed("node-0001", "master", 6443, "tcp", state(agent.CrossTimeout))
		}, "node-0001, master: blocked: node-0001 -> master 6443/tcp", Error},
		{"reach", "somebody else answers", func(w *world) { w.crossed("node-0001", "master", 10250, "tcp", state(agent.CrossOther)) },
			"node-0001, master: node-0001 -> master 10250/tcp: somebody else answers at 192.168.1.21", Error},
		{"reach", "our own component answers", func(w *world) {
			w.opened("master", 10250, "taken")
			w.crossed("node-0001", "master", 10250, "tcp", state(agent.CrossOther))
		}, "", ""},
		{"reach", "our own component is not reached", func(w *world) {
			w.crossed("node-0001", "registry", 5000, "tcp", state(agent.CrossTimeout))
		}, "node-0001, registry: blocked: node-0001 -> registry 5000/tcp", Error},
		{"path-mtu", "a tunnel on the way", func(w *world) {
			w.crossed("node-0001", "node-0002", 8472, "udp", func(c *agent.Crossed) { c.Passed = 1400 })
		}, "node-0001, node-0002: node-0001 -> node-0002: packets of 1500 bytes, as the interface sends them, do not arrive; the largest that do have 1400", Error},
		{"registry", "an image that is not there", func(w *world) { w.Surveys["node-0001"].Pulled[1] = "the registry answers 404 Not Found" },
			"node-0001: 192.168.1.100:5000: flannel: the registry answers 404 Not Found", Error},
		{"trial", "that does not run", func(w *world) {
			w.facts("node-0001", func(f *agent.Facts) { running("containerd.service")(f); f.Changes = 3 })
			w.ask(Scope{Trial: true})
			w.Surveys["node-0001"].Trial = "it does not start: exit status 1"
		}, "node-0001: a container was tried: it does not start: exit status 1", Error},
		{"authorities", "another cluster's", both(on("master", authorityIs(authority(t, true, -time.Hour, time.Hour))), on("node-0001", authorityIs(other))), "node-0001: the authority kubernetes is another one", Error},
		{"authorities", "from the future", on("master", authorityIs(authority(t, true, time.Hour, 2*time.Hour))), "master: the authority kubernetes is valid from 2026-06-01T13:00:00Z on", Error},
		{"authorities", "of the past", on("master", authorityIs(authority(t, true, -2*time.Hour, -time.Hour))), "master: the authority kubernetes was valid until 2026-06-01T11:00:00Z", Error},
		{"authorities", "that signs nothing", on("master", authorityIs(authority(t, false, -time.Hour, time.Hour))), "master: the certificate of the authority kubernetes may not sign others", Error},
		{"authorities", "that is no certificate", on("master", authorityIs("x")), "master: the authority kubernetes is no certificate", Error},
		{"authorities", "one for all", both(on("master", authorityIs(other)), on("node-0001", authorityIs(other))), "", ""},

		{"proxy-mode", "ipvs on nodes that can", mode("ipvs", ""), "", ""},
		{"proxy-mode", "ipvs on a node that cannot, without a fallback", both(mode("ipvs", ""), on("node-0002", lacks("ip_set_hash_ipportnet"))), "node-0002: it has no ip_set_hash_ipportnet", Error},
		{"proxy-mode", "ipvs on a node that cannot, with a fallback", both(mode("ipvs", "nftables"), on("node-0002", lacks("ip_vs_sh"))), "", ""},
		{"proxy-mode", "nftables on a kernel without nat chains", on("node-0002", lacks("nft_chain_nat")), "node-0002: it has no nft_chain_nat", Error},
		{"proxy-mode", "nftables on a kernel that was tried", on("node-0002", func(f *agent.Facts) { f.NAT = "no nat chains: no such file or directory" }), "node-0002: it has no working nftables (no nat chains", Error},
		{"proxy-mode", "nftables on an old kernel", on("node-0002", func(f *agent.Facts) { f.Kernel = "5.10.0-28-amd64" }), "node-0002: it has no kernel 5.13 or later", Error},
		{"proxy-mode", "nftables on an old kernel, with a fallback", both(mode("nftables", "iptables"), on("node-0002", func(f *agent.Facts) { f.Kernel = "5.10.0-28-amd64" })), "", ""},
		{"proxy-mode", "ipvs on a node that lacks much", both(mode("ipvs", ""), on("node-0002", lacks("ip_vs", "ip_vs_rr", "ip_set"))), "node-0002: it has no ip_vs, ip_vs_rr, ip_set", Error},
		{"proxy-mode", "a fallback that is not possible either", both(mode("ipvs", "nftables"), on("node-0002", lacks("ip_vs", "nft_chain_nat"))), "node-0002: it has no nft_chain_nat", Error},
		{"proxy-mode", "iptables of neither kind", both(mode("iptables", ""), on("node-0002", lacks("iptable_nat", "nft_compat"))), "node-0002: it has no iptable_nat or nft_compat", Error},
		{"proxy-mode", "nftables on a host that does not tell", on("node-0002", func(f *agent.Facts) { f.Modules, f.Listed, f.Options = nil, false, nil }), "", ""},
	}
}

func state(s string) func(*agent.Crossed) { return func(c *agent.Crossed) { c.State = s } }

func authorityIs(pem string) func(*agent.Facts) {
	return func(f *agent.Facts) { f.Authorities = map[string]string{"kubernetes": pem} }
}

// shift moves all hosts' clocks from the workstation's.
func shift(w *world, by time.Duration) {
	for name, s := range w.Skews {
		s.Ahead += by
		w.Skews[name] = s
	}
}

func TestChecks(t *testing.T) {
	tripped := map[string]bool{}
	for _, row := range slices.Concat(rows(t), firewallRows(), nfsRows()) {
		t.Run(row.check+": "+row.name, func(t *testing.T) {
			w := clean(t)
			row.spoil(w)
			r := Run(w.Input)
			var got []string
			for _, f := range r.Findings {
				got = append(got, f.Host()+": "+f.Found)
				if f.Check != row.check || f.Severity != row.severity {
					t.Errorf("found as the %s of %s: %s", f.Severity, f.Check, f)
				}
				if f.Need == "" || f.Remedy == "" || strings.Contains(f.String(), "%!") {
					t.Errorf("it does not say what is needed or what to do: %+v", f)
				}
			}
			if text := strings.Join(got, "; "); row.found == "" && text != "" || !strings.HasPrefix(text, row.found) {
				t.Errorf("found %q, want %q", text, row.found)
			}
			if (r.Err() != nil) != (row.severity == Error) {
				t.Errorf("the error is %v", r.Err())
			}
			// The finding can be ignored by the check's name, and by no other.
			w.Ignore = []string{row.check}
			if err := Run(w.Input).Err(); err != nil {
				t.Errorf("ignored, it is still an error: %v", err)
			}
		})
		tripped[row.check] = tripped[row.check] || row.found != ""
	}
	for _, c := range all() {
		if !tripped[c.name] {
			t.Errorf("no specimen trips %s", c.name)
		}
	}
}
