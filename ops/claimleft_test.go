package ops

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What was made in passing goes, unless somebody uses it by now; what was there before stays.
func TestAClaimOfFiles(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/run/theirs/sock", "", 0o644)
	claim := Claim{Files: []string{"/run/theirs", "/run/nri", "/run/nri/nri.sock", "/run/empty", "/run/used", "/run/xtables.lock", "/run/held.lock"}, Held: true}
	first := observe(t, w, claim)
	if err := set(t, w, claim); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"/run/nri/nri.sock", "/run/xtables.lock", "/run/held.lock", "/run/used/by-somebody"} {
		w.write(t, f, "", 0o644)
	}
	if err := os.Mkdir(w.Path("/run/empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(w.Path("/run/held.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := undo(t, w, first, claim); err != nil {
		t.Fatal(err)
	}
	for path, stays := range map[string]bool{
		"/run/theirs/sock": true, "/run/used/by-somebody": true, "/run/held.lock": true,
		"/run/nri": false, "/run/empty": false, "/run/xtables.lock": false,
	} {
		if exists(w, path) != stays {
			t.Errorf("%s: there is %t, want %t", path, !stays, stays)
		}
	}
}

// A claim that names more in a later run remembers what that was when it was first named, and keeps what it remembers of the rest.
func TestAClaimOfSysctlsGrows(t *testing.T) {
	w := newWorld(t)
	w.write(t, "/proc/sys/kernel/panic", "3\n", 0o644)
	w.write(t, "/proc/sys/vm/overcommit_memory", "0\n", 0o644)
	small := Claim{Sysctls: []string{"kernel.panic"}, Held: true}
	large := Claim{Sysctls: []string{"kernel.panic", "vm.overcommit_memory", "net.ipv4.vs.conntrack"}, Held: true}
	first := observe(t, w, small)
	for _, c := range []Claim{small, large} {
		if err := set(t, w, c); err != nil {
			t.Fatal(err)
		}
		w.write(t, "/proc/sys/kernel/panic", "10\n", 0o644)
	}
	w.write(t, "/proc/sys/vm/overcommit_memory", "1\n", 0o644)
	w.write(t, "/proc/sys/net/ipv4/vs/conntrack", "1\n", 0o644) // came with a module: there is nothing to go back to
	if err := undo(t, w, first, large); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"kernel/panic": "3\n", "vm/overcommit_memory": "0\n", "net/ipv4/vs/conntrack": "1\n"} {
		if got, _ := os.ReadFile(w.Path("/proc/sys/" + path)); string(got) != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestWhereSystemdHasASlice(t *testing.T) {
	for slice, want := range map[string]string{
		"kubepods.slice":                "kubepods.slice",
		"kubepods-burstable.slice":      "kubepods.slice/kubepods-burstable.slice",
		"kubepods-burstable-pod1.slice": "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice",
	} {
		if got := cgroupOfSlice(slice); got != want {
			t.Errorf("%s: %s, want %s", slice, got, want)
		}
	}
}

// Somebody's table of iptables gets chains that it did not have: those go where nobody has anything in them, and all that was there stays.
func TestChainsThatIptablesMadeInSomebodysTable(t *testing.T) {
	w := newWorld(t)
	base := func(name string) nftChain { return nftChain{name: name, base: true} }
	w.Grow(nil, []string{"ip filter", "inet filter"}, false)
	w.rulesets = map[string]ruleset{
		"ip filter":   {chains: []nftChain{base("FORWARD"), base("INPUT")}, rules: []nftRule{{chain: "FORWARD"}}},
		"inet filter": {chains: []nftChain{base("input")}},
	}
	claim := Claim{Chains: []string{"KUBE-"}, Held: true}
	first := observe(t, w, claim)
	if err := set(t, w, claim); err != nil {
		t.Fatal(err)
	}
	w.rulesets["ip filter"] = ruleset{
		chains: []nftChain{base("FORWARD"), base("INPUT"), base("OUTPUT"), base("PREROUTING"), {name: "POSTROUTING", base: true, drop: true}, {name: "MINE"}},
		rules:  []nftRule{{chain: "FORWARD"}, {chain: "PREROUTING"}},
	}
	w.rulesets["inet filter"] = ruleset{chains: []nftChain{base("input"), base("output")}}
	if err := undo(t, w, first, claim); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]string{"ip filter": "FORWARD INPUT PREROUTING POSTROUTING MINE", "inet filter": "input output"} {
		var names []string
		for _, c := range w.rulesets[table].chains {
			names = append(names, c.name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s has the chains %s, want %s", table, got, want)
		}
	}
}
