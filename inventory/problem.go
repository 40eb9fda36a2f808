package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a cluster file, said so that the reader knows where it is and what to write
// instead. The text in it is safe to print: values are escaped, shortened, and never a secret.
type Problem struct {
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"` // from 1; 0 when the problem is the file itself
	Column   int    `json:"column,omitempty"`
	Path     string `json:"path,omitempty"` // as in spec.hosts[1].address
	Found    string `json:"found,omitempty"`
	Expected string `json:"expected,omitempty"` // a noun: "an IP address"
	Wrong    string `json:"wrong,omitempty"`    // what is wrong, where "is not <Expected>" would not say it
	Remedy   string `json:"remedy,omitempty"`   // what to do, as an order: "write 10.0.0.1"
	Code     string `json:"code"`
}

// String is the problem on one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(escape(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(escape(p.Path) + ": ")
	}
	wrong := p.Wrong
	if wrong == "" {
		wrong = "is not " + p.Expected
	}
	b.WriteString(strings.TrimSpace(p.Found + " " + wrong))
	if p.Remedy != "" {
		b.WriteString(": " + p.Remedy)
	}
	return b.String() + " [" + p.Code + "]"
}

// Problems is everything that is wrong with one cluster file, in the order of its lines. It is the only error that Load and
// Parse return.
type Problems []Problem

// Error is one line a problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sorted orders by place, and drops what was said twice of one place.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Wrong, b.Wrong))
	})
	return slices.Compact(ps)
}

// The codes are stable: a number is never given to another problem, for people search for it.
const (
	codeFile        = "KW-INV-001" // the file is missing, unreadable, empty or too large
	codeEncoding    = "KW-INV-002" // bytes that are not UTF-8 text
	codeSyntax      = "KW-INV-003" // not YAML
	codeDuplicate   = "KW-INV-004" // the same key twice
	codeUnknown     = "KW-INV-005" // a key that does not exist
	codeFeature     = "KW-INV-006" // anchors, aliases, tags, merges and other YAML that a cluster file has no use for
	codeHead        = "KW-INV-007" // several documents, or another kind or version
	codeType        = "KW-INV-008" // a number where text belongs, and the like
	codeNoHosts     = "KW-INV-009" // no hosts
	codeNoRole      = "KW-INV-010" // nobody is the control plane, or a worker
	codeManyMasters = "KW-INV-011" // more control planes than are supported
	codeTwice       = "KW-INV-012" // two hosts share a name or an address
	codeHostName    = "KW-INV-013" // a host's name
	codeClusterName = "KW-INV-014" // the cluster's name
	codeAddress     = "KW-INV-015" // not an IP address
	codeClass       = "KW-INV-016" // an address that no host can have
	codePort        = "KW-INV-017" // a port
	codeUser        = "KW-INV-018" // a login name
	codeKeyFile     = "KW-INV-019" // the private key's file
	codeSSHAddress  = "KW-INV-020" // where sshd answers
	codeSecret      = "KW-INV-021" // a secret in the file
	codeHostKey     = "KW-INV-022" // a host key's fingerprint
	codeRole        = "KW-INV-024" // a role
	codeRange       = "KW-INV-025" // not an address range
	codeServiceSize = "KW-INV-026" // the service range's size
	codeOverlap     = "KW-INV-027" // ranges or addresses that overlap
	codeRegistries  = "KW-INV-028" // no registry host, or several
	codePodSize     = "KW-INV-029" // the pod range's size
	codeIPv6        = "KW-INV-030" // IPv6, which is not supported yet
	codeDNSDomain   = "KW-INV-032" // the cluster's DNS domain
	codeEndpoint    = "KW-INV-033" // the API server's endpoint
	codeSAN         = "KW-INV-034" // a name in the API server's certificate
	codeProxyMode   = "KW-INV-038" // kube-proxy's mode
	codeFirewall    = "KW-INV-039" // the firewall's keeper
	codeCheck       = "KW-INV-040" // a check of preflight
	codeEviction    = "KW-INV-050" // an eviction threshold
	codeMaxPods     = "KW-INV-065" // pods a node
	codePackage     = "KW-INV-080" // a package
	codeSELinux     = "KW-INV-081" // what becomes of SELinux
	codeTime        = "KW-INV-082" // what becomes of the time service
	codeHidden      = "KW-INV-073" // characters that cannot be seen
	codeRuntime     = "KW-INV-083" // a container runtime
	codeDocker      = "KW-INV-084" // how Docker is set up
	codeAddon       = "KW-INV-090" // a setting of an addon
	codeNodePort    = "KW-INV-091" // a port of an addon that cannot be one, or that two want
	codeNeeds       = "KW-INV-092" // an addon that another needs
	codeManifest    = "KW-INV-093" // manifests of the user's own
)
