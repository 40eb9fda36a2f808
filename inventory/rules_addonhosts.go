package inventory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hostDirs are directories that a host has for itself. Nothing below those of the first list is free; of the second it is the directory itself that is not.
var (
	hostTrees = []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var/run", "/var/tmp", "/var/log",
		"/var/lib/kubelet", "/var/lib/etcd", "/var/lib/containerd", "/var/lib/docker", "/var/lib/kubewright", "/var/lib/registry", "/var/lib/cni", "/opt/cni", "/var/lib/dpkg", "/var/lib/rpm",
		"/var/lib/apt", "/var/lib/nfs", "/var/lib/systemd", "/root/.ssh",
	}
	hostDirs = []string{"/var/lib", "/var/cache", "/var/spool", "/var/opt", "/var/local"}
)

// takenDir says whose a directory is that is to be an addon's: its mode becomes another, and reset may remove it with all that is in it.
func takenDir(dir string) string {
	for _, tree := range hostTrees {
		if within(dir, tree) {
			return "hosts have " + tree + " for themselves"
		}
	}
	if slices.Contains(hostDirs, dir) || strings.HasPrefix(dir, "/home/") && strings.Count(dir, "/") == 2 {
		return "there is more in it"
	}
	return ""
}

// within says whether a directory is another one, or in it.
func within(dir, tree string) bool { return dir == tree || strings.HasPrefix(dir, tree+"/") }

// directories is the rule that no two of the addon storage's directories on one host lie in each other: reset removes each with what is in it.
func (k check) directories() {
	s := k.c.Spec.Addons.Storage
	server, ours := k.c.NFSHost()
	if !ours {
		return
	}
	type named struct{ path, dir string }
	var before []named
	if server.Node() {
		before = append(before, named{addonsPath + ".storage.path", s.Path})
	}
	for i, e := range s.NFS.Exports {
		d := named{field(item(addonsPath+".storage.nfs.exports", i), "path"), e.Path}
		for _, b := range before {
			twice := b.dir == d.dir && b.path != addonsPath+".storage.path" // which nfs tells
			if k.bad(d.path) || k.bad(b.path) || twice || !within(d.dir, b.dir) && !within(b.dir, d.dir) {
				continue
			}
			at, other := d, b
			if !k.wrote(at.path) {
				at, other = b, d
			}
			k.report(at.path, Problem{Code: codeAddon, Found: show(at.dir), Wrong: fmt.Sprintf("and %s of %s are not beside each other", show(other.dir), other.path), Remedy: "give each a directory of its own"})
		}
		before = append(before, d)
	}
}

// portsOfHosts is the rule about ports that addons take on hosts where sshd or the registry listens: what comes for these would reach the addon.
func (k check) portsOfHosts() {
	a := k.c.Spec.Addons
	for i, h := range k.c.Spec.Hosts {
		if k.bad(hostPath(i)) {
			continue
		}
		takes := map[int]string{}
		if h.Node() {
			for _, p := range a.nodePorts() {
				if p.wanted {
					takes[p.port] = p.path
				}
			}
		}
		if a.Ingress.Enabled && a.Ingress.Expose == ExposeHostPort && h.Has(Worker) {
			takes[80], takes[443] = addonsPath+".ingress", addonsPath+".ingress"
		}
		if server, ok := k.c.NFSHost(); ok && server.Name == h.Name {
			takes[2049] = addonsPath + ".storage.nfs"
		}
		for _, has := range []struct {
			path, what string
			port       int
			here       bool
		}{
			{hostPath(i), "sshd", h.SSH.Port, h.SSH.Address == h.Address.String()},
			{"spec.registry.port", "the registry", k.c.Spec.Registry.Port, h.Has(Registry)},
		} {
			if by, taken := takes[has.port]; has.here && taken {
				k.report(has.path, Problem{Code: codeNodePort, Found: itoa(has.port), Wrong: fmt.Sprintf("is where %s listens on %s, and what %s takes there", has.what, h.Name, by), Remedy: "choose another port for one of them"})
			}
		}
	}
}

// units are Prometheus' own, of which a day always has 24 hours and a year 365 days.
var units = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}

// mostRetention is more than anybody's disk holds, and far from what a Duration of Prometheus' can say.
const mostRetention = 100 * 365 * 24 * time.Hour

func (k check) retention(at, text string) {
	if !k.wrote(at) {
		return
	}
	p := Problem{Code: codeAddon, Found: show(text), Expected: "a time", Remedy: "write a number and s, m, h, d, w or y, such as 24h"}
	if duration.MatchString(text) {
		n, _ := strconv.Atoi(text[:len(text)-1]) // at most five digits
		unit := units[text[len(text)-1]]
		if time.Duration(n) <= mostRetention/unit {
			return
		}
		p.Wrong, p.Remedy = "is more than 100 years", "write less"
	}
	k.fail(at, p)
}
