package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Each row is a host, told by what its iptables-save prints for IPv4 and where the kernel can translate addresses.
func TestTheProgramTheHostUsesIsChosen(t *testing.T) {
	const canary = "*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n"
	const hint = "*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n"
	const rule = "*filter\n-A INPUT -j ACCEPT\n"
	for _, row := range []struct {
		name        string
		nft, legacy string
		noNftNat    bool
		noLegacyNat bool
		want        string
	}{
		{name: "a fresh host", want: nft},
		{name: "the kubelet used nft", nft: hint, legacy: rule, want: nft},
		{name: "the kubelet used legacy", nft: rule, legacy: canary, want: legacy},
		{name: "more rules in legacy", nft: rule, legacy: rule + "-A INPUT -j DROP\n", want: legacy},
		{name: "as many in both", nft: rule, legacy: rule, want: nft},
		{name: "a rule that mentions the chain is not the chain", legacy: "*filter\n-A X -m comment --comment :KUBE-IPTABLES-HINT\n", nft: rule + rule, want: nft},
		{name: "a kernel without nft's nat", noNftNat: true, want: legacy},
		{name: "a kernel without any nat", noNftNat: true, noLegacyNat: true, want: nft},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := choose(func(program string, argv ...string) ([]byte, bool) {
				switch {
				case argv[0] == "iptables":
					return nil, !(program == nft && row.noNftNat || program == legacy && row.noLegacyNat)
				case argv[0] == "ip6tables-save":
					return nil, true
				case program == nft:
					return []byte(row.nft), true
				default:
					return []byte(row.legacy), true
				}
			})
			if got != row.want {
				t.Errorf("chose %s, want %s", got, row.want)
			}
		})
	}
}

func TestTheNamesLeadToTheChosenProgram(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // again, over what is there
		settle(dir, legacy)
	}
	for _, name := range names {
		if to, err := os.Readlink(filepath.Join(dir, name)); err != nil || to != legacy {
			t.Errorf("%s leads to %q, %v", name, to, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
