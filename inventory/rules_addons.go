package inventory

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

const addonsPath = "spec.addons"

// The names of the addons, as commands and needs have them. A user's own must have another.
const (
	AddonFlannel       = "flannel"
	AddonIngress       = "ingress"
	AddonMetricsServer = "metrics-server"
	AddonDashboard     = "dashboard"
	AddonMonitoring    = "monitoring"
	AddonStorage       = "storage"
)

// addonNames are those that can be needed.
var addonNames = []string{AddonFlannel, AddonIngress, AddonMetricsServer, AddonDashboard, AddonMonitoring, AddonStorage}

// Has says whether the cluster is to have the addon.
func (a Addons) Has(name string) bool {
	switch name {
	case AddonFlannel:
		return true
	case AddonIngress:
		return a.Ingress.Enabled
	case AddonMetricsServer:
		return a.MetricsServer.Enabled
	case AddonDashboard:
		return a.Dashboard.Enabled
	case AddonMonitoring:
		return a.Monitoring.Enabled
	case AddonStorage:
		return a.Storage.Enabled
	}
	return slices.ContainsFunc(a.Own, func(o Own) bool { return o.Name == name })
}

var (
	duration   = regexp.MustCompile(`^[1-9][0-9]{0,4}[smhdwy]$`) // as Prometheus writes one
	exportPath = regexp.MustCompile(`^/[A-Za-z0-9/._-]+$`)
	claimSize  = regexp.MustCompile(`^[1-9][0-9]{0,5}(Mi|Gi|Ti)$`)
)

// addons is the rules about the addons' settings, one value each.
func (k check) addons() {
	a := k.c.Spec.Addons
	at := func(names ...string) string { return addonsPath + "." + strings.Join(names, ".") }
	k.oneOf(at("flannel", "backend"), a.Flannel.Backend, codeAddon, BackendVXLAN, BackendHostGW, BackendWireguard)
	if p := at("flannel", "mtu"); k.wrote(p) && (a.Flannel.MTU < 1280 || a.Flannel.MTU > 65535) {
		k.fail(p, Problem{Code: codeAddon, Found: itoa(a.Flannel.MTU), Expected: "the size of a packet", Remedy: "write 1280 to 65535, or leave it out"})
	}
	k.oneOf(at("ingress", "expose"), a.Ingress.Expose, codeAddon, ExposeHostPort, ExposeNodePort)
	k.oneOf(at("ingress", "defaultClass"), a.Ingress.DefaultClass, codeAddon, ClassTraefik, ClassNginx, ClassNone)
	k.domainName(at("ingress", "domain"), a.Ingress.Domain)
	k.domainName(at("dashboard", "host"), a.Dashboard.Host)
	k.oneOf(at("monitoring", "profile"), a.Monitoring.Profile, codeAddon, ProfileOperator, ProfilePlain)
	k.retention(at("monitoring", "retention"), a.Monitoring.Retention)
	for _, p := range a.nodePorts() {
		if k.wrote(p.path) && (p.port < 30000 || p.port > 32767) {
			k.fail(p.path, Problem{Code: codeNodePort, Found: itoa(p.port), Expected: "a NodePort", Remedy: "write a number from 30000 to 32767"})
		}
	}
	k.volumes(at("storage", "path"), a.Storage.Path)
	k.nfs(at("storage", "nfs"), a.Storage.NFS)
	for i, o := range a.Own {
		k.own(item(at("own"), i), o)
	}
}

func (k check) domainName(path, name string) {
	if !k.wrote(path) {
		return
	}
	if wrong, remedy := nameWrong(name, 253); wrong != "" {
		k.fail(path, Problem{Code: codeAddon, Found: show(name), Wrong: wrong, Expected: "a name", Remedy: remedy})
	}
}

// volumes is the rule about a directory of our own on hosts: it is none that a host needs, or has.
func (k check) volumes(at, dir string) {
	if !k.wrote(at) {
		return
	}
	if !path.IsAbs(dir) || path.Clean(dir) != dir || strings.Count(dir, "/") < 2 {
		k.fail(at, Problem{Code: codeAddon, Found: show(dir), Expected: "the path of a directory of its own", Remedy: "write a whole path that is not one of the root's, such as /srv/volumes"})
		return
	}
	if whose := takenDir(dir); whose != "" {
		k.fail(at, Problem{Code: codeAddon, Found: show(dir), Wrong: "is not a directory of its own: " + whose, Remedy: "name one that nothing else uses, such as /srv/volumes"})
	}
}

