package preflight

import (
	"fmt"
	"slices"
	"strings"
)

// kubeadm's minimum for a control-plane host (ControlPlaneNumCPU, ControlPlaneMem), and what a worker's own programs take.
const (
	minCPUs         = 2
	minMemory       = 1700 << 20
	minWorkerMemory = 700 << 20
	minAvailable    = 400 << 20
)

// machineChecks are about what the machine is.
var machineChecks = []check{
	{"systemd", Error, every, func(l *look) {
		if l.see("process 1 is %s", l.f.Init); l.f.Init != "systemd" {
			l.add(l.saw, "systemd", "use a host that systemd runs")
		}
	}},
	{"root", Error, every, func(l *look) {
		if l.see("the agent runs as user %d", l.f.UID); l.f.UID != 0 {
			l.add(l.saw, "root", "log in as root or give the login sudo")
		}
	}},
	{"platform", Error, every, func(l *look) {
		want := l.Needs[l.host.Name].Platform
		if want == "" {
			l.skip("there is no bundle")
			return
		}
		if l.see("linux/%s", l.f.Arch); want != l.saw {
			l.add(l.saw, want, "use a bundle that was built for the host, or another host")
		}
	}},
	{"cpus", Error, controls, func(l *look) {
		if l.see("%d CPUs", l.f.CPUs); l.f.CPUs < minCPUs {
			l.add(l.saw, fmt.Sprintf("at least %d", minCPUs), "give the host more")
		}
	}},
	{"memory", Error, node, func(l *look) {
		l.see("%d MiB of memory", l.f.Memory>>20)
		switch {
		case controls(l.host) && l.f.Memory < minMemory:
			l.add(l.saw, fmt.Sprintf("at least %d MiB", minMemory>>20), "give the host more")
		case !controls(l.host) && l.f.Memory < minWorkerMemory:
			l.as(Warning, l.saw, fmt.Sprintf("%d MiB for a worker's own programs", minWorkerMemory>>20), "give the host more")
		}
	}},
	{"memory-available", Warning, node, func(l *look) {
		if l.see("%d MiB of memory can be had now", l.f.Available>>20); l.f.Available > 0 && l.f.Available < minAvailable && !l.ours() {
			l.add(l.saw, fmt.Sprintf("%d MiB for the node's own programs", minAvailable>>20), "end what takes the memory, or give the host more")
		}
	}},
	{"cgroup", Error, node, func(l *look) {
		l.see("cgroup v%d", l.f.Cgroup)
		if tolerated := l.Cluster.Spec.Kubelet.FailCgroupV1 != nil && !*l.Cluster.Spec.Kubelet.FailCgroupV1; l.f.Cgroup == 1 && !tolerated {
			l.add("cgroup v1, on which the kubelet does not start", "cgroup v2",
				"boot the host with systemd.unified_cgroup_hierarchy=1, or set spec.kubelet.failCgroupV1: false while it lasts")
		}
	}},
	{"cgroup-controllers", Error, node, func(l *look) {
		// What v2 does by other means (devices, freezer) has no controller there.
		need := map[int][]string{1: {"cpu", "cpuacct", "devices", "freezer", "memory", "pids"}, 2: {"cpu", "memory", "pids"}}[l.f.Cgroup]
		if len(l.f.Controllers) == 0 {
			l.skip("the host does not say which controllers it has")
			return
		}
		l.see("%s", strings.Join(l.f.Controllers, " "))
		if lack := without(need, l.f.Controllers); len(lack) > 0 {
			l.add("no cgroup controller "+list(lack), "the controllers "+list(need), "take cgroup_disable off the kernel's command line, or use another kernel")
		}
		if !slices.Contains(l.f.Controllers, "cpuset") {
			l.as(Warning, "no cgroup controller cpuset", "it, for pods that are bound to processors", "take cgroup_disable off the kernel's command line, or use another kernel")
		}
	}},
	{"seccomp", Error, node, func(l *look) {
		if l.f.Kernel == "" || len(l.f.Sysctls) == 0 {
			l.skip("the kernel's settings could not be read")
			return
		}
		if l.see("the kernel filters system calls"); !l.f.Seccomp {
			l.add("the kernel cannot filter system calls", "seccomp, which pods run with", "use a kernel with CONFIG_SECCOMP_FILTER")
		}
	}},
	{"overlay", Error, node, func(l *look) {
		if l.survey == nil || !l.ask.Mounts {
			l.skip("it was not tried")
			return
		}
		if l.see("an overlay mount works"); l.survey.Overlay != "ok" {
			l.add(l.survey.Overlay, "overlay mounts, of which containers' file systems are made", "use a kernel with overlayfs, or let the host mount it")
		}
	}},
	{"tools", Error, node, func(l *look) {
		must := slices.DeleteFunc(slices.Clone(l.f.Missing), func(t string) bool { return t == "losetup" })
		l.see("mount, umount, cp and losetup are there")
		if len(must) > 0 {
			l.add("there is no program "+list(must), "what the kubelet mounts volumes with", "install the packages mount and coreutils (util-linux)")
		}
		if slices.Contains(l.f.Missing, "losetup") {
			l.as(Warning, "there is no program losetup", "it, for volumes that are block devices", "install util-linux")
		}
	}},
}

// without are the words of the first list that the second lacks.
func without(all, have []string) (out []string) {
	for _, w := range all {
		if !slices.Contains(have, w) {
			out = append(out, w)
		}
	}
	return out
}
