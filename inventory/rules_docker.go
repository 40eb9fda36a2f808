package inventory

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
)

const dockerPath = "spec.docker"

// debianVersion is the outer shape of a package's version, so that it cannot be taken for anything else on a command line.
var debianVersion = regexp.MustCompile(`^[0-9][A-Za-z0-9.+~:-]*$`)

// docker is the rules about how Docker is set up, one value each.
func (k check) docker() {
	k.oneOf("spec.runtime", k.c.Spec.Runtime, codeRuntime, RuntimeContainerd, RuntimeDocker)
	d := k.c.Spec.Docker
	k.oneOf(field(dockerPath, "package"), d.Package, codeDocker, DockerIO, DockerCE)
	if p := field(dockerPath, "version"); k.wrote(p) && !debianVersion.MatchString(d.Version) {
		k.fail(p, Problem{Code: codeDocker, Found: show(d.Version), Expected: "a package's version", Remedy: "write it as apt-cache policy shows it, such as 20.10.24+dfsg1-1"})
	}
	k.each(field(dockerPath, "mirrors"), d.Mirrors, mirrorWrong, "the URL of a mirror", "write it as in https://mirror.example.org")
	k.each(field(dockerPath, "insecureRegistries"), d.InsecureRegistries, registryWrong, "a registry", "write host:port, or a range such as 10.0.0.0/8")
	if p := field(dockerPath, "runc"); k.wrote(p) && (!path.IsAbs(d.Runc) || path.Clean(d.Runc) != d.Runc) {
		k.fail(p, Problem{Code: codeDocker, Found: show(d.Runc), Expected: "the path of a program", Remedy: "write the whole path"})
	}
}

// each is the rule about every item of a list: it is what it should be, and there once.
func (k check) each(path string, all []string, wrong func(string) string, expected, remedy string) {
	seen := map[string]int{}
	for i, s := range all {
		p := item(path, i)
		if !k.wrote(p) {
			continue
		}
		if why := wrong(s); why != "" {
			k.fail(p, Problem{Code: codeDocker, Found: show(s), Wrong: why, Expected: expected, Remedy: remedy})
		} else if first, twice := seen[s]; twice {
			k.report(p, Problem{Code: codeDocker, Found: show(s), Wrong: fmt.Sprintf("is there twice, first on line %d", first), Remedy: "keep one"})
		} else {
			seen[s] = k.place(p).line
		}
	}
}

// mirrorWrong says why Docker would refuse a mirror.
func mirrorWrong(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "is not an http or https URL"
	case u.User != nil:
		return "has a login in it"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "has something after the host"
	}
	return ""
}

func registryWrong(s string) string {
	if _, err := netip.ParsePrefix(s); err == nil {
		return ""
	}
	host := s
	if h, port, err := net.SplitHostPort(s); err == nil {
		if _, err := netip.ParseAddrPort("127.0.0.1:" + port); err != nil {
			return "has the port " + show(port)
		}
		host = h
	}
	wrong, _ := siteWrong(host)
	return wrong
}

// runtimes are the rules about who has what to do with a runtime.
func (k check) runtimes() {
	docker, sure := false, true
	for i, h := range k.c.Spec.Hosts {
		p := field(hostPath(i), "runtime")
		sure = sure && !k.bad(p) && !k.bad(field(hostPath(i), "roles"))
		docker = docker || h.Docker()
		if k.wrote(p) && !h.Node() && !k.bad(field(hostPath(i), "roles")) {
			k.report(p, Problem{Code: codeRuntime, Found: show(h.Runtime), Wrong: "is for hosts that become nodes", Remedy: "leave the line out, or give the host the role worker"})
		}
	}
	if k.wrote(dockerPath) && !docker && sure && !k.bad("spec.runtime") {
		k.report(dockerPath, Problem{Code: codeDocker, Wrong: "is there, but no host runs Docker", Remedy: "write runtime: docker above it or in a host, or leave it out"})
	}
}
