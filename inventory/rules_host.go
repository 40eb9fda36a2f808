package inventory

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

func itoa(i int) string { return strconv.Itoa(i) }

// host is the rules about one host alone.
func (k check) host(path string, h Host) {
	if k.bad(path) {
		return
	}
	name, address, roles := field(path, "name"), field(path, "address"), field(path, "roles")
	if k.missing(name) {
		k.report(name, Problem{Code: codeHostName, Wrong: "is missing", Remedy: "write the host's name, such as node-0001"})
	}
	if k.missing(address) {
		k.report(address, Problem{Code: codeAddress, Wrong: "is missing", Remedy: "write the IP address that the other hosts reach it at"})
	}
	if k.wrote(name) {
		k.hostName(name, h.Name)
	}
	if k.wrote(address) {
		if class := classOf(h.Address); class != "" {
			k.fail(address, Problem{Code: codeClass, Found: show(h.Address.String()), Wrong: "is " + class + ", which no other host can reach",
				Expected: "an address of the host", Remedy: "write the address that the other hosts reach it at"})
		}
	}
	k.hostRoles(roles, h.Roles)
	k.oneOf(field(path, "runtime"), h.Runtime, codeRuntime, RuntimeContainerd, RuntimeDocker)
	k.ssh(field(path, "ssh"), h.SSH)
}

func (k check) hostName(path, name string) {
	// 63 and not 64: the name is also the value of the label kubernetes.io/hostname.
	wrong, remedy := nameWrong(name, 63)
	if wrong == "" && (name == "localhost" || strings.HasPrefix(name, "localhost.")) {
		wrong, remedy = "is every host's name for itself", "write another"
	}
	if wrong == "" && name == "cluster" {
		wrong, remedy = "is how plans and reports call what is not on a host", "write another"
	}
	if wrong != "" {
		k.fail(path, Problem{Code: codeHostName, Found: show(name), Wrong: wrong, Expected: "a host name", Remedy: remedy})
	}
}

