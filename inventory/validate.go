package inventory

import "slices"

// check is the rules being applied to what was read.
type check struct {
	*reading
	c *Cluster
}

// written are the rules about one value each, as it stands in the file. They run before Default, which would hide a
// port: 0 behind its default.
func (k check) written() {
	k.clusterName()
	k.ssh("spec.ssh", k.c.Spec.SSH)
	for i, h := range k.c.Spec.Hosts {
		k.host(hostPath(i), h)
	}
	k.domain()
	k.endpoint()
	k.sans()
	k.port("spec.registry.port", k.c.Spec.Registry.Port)
	k.kubeProxy()
	k.docker()
	k.kubelet()
	k.packages()
	k.oneOf("spec.selinux", k.c.Spec.SELinux, codeSELinux, SELinuxKeep, SELinuxPermissive)
	k.oneOf("spec.timeService", k.c.Spec.TimeService, codeTime, TimeServiceKeep, TimeServiceEnable)
	k.preflight()
	k.addons()
	k.oneOf(firewallPath, k.c.Spec.Firewall, codeFirewall, FirewallManaged, FirewallOff, FirewallIgnore)
}

// together are the rules about how values go together, defaults included.
func (k check) together() {
	k.roles()
	k.unique()
	k.runtimes()
	k.ranges()
	k.podRange()
	k.serviceRange()
	k.podsPerNode()
	k.registryPort()
	k.addonsTogether()
}

// head judges apiVersion and kind. It says whether the rest of the file can be judged by this version's rules.
func (k check) head() bool {
	version := k.headline("apiVersion", k.c.APIVersion, APIVersion)
	kind := k.headline("kind", k.c.Kind, Kind)
	return version && kind
}

func (k check) headline(path, is, want string) bool {
	switch {
	case k.bad(path):
		return true
	case k.missing(path):
		k.report(path, Problem{Code: codeHead, Wrong: "is missing", Remedy: "write " + path + ": " + want})
		return true
	case is == want:
		return true
	}
	_, typo := nearest(is, []string{want})
	k.fail(path, Problem{Code: codeHead, Found: show(is), Expected: want, Wrong: "is not supported; this kubewright reads " + want, Remedy: "write " + want})
	return typo
}

func (k check) clusterName() {
	const path = "metadata.name"
	if k.missing(path) {
		k.report(path, Problem{Code: codeClusterName, Wrong: "is missing", Remedy: "give the cluster a name, such as lab"})
		return
	}
	if !k.wrote(path) {
		return
	}
	name := k.c.Metadata.Name
	wrong, remedy := nameWrong(name, 63)
	// A cluster's name may be digits: nothing resolves it.
	if label.MatchString(name) && len(name) <= 63 {
		return
	}
	if wrong == "" {
		wrong, remedy = "has a dot in it", "write it without"
	}
	k.fail(path, Problem{Code: codeClusterName, Found: show(name), Wrong: wrong, Remedy: remedy})
}

// oneOf reports a value that is none of the choices.
func (k check) oneOf(path, is, code string, choices ...string) bool {
	if !k.wrote(path) || slices.Contains(choices, is) {
		return !k.bad(path)
	}
	p := Problem{Code: code, Found: show(is), Expected: list(choices, "or"), Remedy: "write one of them"}
	if meant, ok := nearest(is, choices); ok {
		p.Remedy = "did you mean " + meant + "?"
	}
	k.fail(path, p)
	return false
}

func (k check) port(path string, port int) {
	if k.wrote(path) && (port < 1 || port > 65535) {
		k.fail(path, Problem{Code: codePort, Found: itoa(port), Expected: "a port", Remedy: "write a number from 1 to 65535"})
	}
}

const firewallPath = "spec.firewall"

func hostPath(i int) string { return item("spec.hosts", i) }
