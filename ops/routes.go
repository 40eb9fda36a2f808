package ops

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Routes are the routes of the main table, IPv4, as "10.244.1.0/24 via 192.168.1.32" or "10.244.1.0/24".
func (h *host) Routes() ([]string, error) {
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = unix.AF_INET
	answers, err := netlink(unix.NETLINK_ROUTE, message{kind: unix.RTM_GETROUTE, flags: unix.NLM_F_DUMP, body: body})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range answers {
		if len(a) < unix.SizeofRtMsg || a[4] != unix.RT_TABLE_MAIN {
			continue
		}
		to, ok := attribute(a[unix.SizeofRtMsg:], unix.RTA_DST)
		dst, known := netip.AddrFromSlice(to)
		if !ok || !known {
			continue // the default route
		}
		route := netip.PrefixFrom(dst, int(a[1])).String()
		if via, ok := attribute(a[unix.SizeofRtMsg:], unix.RTA_GATEWAY); ok {
			if gateway, ok := netip.AddrFromSlice(via); ok {
				route += " via " + gateway.String()
			}
		}
		out = append(out, route)
	}
	return out, nil
}

// DeleteRoute deletes one of them.
func (h *host) DeleteRoute(route string) error {
	to, via, _ := strings.Cut(route, " via ")
	prefix, err := netip.ParsePrefix(to)
	if err != nil || !prefix.Addr().Is4() {
		return fmt.Errorf("%q is not a route", route)
	}
	var body bytes.Buffer
	head := make([]byte, unix.SizeofRtMsg)
	head[0], head[1], head[4], head[6] = unix.AF_INET, byte(prefix.Bits()), unix.RT_TABLE_MAIN, unix.RT_SCOPE_NOWHERE
	body.Write(head)
	dst := prefix.Addr().As4()
	body.Write(newAttribute(unix.RTA_DST, dst[:]))
	if gateway, err := netip.ParseAddr(via); err == nil && gateway.Is4() {
		at := gateway.As4()
		body.Write(newAttribute(unix.RTA_GATEWAY, at[:]))
	}
	_, err = netlink(unix.NETLINK_ROUTE, message{kind: unix.RTM_DELROUTE, flags: unix.NLM_F_ACK, body: body.Bytes()})
	return err
}

// within says whether a route leads to an address of one of the ranges.
func within(ranges []string, route string) bool {
	to, _, _ := strings.Cut(route, " via ")
	dst, err := netip.ParsePrefix(to)
	if err != nil {
		return false
	}
	for _, text := range ranges {
		r, err := netip.ParsePrefix(text)
		if err == nil && r.Contains(dst.Addr()) && r.Bits() <= dst.Bits() {
			return true
		}
	}
	return false
}
