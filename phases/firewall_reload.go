package phases

import (
	"slices"

	"github.com/kubewright/kubewright/inventory"
)

// rulesMayVanish says whether a firewall of some node deletes every table of nftables when it is loaded anew, the cluster's with them: nftables.service does
// when it stops, and most files that it loads begin so.
func rulesMayVanish(in Input) bool {
	if mode, _ := ProxyMode(in.Cluster, in.Facts); mode != "nftables" || in.Cluster.Spec.Firewall == inventory.FirewallOff {
		return false
	}
	return slices.ContainsFunc(in.Cluster.Nodes(), func(h inventory.Host) bool { return in.Facts[h.Name].Firewall.Load != "" })
}

// portsWithNFTables says whether the host's ports of pods can be kept in a table of their own. In those of iptables they would not outlive a reload of firewalld, which empties
// them all, and nobody puts them there again.
func portsWithNFTables(in Input) bool {
	mode, _ := ProxyMode(in.Cluster, in.Facts)
	return mode == "nftables" && in.facts().Firewall.NFT
}
