package ops

import (
	"net"
	"os"
	"slices"
	"testing"
)

// What the kernel's nftables can do is tried in a namespace of its own: this process' network is as it was.
func TestNFTablesAreTriedWhereNobodySeesIt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may")
	}
	h := &host{}
	before, err := h.Tables()
	if err != nil {
		t.Skip(err)
	}
	links := names(t)
	err = TryNFTables()
	if Untried(err) {
		t.Skip(err)
	}
	t.Logf("nftables: %v", err)
	if after, _ := h.Tables(); !slices.Equal(before, after) {
		t.Errorf("the tables were %q and are %q", before, after)
	}
	if now := names(t); !slices.Equal(links, now) {
		t.Errorf("the links were %q and are %q", links, now)
	}
}

func names(t *testing.T) (all []string) {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		all = append(all, l.Name)
	}
	return all
}

func TestClusteredChains(t *testing.T) {
	for name, want := range map[KernelChain]bool{
		{Table: "ip nat", Name: "KUBE-SERVICES"}: true, {Table: "ip kube-proxy", Name: "services"}: true, {Table: "ip flannel-ipv4", Name: "postrtg"}: true,
		{Table: "ip nat", Name: "CNI-DN-1"}: true, {Table: "ip filter", Name: "FORWARD", Hook: Forwarding, Drop: true}: false, {Table: "inet firewalld", Name: "filter_INPUT"}: false,
	} {
		if name.Clustered() != want {
			t.Errorf("%v: %v", name, !want)
		}
	}
}

func TestWordsOfTheBus(t *testing.T) {
	for printed, want := range map[string][]string{`["LANG=C" "HTTP_PROXY=http://x"]`: {"LANG=C", "HTTP_PROXY=http://x"}, `["a", "b"]`: {"a", "b"}, "@as []": nil, "": nil} {
		if got := words(printed); !slices.Equal(got, want) {
			t.Errorf("%s: %q", printed, got)
		}
	}
}
