package ops

import (
	"os"
	"strings"
	"testing"
)

const rootOnly = "1 0 0:1 / / rw - x x x\n"

// What an administrator mounts among our mounts after the claim stays, and so does what it is mounted in.
func TestAClaimOfMountsByName(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/proc/self/mountinfo", rootOnly, 0o644)
	claim := Claim{Mounts: []string{"/run/netns/cni-*", "/var/lib/kubelet"}, Held: true}
	first := observe(t, w, claim)
	if err := set(t, w, claim); err != nil {
		t.Fatal(err)
	}
	kept := rootOnly + "2 1 0:2 / /run/netns rw - x x x\n3 1 0:2 / /run/netns/vpn rw - x x x\n"
	w.write(t, "/proc/self/mountinfo", kept+"4 1 0:3 / /run/netns/cni-1 rw - x x x\n5 1 0:4 / /var/lib/kubelet/pods/a rw - x x x\n", 0o644)
	w.write(t, "/run/netns/vpn", "", 0o444)
	w.write(t, "/run/netns/cni-1", "", 0o444)
	if err := undo(t, w, first, claim); err != nil {
		t.Fatal(err)
	}
	if now, _ := os.ReadFile(w.Path("/proc/self/mountinfo")); string(now) != kept {
		t.Errorf("what is mounted is\n%s\nand should be\n%s", now, kept)
	}
	if !exists(w, "/run/netns/vpn") || exists(w, "/run/netns/cni-1") {
		t.Error("the wrong namespace was removed")
	}
}

func TestPatternsOfMounts(t *testing.T) {
	for _, row := range []struct {
		pattern, at string
		want        bool
	}{
		{"/run/netns", "/run/netns", true},
		{"/run/netns", "/run/netns/a", true},
		{"/run/netns/", "/run/netns/a/b", true},
		{"/run/netns", "/run/netns2", false},
		{"/run/netns", "/run", false},
		{"/run/netns/cni-*", "/run/netns/cni-1", true},
		{"/run/netns/cni-*", "/run/netns/cni-1/below", true},
		{"/run/netns/cni-*", "/run/netns", false},
		{"/run/netns/cni-*", "/run/netns/vpn", false},
		{"/run/netns/cni-*", "/run/netns/vpn/cni-1", false},
	} {
		if got := atOrBelow(row.pattern, row.at); got != row.want {
			t.Errorf("%s at %s: got %v", row.pattern, row.at, got)
		}
	}
}

// Giving up one claim leaves what another speaks of.
func TestClaimsKeepTheirOwnRecords(t *testing.T) {
	w := newWorld(t)
	pods, cluster := Claim{Name: "pods", Slices: []string{"kubepods.slice"}, Held: true}, Claim{Links: []string{"cni0"}, Held: true}
	if pods.Key() != "claim:pods" || cluster.Key() != "claim:cluster" {
		t.Fatalf("their keys are %s and %s", pods.Key(), cluster.Key())
	}
	firstPods, firstCluster := observe(t, w, pods), observe(t, w, cluster)
	for _, c := range []Claim{cluster, pods} {
		if err := set(t, w, c); err != nil {
			t.Fatal(err)
		}
	}
	w.Grow([]string{"cni0"}, nil, false)
	w.Give("kubepods.slice", UnitState{Active: true})
	if err := undo(t, w, firstPods, pods); err != nil {
		t.Fatal(err)
	}
	state, _ := w.Units().State(t.Context(), "kubepods.slice")
	if links, _ := w.Links(); state.Active || len(links) != 1 || !Equal(cluster, observe(t, w, cluster)) {
		t.Errorf("the slice is %+v, the links are %v, the cluster's claim is %+v", state, links, observe(t, w, cluster))
	}
	if err := undo(t, w, firstCluster, cluster); err != nil {
		t.Fatal(err)
	}
	if links, _ := w.Links(); len(links) > 0 {
		t.Errorf("the links %v are left", links)
	}
}

// Tables of iptables that are new since the claim go only if nobody else has anything in them, whichever tools the host has.
func TestTablesOfIptablesThatNobodyElseUses(t *testing.T) {
	base := func(name string) nftChain { return nftChain{name: name, base: true} }
	for name, row := range map[string]struct {
		holds ruleset
		goes  bool
	}{
		"nothing":                     {ruleset{}, true},
		"the chains it has to begin":  {ruleset{chains: []nftChain{base("INPUT"), base("OUTPUT")}}, true},
		"our chains, and rules to it": {ruleset{chains: []nftChain{base("OUTPUT"), {name: "KUBE-A"}}, rules: []nftRule{{chain: "OUTPUT", to: "KUBE-A"}, {chain: "KUBE-A"}}}, true},
		"a policy to drop":            {ruleset{chains: []nftChain{{name: "INPUT", base: true, drop: true}}}, false},
		"somebody's rule":             {ruleset{chains: []nftChain{base("INPUT")}, rules: []nftRule{{chain: "INPUT"}}}, false},
		"somebody's chain":            {ruleset{chains: []nftChain{{name: "DOCKER"}}}, false},
		"somebody's rule to a chain":  {ruleset{chains: []nftChain{base("INPUT"), {name: "KUBE-A"}}, rules: []nftRule{{chain: "INPUT", to: "DOCKER"}}}, false},
		"a set":                       {ruleset{more: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Grow(nil, []string{"ip mangle"}, false)
			claim := Claim{Chains: []string{"KUBE-"}, Held: true}
			first := observe(t, w, claim)
			if err := set(t, w, claim); err != nil {
				t.Fatal(err)
			}
			w.Grow(nil, []string{"ip6 filter", "ip filter-of-others", "inet filter"}, false)
			w.rulesets = map[string]ruleset{"ip6 filter": row.holds}
			if err := undo(t, w, first, claim); err != nil {
				t.Fatal(err)
			}
			tables, _ := w.Tables()
			want := "ip mangle,ip6 filter,ip filter-of-others,inet filter"
			if row.goes {
				want = "ip mangle,ip filter-of-others,inet filter"
			}
			if got := strings.Join(tables, ","); got != want {
				t.Errorf("left are %s, and should be %s", got, want)
			}
		})
	}
}
