package phases

import (
	"net"
	"net/netip"
)

// hostOf is the host of a host:port.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	return host
}

func isAddress(s string) bool { _, err := netip.ParseAddr(s); return err == nil }

// distinct drops what was there before, keeping the order.
func distinct(all []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