func (k check) nfs(at string, n NFS) {
	if p := field(at, "server"); k.wrote(p) {
		wrong, remedy := siteWrong(n.Server)
		if a, err := netip.ParseAddr(n.Server); err == nil && (a.Unmap().IsLoopback() || a.IsUnspecified()) || n.Server == "localhost" {
			wrong, remedy = "is another host on every node", "name what every node can reach"
		}
		if wrong != "" {
			k.fail(p, Problem{Code: codeAddon, Found: show(n.Server), Wrong: wrong, Expected: "an address or a name", Remedy: remedy})
		}
	}
	seen := map[string]int{}
	for i, e := range n.Exports {
		p := item(field(at, "exports"), i)
		k.export(field(p, "path"), e.Path, n.Server == "")
		if size := field(p, "size"); k.wrote(size) && !claimSize.MatchString(e.Size) {
			k.fail(size, Problem{Code: codeAddon, Found: show(e.Size), Expected: "a size", Remedy: "write a number and Mi, Gi or Ti, such as 10Gi"})
		}
		if k.missing(field(p, "path")) {
			k.report(field(p, "path"), Problem{Code: codeAddon, Wrong: "is missing", Remedy: "name a directory on the server"})
			continue
		}
		if line, twice := seen[e.Path]; twice {
			k.report(field(p, "path"), Problem{Code: codeAddon, Found: show(e.Path), Wrong: fmt.Sprintf("is there twice, first on line %d", line), Remedy: "keep one"})
		}
		seen[e.Path] = k.place(p).line
	}
}

// export is the rule about a directory that is exported: by a host of ours one of its own, whose name means nothing else in a list of exports; by somebody's
// server whatever they have.
func (k check) export(at, dir string, ours bool) {
	switch {
	case ours:
		k.volumes(at, dir)
		if k.wrote(at) && !k.bad(at) && !exportPath.MatchString(dir) {
			k.fail(at, Problem{Code: codeAddon, Found: show(dir), Wrong: "has characters that mean something in a list of exports", Remedy: "use letters, digits, dots, - and _"})
		}
	case k.wrote(at) && (!path.IsAbs(dir) || path.Clean(dir) != dir):
		k.fail(at, Problem{Code: codeAddon, Found: show(dir), Expected: "a whole path", Remedy: "write it as the server has it, such as /export/volumes"})
	}
}

func (k check) own(at string, o Own) {
	name := field(at, "name")
	switch {
	case k.missing(name):
		k.report(name, Problem{Code: codeAddon, Wrong: "is missing", Remedy: "give the addon a name, such as hello"})
	case k.wrote(name):
		if wrong, remedy := nameWrong(o.Name, 40); wrong != "" || strings.Contains(o.Name, ".") {
			if wrong == "" {
				wrong, remedy = "has a dot in it", "write it without"
			}
			k.fail(name, Problem{Code: codeAddon, Found: show(o.Name), Wrong: wrong, Expected: "a name", Remedy: remedy})
		} else if slices.Contains(addonNames, o.Name) {
			k.fail(name, Problem{Code: codeAddon, Found: show(o.Name), Wrong: "is an addon of kubewright's", Remedy: "choose another name"})
		}
	}
	if path, text := k.wrote(field(at, "path")), k.wrote(field(at, "manifests")); path == text && !k.bad(field(at, "path")) && !k.bad(field(at, "manifests")) {
		wrong := "has neither path nor manifests"
		if path {
			wrong = "has both path and manifests"
		}
		k.report(at, Problem{Code: codeManifest, Wrong: wrong, Remedy: "name a file or folder in path, or write the manifests themselves"})
	}
}

// nodePort is a port that an addon wants on every node.
type nodePort struct {
	path, of string
	port     int
	wanted   bool
}

func (a Addons) nodePorts() []nodePort {
	nodePorts := a.Ingress.Enabled && a.Ingress.Expose == ExposeNodePort
	return []nodePort{
		{addonsPath + ".ingress.httpPort", AddonIngress, a.Ingress.HTTPPort, nodePorts},
		{addonsPath + ".ingress.httpsPort", AddonIngress, a.Ingress.HTTPSPort, nodePorts},
		{addonsPath + ".dashboard.nodePort", AddonDashboard, a.Dashboard.NodePort, a.Dashboard.Enabled && a.Dashboard.Host == ""},
		{addonsPath + ".monitoring.nodePort", AddonMonitoring, a.Monitoring.NodePort, a.Monitoring.Enabled},
		{addonsPath + ".monitoring.grafana.nodePort", AddonMonitoring, a.Monitoring.Grafana.NodePort, a.Monitoring.Enabled && a.Monitoring.Grafana.Enabled},
	}
}

// NodePorts are the ports of nodes that addons want, and which.
func (a Addons) NodePorts() map[int]string {
	out := map[int]string{}
	for _, p := range a.nodePorts() {
		if p.wanted {
			out[p.port] = p.of
		}
	}
	return out
}

