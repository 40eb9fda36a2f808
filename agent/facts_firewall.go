package agent

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// Firewall is what filters packets on the host, by whose hand.
type Firewall struct {
	Zones  map[string]ops.FirewallZone `json:"zones,omitempty"`  // firewalld's, those in use
	Silent string                      `json:"silent,omitempty"` // why firewalld, which runs, does not tell them
	UFW    bool                        `json:"ufw,omitempty"`    // it is on
	Chains []ops.Chain                 `json:"chains,omitempty"` // of nftables: those that stop packets and are not the cluster's own
	Legacy bool                        `json:"legacy,omitempty"` // rules in the kernel's old tables of iptables
	// Load is the file that nftables.service loads, and Flushes that it begins by deleting every table there is.
	Load    string `json:"load,omitempty"`
	Flushes bool   `json:"flushes,omitempty"`
	// Settings are those of firewalld and ufw that make a difference to a cluster: "CleanupOnExit", "DEFAULT_OUTPUT_POLICY", "net/ipv4/ip_forward".
	Settings map[string]string `json:"settings,omitempty"`
	NFT      bool              `json:"nft,omitempty"` // the host has nft(8)
}

// Stops says whether some firewall that up knows how to open keeps packets from coming in.
func (f Firewall) Stops() bool {
	return len(f.Zones) > 0 || f.Silent != "" || f.UFW || len(f.Chains) > 0
}

// Files in which firewalls keep their settings.
const (
	FirewalldConf = "/etc/firewalld/firewalld.conf"
	UFWDefaults   = "/etc/default/ufw"
	UFWSysctls    = "/etc/ufw/sysctl.conf"
)

// known are the tables of nftables of firewalld, which is spoken to in its own language, and those that a cluster's components make.
var known = []string{"firewalld", "kube-proxy", "flannel-ipv4", "flannel-ipv6", "cni_hostport"}

func firewall(ctx context.Context, m ops.Machine, units map[string]ops.UnitState, read func(string) string) Firewall {
	f := Firewall{Settings: map[string]string{}}
	for _, path := range []string{"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"} {
		_, err := os.Stat(m.Path(path))
		f.NFT = f.NFT || err == nil
	}
	if units["firewalld.service"].Active {
		// It counts as active from when it begins to start, and answers when it has: on a busy host that takes seconds.
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		var err error
		if f.Zones, err = ops.FirewallZones(ctx, m); err != nil {
			f.Silent = clip(err.Error(), maxMessage)
		}
		assignments(f.Settings, read(FirewalldConf), "CleanupOnExit")
	}
	f.UFW = ops.UFWIsOn(m)
	if f.UFW {
		assignments(f.Settings, read(UFWDefaults), "DEFAULT_OUTPUT_POLICY")
		assignments(f.Settings, read(UFWSysctls), "net/ipv4/ip_forward")
	}
	if u := units["nftables.service"]; u.Enabled || u.Active {
		for _, dir := range []string{"/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"} {
			if f.Load = loads(read(dir + "nftables.service")); f.Load != "" {
				break
			}
		}
		f.Flushes = flushes(read(f.Load))
	}
	for _, c := range ops.FilterChains(m, known...) {
		if c.Stops {
			f.Chains = append(f.Chains, c)
		}
	}
	f.Legacy = strings.TrimSpace(read("/proc/net/ip_tables_names")) != ""
	if len(f.Settings) == 0 {
		f.Settings = nil
	}
	return f
}

// assignments picks assignments out of a file of them, where the last one counts.
func assignments(into map[string]string, text string, names ...string) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if name = strings.TrimSpace(name); ok && slices.Contains(names, name) {
			into[name] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
}

// loads is the file that a unit hands to nft -f when it starts.
func loads(unit string) string {
	for line := range strings.Lines(unit) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=")
		if !ok {
			continue
		}
		words := strings.Fields(command)
		if i := slices.Index(words, "-f"); i >= 0 && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

func flushes(rules string) bool {
	for line := range strings.Lines(rules) {
		if f := strings.Fields(strings.ReplaceAll(line, ";", " ")); len(f) >= 2 && f[0] == "flush" && f[1] == "ruleset" {
			return true
		}
	}
	return false
}
