package lab

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"regexp"

	"github.com/kubewright/kubewright/inventory"
)

// Default is the topology the lab has when nobody asks for another: the course's.
func Default() *inventory.Cluster {
	host := func(name, addr string, role inventory.Role) inventory.Host {
		return inventory.Host{Name: name, Address: netip.MustParseAddr(addr), Roles: []inventory.Role{role}}
	}
	return &inventory.Cluster{
		APIVersion: inventory.APIVersion,
		Kind:       inventory.Kind,
		Metadata:   inventory.Metadata{Name: "lab"},
		Spec: inventory.Spec{Hosts: []inventory.Host{
			host("master", "192.168.1.21", inventory.ControlPlane),
			host("node-0001", "192.168.1.31", inventory.Worker),
			host("node-0002", "192.168.1.32", inventory.Worker),
			host("registry", "192.168.1.100", inventory.Registry),
		}},
	}
}

// subnet is the one network that all the lab's hosts are on.
type subnet struct {
	prefix  netip.Prefix
	gateway netip.Addr // the bridge's own address: the hosts' default route, and where the installer is
}

// subnetOf finds the smallest network that holds every host, not smaller than what a site would give out.
func subnetOf(hosts []inventory.Host) (subnet, error) {
	if len(hosts) == 0 {
		return subnet{}, errors.New("the inventory has no hosts")
	}
	bits, least := 24, 16
	if hosts[0].Address.Is6() {
		bits, least = 64, 32
	}
	taken := map[netip.Addr]bool{}
	for _, h := range hosts {
		if !h.Address.IsValid() || h.Address.Is6() != hosts[0].Address.Is6() {
			return subnet{}, fmt.Errorf("host %s: address %s: the lab's hosts must share one network", h.Name, h.Address)
		}
		if taken[h.Address] {
			return subnet{}, fmt.Errorf("host %s: address %s is another host's too", h.Name, h.Address)
		}
		taken[h.Address] = true
		for !netip.PrefixFrom(hosts[0].Address, bits).Masked().Contains(h.Address) {
			if bits--; bits < least {
				return subnet{}, fmt.Errorf("host %s: address %s: the lab's hosts must share one network", h.Name, h.Address)
			}
		}
	}
	p := netip.PrefixFrom(hosts[0].Address, bits).Masked()
	gw := p.Addr().Next()
	for ; taken[gw]; gw = gw.Next() {
	}
	if !p.Contains(gw.Next()) {
		return subnet{}, fmt.Errorf("network %s has no address left for the gateway", p)
	}
	return subnet{p, gw}, nil
}

// The names the kernel knows a host by.

func netnsOf(host string) string  { return prefix + "-" + host }
func cgroupOf(host string) string { return prefix + "-" + host }

var plainLink = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,14}$`)

// portOf names the bridge's end of a host's cable: the host's own name where the kernel's 15 bytes allow it.
func portOf(host string) string {
	if plainLink.MatchString(host) && host != "lo" && host != bridge {
		return host
	}
	return fmt.Sprintf("h%x", sha256.Sum256([]byte(host)))[:15]
}

// macOf gives a host the same locally administered address at every boot, as a real card has.
func macOf(host string) string {
	s := sha256.Sum256([]byte(host))
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", s[0], s[1], s[2], s[3], s[4])
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// check refuses what the lab cannot make; whether the inventory makes sense is the inventory's own business.
func check(c *inventory.Cluster) error {
	seen := map[string]bool{}
	for _, h := range c.Spec.Hosts {
		if !hostName.MatchString(h.Name) || len(h.Name) > 56 {
			return fmt.Errorf("host %q: the lab needs a lower-case host name of at most 56 characters", h.Name)
		}
		if seen[h.Name] {
			return fmt.Errorf("host %s is there twice", h.Name)
		}
		seen[h.Name] = true
	}
	_, err := subnetOf(c.Spec.Hosts)
	return err
}
