package agent

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/ops"
)

// Interface is a network link of the host.
type Interface struct {
	Name      string   `json:"name"`
	MTU       int      `json:"mtu"`
	MAC       string   `json:"mac,omitempty"`
	Up        bool     `json:"up,omitempty"`
	Addresses []string `json:"addresses,omitempty"` // with prefix length
}

// Route is a network that the host already reaches by itself.
type Route struct {
	Network   string `json:"network"`
	Interface string `json:"interface"`
	Gateway   string `json:"gateway,omitempty"`
}

// maxRoutes bounds what is told of a routing table; a router of the internet has a million.
const maxRoutes = 2000

// Listener is a port somebody listens on.
type Listener struct {
	Protocol string `json:"protocol"` // tcp or udp
	Address  string `json:"address"`
	Port     int    `json:"port"`
	PID      int    `json:"pid,omitempty"`
	Process  string `json:"process,omitempty"`
}

func interfaces() (all []Interface) {
	links, _ := net.Interfaces()
	for _, l := range links[:min(len(links), maxLinks)] {
		i := Interface{Name: l.Name, MTU: l.MTU, MAC: l.HardwareAddr.String(), Up: l.Flags&net.FlagUp != 0}
		addrs, _ := l.Addrs()
		for _, a := range addrs {
			i.Addresses = append(i.Addresses, a.String())
		}
		all = append(all, i)
	}
	return all
}

// routes reads the kernel's IPv4 routes, and from which interfaces the rest of the world is reached; IPv6's only where IPv4 has none.
func routes(v4, v6 string) (all []Route, defaults []string) {
	for line := range strings.Lines(v4) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "Iface" {
			continue
		}
		dst, errD := kernelAddress(f[1])
		gateway, errG := kernelAddress(f[2])
		mask, errM := kernelAddress(f[7])
		if errD != nil || errG != nil || errM != nil {
			continue
		}
		if dst.IsUnspecified() && mask.IsUnspecified() {
			if !slices.Contains(defaults, f[0]) {
				defaults = append(defaults, f[0])
			}
			continue
		}
		ones, _ := net.IPMask(mask.AsSlice()).Size()
		r := Route{Network: netip.PrefixFrom(dst, ones).String(), Interface: f[0]}
		if !gateway.IsUnspecified() {
			r.Gateway = gateway.String()
		}
		all = append(all, r)
	}
	for line := range strings.Lines(v6) {
		f := strings.Fields(line)
		if len(f) == 10 && len(defaults) == 0 && f[1] == "00" && f[9] != "lo" && strings.Trim(f[0], "0") == "" {
			defaults = append(defaults, f[9])
		}
	}
	return all[:min(len(all), maxRoutes)], defaults
}

// kernelAddress reads an IPv4 address as /proc/net/route has it: as the kernel holds it, in the machine's own byte order.
func kernelAddress(text string) (netip.Addr, error) {
	n, err := strconv.ParseUint(text, 16, 32)
	var a [4]byte
	binary.NativeEndian.PutUint32(a[:], uint32(n))
	return netip.AddrFrom4(a), err
}

// listening finds the ports that are taken, and by whom, from /proc/net and the sockets each process has open.
func listening(m ops.Machine) (all []Listener) {
	inodes := map[string][]int{}
	for _, proto := range []struct{ file, name, state string }{
		{"tcp", "tcp", "0A"}, {"tcp6", "tcp", "0A"}, {"udp", "udp", "07"}, {"udp6", "udp", "07"},
	} {
		for line := range strings.Lines(readText(m.Path("/proc/net/" + proto.file))) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != proto.state {
				continue
			}
			host, port, ok := socketAddress(f[1])
			if !ok {
				continue
			}
			inodes[f[9]] = append(inodes[f[9]], len(all))
			all = append(all, Listener{Protocol: proto.name, Address: host, Port: port})
			if len(all) == 1000 {
				return all
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	dirs, _ := filepath.Glob(m.Path("/proc/[0-9]*/fd"))
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			target, err := os.Readlink(filepath.Join(dir, e.Name()))
			inode, ok := strings.CutPrefix(target, "socket:[")
			if err != nil || !ok {
				continue
			}
			for _, i := range inodes[strings.TrimSuffix(inode, "]")] {
				if all[i].PID == 0 {
					all[i].PID, _ = strconv.Atoi(filepath.Base(filepath.Dir(dir)))
					all[i].Process = strings.TrimSpace(readText(filepath.Join(filepath.Dir(dir), "comm")))
				}
			}
		}
	}
	return all
}

// socketAddress reads an address of /proc/net/tcp: words of four bytes in the kernel's own order, a colon, and the port.
func socketAddress(s string) (host string, port int, ok bool) {
	words, p, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(words)
	n, errP := strconv.ParseUint(p, 16, 16)
	if err != nil || errP != nil || len(raw)%4 != 0 {
		return "", 0, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	return a.Unmap().String(), int(n), ok
}

func resolvers(text string) (servers, search []string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) < 2:
		case f[0] == "nameserver":
			servers = append(servers, f[1])
		case f[0] == "search", f[0] == "domain":
			search = f[1:]
		}
	}
	return servers, search
}

// hostsEntries are the addresses that /etc/hosts gives a name.
func hostsEntries(text, name string) (out []string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 1 && slices.Contains(f[1:], name) {
			out = append(out, f[0])
		}
	}
	return out
}