// reserved are the ranges that are not a host's, beyond those that netip names.
var reserved = []struct {
	prefix netip.Prefix
	class  string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this network only"},
	{netip.MustParsePrefix("192.0.2.0/24"), "a documentation address"},
	{netip.MustParsePrefix("198.51.100.0/24"), "a documentation address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a documentation address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
}

// classOf names what keeps an address from being a host's, or is empty.
func classOf(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "the unspecified address"
	case a.IsLoopback():
		return "a loopback address"
	case a.IsMulticast():
		return "a multicast address"
	case a.IsLinkLocalUnicast():
		return "a link-local address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	}
	for _, x := range reserved {
		if x.prefix.Contains(a) {
			return x.class
		}
	}
	return ""
}

// other names for the roles, that people bring from elsewhere.
var roleMeant = map[string]Role{
	"master": ControlPlane, "controlplane": ControlPlane, "control": ControlPlane, "etcd": ControlPlane, "server": ControlPlane,
	"node": Worker, "agent": Worker, "minion": Worker, "image": Registry, "images": Registry, "repository": Registry,
}

func (k check) hostRoles(path string, roles []Role) {
	known := []string{string(ControlPlane), string(Worker), string(Registry)}
	if k.missing(path) || k.wrote(path) && len(roles) == 0 {
		k.fail(path, Problem{Code: codeRole, Wrong: "is missing", Expected: "a role", Remedy: "write one or more of " + list(known, "and") + ", as in [worker]"})
		return
	}
	seen := map[Role]bool{}
	for i, role := range roles {
		p := item(path, i)
		if !k.wrote(p) {
			continue
		}
		if seen[role] {
			k.report(p, Problem{Code: codeRole, Found: show(string(role)), Wrong: "is there twice", Remedy: "keep one"})
		}
		seen[role] = true
		if role == ControlPlane || role == Worker || role == Registry {
			continue
		}
		problem := Problem{Code: codeRole, Found: show(string(role)), Expected: "a role", Remedy: "write " + list(known, "or")}
		if meant, ok := roleMeant[strings.ToLower(string(role))]; ok {
			problem.Remedy = "write " + string(meant)
		} else if meant, ok := nearest(string(role), known); ok {
			problem.Remedy = "did you mean " + meant + "?"
		}
		k.fail(p, problem)
	}
}

var (
	userName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
	fingerprint = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]$`)
)

// ssh is the rules about one ssh section.
func (k check) ssh(path string, s SSH) {
	if k.bad(path) {
		return
	}
	if p := field(path, "address"); k.wrote(p) {
		k.sshAddress(p, s.Address)
	}
	k.port(field(path, "port"), s.Port)
	if p := field(path, "user"); k.wrote(p) && !userName.MatchString(s.User) {
		k.fail(p, Problem{Code: codeUser, Found: show(s.User), Expected: "a login name",
			Remedy: "use letters, digits, _, - and dots, begin with a letter or _, and at most 32 of them"})
	}
	for _, f := range []struct{ name, value string }{{"keyFile", s.KeyFile}, {"knownHostsFile", s.KnownHostsFile}} {
		p := field(path, f.name)
		if k.wrote(p) && strings.HasPrefix(f.value, "~") && f.value != "~" && !strings.HasPrefix(f.value, "~/") {
			k.fail(p, Problem{Code: codeKeyFile, Found: show(f.value), Wrong: "names another user's home", Remedy: "write the whole path"})
		}
	}
	seen := map[string]int{}
	for i, key := range s.HostKeys {
		p := item(field(path, "hostKeys"), i)
		if !k.wrote(p) {
			continue
		}
		if wrong := fingerprintWrong(key); wrong != "" {
			k.fail(p, Problem{Code: codeHostKey, Found: show(key), Wrong: wrong, Expected: "a SHA256 fingerprint",
				Remedy: "write SHA256: and its 43 characters, as ssh-keygen -lf prints them"})
		} else if first, twice := seen[key]; twice {
			k.report(p, Problem{Code: codeHostKey, Found: show(key), Wrong: fmt.Sprintf("is there twice, first on line %d", first), Remedy: "keep one"})
		} else {
			seen[key] = k.place(p).line
		}
	}
}

func (k check) sshAddress(path, address string) {
	wrong, remedy := siteWrong(address)
	if host, port, ok := strings.Cut(address, ":"); ok && strings.Trim(port, "0123456789") == "" && port != "" {
		wrong, remedy = "has a port", "write "+bare(host)+" here, and port: "+bare(port)+" below it"
	}
	if a, err := netip.ParseAddr(address); err == nil && (a.IsUnspecified() || a.IsMulticast()) {
		wrong, remedy = "is "+classOf(a), "write the address that sshd answers at"
	}
	if wrong != "" {
		k.fail(path, Problem{Code: codeSSHAddress, Found: show(address), Wrong: wrong, Expected: "an address or host name", Remedy: remedy})
	}
}

// fingerprintWrong says what is wrong with a host key's fingerprint.
func fingerprintWrong(s string) string {
	rest, sha256 := strings.CutPrefix(s, "SHA256:")
	switch {
	case fingerprint.MatchString(s):
		return ""
	case strings.HasPrefix(s, "MD5:"), len(s) == 47 && strings.Count(s, ":") == 15:
		return "is an MD5 fingerprint, which can be forged"
	case strings.HasPrefix(s, "ssh-"), strings.HasPrefix(s, "ecdsa-"):
		return "is a whole key, not its fingerprint"
	case sha256 && strings.HasSuffix(rest, "="):
		return "has base64 padding"
	case sha256 && len(rest) != 43:
		return fmt.Sprintf("has %d characters after SHA256:, not 43", len(rest))
	}
	return "is not a SHA256 fingerprint"
}
