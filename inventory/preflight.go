package inventory

import (
	"fmt"
	"slices"
)

// PreflightChecks are the names of all checks that preflight makes of hosts. A finding can be ignored by its check's name.
var PreflightChecks = []string{
	"systemd", "root", "platform", "cpus", "memory", "memory-available", "cgroup", "cgroup-controllers", "seccomp", "overlay",
	"tools", "kernel", "kernel-known-bad", "kernel-options", "modules", "limits", "conntrack", "same-host", "machine-id",
	"product-uuid", "mac-address", "host-name", "address-taken", "other-cluster", "remains", "cni-config", "links", "rules",
	"forwarding", "runtime", "journal", "masked-units", "systemd-state", "daemon-reload", "sessions", "trusted-paths", "selinux",
	"apparmor", "network-manager", "package-lock", "packages", "reboot-pending", "other-tools", "cloud-init", "proxy", "clock",
	"clock-year", "clock-workstation", "time-service", "address", "default-route", "reverse-path", "ranges", "resolver-loop",
	"resolver-limits", "own-name", "endpoint", "disk-space", "disk-inodes", "image-collection", "audit-room", "mount-options",
	"etcd-disk", "runtime-disk", "fsync", "port", "node-ports", "firewalls", "firewall-silent", "firewall-iptables", "firewall-off", "firewall-forward", "firewall-unkept", "firewall-reload", "survey",
	"reach", "path-mtu", "registry", "trial", "proxy-mode", "nfs", "nfs-server",
	"authorities",
}

// CheckName says what is wrong with the name of a check that is to be ignored, and what to do; both are empty where nothing is.
func CheckName(name string) (wrong, remedy string) {
	switch meant, near := nearest(name, PreflightChecks); {
	case slices.Contains(PreflightChecks, name):
		return "", ""
	case name == "all" || name == "*":
		return "is no check: findings are ignored one by one, so that what nobody has thought of still stops a run", "name the checks, as kubewright preflight does"
	case near:
		return "is not a check", "did you mean " + meant + "?"
	}
	return "is not a check", "name one as kubewright preflight --all does"
}

// preflight is the rules about checks that are to be ignored.
func (k check) preflight() {
	const path = "spec.preflight.ignore"
	seen := map[string]int{}
	for i, name := range k.c.Spec.Preflight.Ignore {
		p := item(path, i)
		if !k.wrote(p) {
			continue
		}
		if wrong, remedy := CheckName(name); wrong != "" {
			k.fail(p, Problem{Code: codeCheck, Found: show(name), Wrong: wrong, Expected: "a check", Remedy: remedy})
			continue
		}
		if first, twice := seen[name]; twice {
			k.report(p, Problem{Code: codeCheck, Found: show(name), Wrong: fmt.Sprintf("is there twice, first on line %d", first), Remedy: "keep one"})
			continue
		}
		seen[name] = k.place(p).line
	}
}