// addonsTogether are the rules about how the addons go together.
func (k check) addonsTogether() {
	a := k.c.Spec.Addons
	taken := map[int]nodePort{}
	for _, p := range a.nodePorts() {
		if !p.wanted || k.bad(p.path) {
			continue
		}
		if other, twice := taken[p.port]; twice {
			k.report(p.path, Problem{Code: codeNodePort, Found: itoa(p.port), Wrong: "is the port that " + other.path + " has", Remedy: "choose another from 30000 to 32767"})
			continue
		}
		taken[p.port] = p
	}
	if in := a.Ingress; in.Expose == ExposeHostPort {
		for _, name := range []string{"httpPort", "httpsPort"} {
			if p := addonsPath + ".ingress." + name; k.wrote(p) {
				k.report(p, Problem{Code: codeNodePort, Wrong: "is for expose: nodePort", Remedy: "leave the line out, or write expose: nodePort"})
			}
		}
	}
	if p := addonsPath + ".dashboard.host"; k.wrote(p) {
		if a.Dashboard.Enabled && !a.Ingress.Enabled {
			k.report(p, Problem{Code: codeNeeds, Wrong: "needs the addon ingress", Remedy: "write ingress: {enabled: true}, or use nodePort"})
		}
		if q := addonsPath + ".dashboard.nodePort"; k.wrote(q) {
			k.report(q, Problem{Code: codeAddon, Wrong: "stands beside host", Remedy: "keep one of them"})
		}
	}
	// Whoever writes that an addon is off may leave what is below it as it is.
	off := func(addon string) bool { return k.wrote(addonsPath + "." + addon + ".enabled") }
	if p := addonsPath + ".monitoring.grafana"; a.Monitoring.Grafana.Enabled && !a.Monitoring.Enabled && !off("monitoring") && !k.bad(p) {
		k.report(p, Problem{Code: codeNeeds, Wrong: "needs the addon monitoring", Remedy: "write enabled: true under monitoring"})
	}
	if p := addonsPath + ".storage.nfs"; a.Storage.NFS.Enabled && !a.Storage.Enabled && !off("storage") && !k.bad(p) {
		k.report(p, Problem{Code: codeNeeds, Wrong: "needs the addon storage", Remedy: "write enabled: true under storage"})
	}
	k.hostGateway()
	k.portsOfHosts()
	k.directories()
	names := map[string]int{}
	for i, o := range a.Own {
		at := item(addonsPath+".own", i)
		if first, twice := names[o.Name]; twice && o.Name != "" {
			k.report(field(at, "name"), Problem{Code: codeAddon, Found: show(o.Name), Wrong: fmt.Sprintf("is there twice, first on line %d", first), Remedy: "give each its own name"})
		}
		names[o.Name] = k.place(field(at, "name")).line
	}
	k.needs()
}

// hostGateway is what flannel's backend without a tunnel asks for. Only the addresses are known here, so what lies in one /24 is taken to be in one network.
func (k check) hostGateway() {
	p := addonsPath + ".flannel.backend"
	if k.c.Spec.Addons.Flannel.Backend != BackendHostGW || k.bad(p) {
		return
	}
	var first netip.Prefix
	for _, h := range k.c.Nodes() {
		if !h.Address.IsValid() {
			return
		}
		if !first.IsValid() {
			first = netip.PrefixFrom(h.Address, 16).Masked()
		}
		if !first.Contains(h.Address) {
			k.report(p, Problem{Code: codeAddon, Found: show(BackendHostGW), Wrong: fmt.Sprintf("needs all nodes in one network, and %s is not in that of the first", h.Name), Remedy: "write vxlan"})
			return
		}
	}
}

// needs are the rules about what a user's own addons need: it is there, and no two need each other.
func (k check) needs() {
	a := k.c.Spec.Addons
	of := map[string][]string{}
	known := slices.Clone(addonNames)
	for _, o := range a.Own {
		of[o.Name] = o.Needs
		known = append(known, o.Name)
	}
	for i, o := range a.Own {
		for j, need := range o.Needs {
			p := item(field(item(addonsPath+".own", i), "needs"), j)
			switch meant, near := nearest(need, known); {
			case !k.wrote(p):
			case !slices.Contains(known, need):
				remedy := "write one of " + list(known, "and")
				if near {
					remedy = "did you mean " + meant + "?"
				}
				k.report(p, Problem{Code: codeNeeds, Found: show(need), Expected: "an addon", Remedy: remedy})
			case !a.Has(need):
				k.report(p, Problem{Code: codeNeeds, Found: show(need), Wrong: "is not enabled", Remedy: "enable it, or leave it out here"})
			case leadsTo(of, need, o.Name):
				k.report(p, Problem{Code: codeNeeds, Found: show(need), Wrong: "needs " + o.Name + " itself", Remedy: "break the circle"})
			}
		}
	}
}

// leadsTo says whether what an addon needs leads to another.
func leadsTo(needs map[string][]string, from, to string) bool {
	seen := map[string]bool{}
	var walk func(string) bool
	walk = func(name string) bool {
		if name == to {
			return true
		}
		if seen[name] {
			return false
		}
		seen[name] = true
		return slices.ContainsFunc(needs[name], walk)
	}
	return walk(from)
}
