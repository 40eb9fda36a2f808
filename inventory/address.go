package inventory

import (
	"cmp"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// address decodes addresses and address ranges.
func (r *reading) address(n ast.Node, o other, v reflect.Value, path string) {
	expected, supported, code, example := "an IP address", "an IPv4 address", codeAddress, "write one, such as 192.168.1.21"
	if v.Type() == prefixType {
		expected, supported, code, example = "an address range", "an IPv4 range", codeRange, "write one, such as 10.244.0.0/16"
	}
	_, isText := n.(*ast.StringNode)
	if !isText && n.Type() != ast.NullType {
		// 10 and 1.2 are numbers to YAML; to the reader they are addresses gone wrong.
		r.fail(path, Problem{Code: code, Found: found(n), Expected: expected, Remedy: example})
		return
	}
	if n.Type() == ast.NullType {
		r.fail(path, Problem{Code: code, Wrong: "has no value", Expected: expected, Remedy: example})
		return
	}
	s, ok := r.string(n, o, path, false)
	if !ok {
		return
	}
	a, wrong, remedy := parseAddr(s)
	if a.Is6() {
		r.fail(path, ipv6(supported))
		return
	}
	if v.Type() == addrType {
		if wrong != "" {
			r.report(path, Problem{Code: code, Found: show(s), Wrong: wrong, Expected: expected, Remedy: remedy})
			r.failed[path] = !a.IsValid()
		}
		v.Set(reflect.ValueOf(a))
		return
	}
	p, wrong, remedy := parsePrefix(s)
	if wrong != "" {
		r.report(path, Problem{Code: code, Found: show(s), Wrong: wrong, Expected: expected, Remedy: remedy})
		r.failed[path] = !p.IsValid()
	}
	v.Set(reflect.ValueOf(p))
}

// ipv6 is the problem with IPv6 where the cluster that is rendered knows IPv4 only.
func ipv6(supported string) Problem {
	return Problem{Code: codeIPv6, Wrong: "IPv6 is not supported yet", Expected: supported, Remedy: "write " + supported}
}

// parseAddr reads an address. When the text is wrong but what was meant is plain, it returns both the complaint and the
// address, so that other rules can still be checked against it.
func parseAddr(s string) (a netip.Addr, wrong, remedy string) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Is4In6() {
			a = a.Unmap()
			return a, "is an IPv4 address written as IPv6", "write " + a.String()
		}
		return a, "", ""
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr(), "is an address with a prefix length, not an IP address", "write " + p.Addr().String()
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr(), "has a port, and is not an IP address alone", "write " + ap.Addr().String() + "; sshd's port goes to ssh.port"
	}
	if t := strings.TrimSpace(s); t != s {
		if a, err := netip.ParseAddr(t); err == nil {
			return a, "has spaces around it", "write " + t
		}
	}
	if m := dotted.FindStringSubmatch(s); m != nil {
		clean := make([]string, 4)
		for i, part := range m[1:] {
			if v, err := strconv.Atoi(part); err != nil || v > 255 {
				return a, "is not an IP address: " + part + " is more than 255", "correct it"
			}
			clean[i] = cmp.Or(strings.TrimLeft(part, "0"), "0")
		}
		c := strings.Join(clean, ".")
		a, _ := netip.ParseAddr(c)
		return a, "has leading zeros, which some programs read as octal", "write " + c
	}
	if wrong, _ := nameWrong(s, 253); wrong == "" {
		return a, "is a name, not an IP address", "write the address that the other hosts reach it at"
	}
	return a, "is not an IP address", "write one, such as 192.168.1.21"
}

var dotted = regexp.MustCompile(`^(\d+)\.(\d+)\.(\d+)\.(\d+)$`)

// parsePrefix reads a range, in the same way.
func parsePrefix(s string) (p netip.Prefix, wrong, remedy string) {
	p, err := netip.ParsePrefix(s)
	switch {
	case err == nil && p != p.Masked():
		p = p.Masked()
		return p, "has bits set after its first " + strconv.Itoa(p.Bits()), "write " + p.String()
	case err == nil:
		return p, "", ""
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.Prefix{}, "is an address, not an address range", "write how long the range's prefix is, as in " + a.Unmap().String() + "/16"
	}
	return netip.Prefix{}, "is not an address range", "write one, such as 10.244.0.0/16"
}
