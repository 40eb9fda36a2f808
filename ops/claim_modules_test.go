package ops

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Of the modules that came since the claim, those go that nobody uses; what was there before stays, also where nothing uses it.
func TestModulesThatCameWithTheCluster(t *testing.T) {
	claim := Claim{Name: "modules", Modules: []string{"ip_vs*", "nf_*", "xt_*", "veth", "vxlan"}, Held: true}
	for name, row := range map[string]struct {
		before, after string // module:references:users
		links, tables []string
		left          string
	}{
		"used by one another":                   {"ext4:2", "ext4:2 xt_nat:0 nf_nat:1:xt_nat nf_conntrack:1:nf_nat", nil, nil, "ext4"},
		"there before, and idle":                {"nf_conntrack:0", "nf_conntrack:1:nf_nat nf_nat:0", nil, nil, "nf_conntrack"},
		"not of the cluster":                    {"", "usb_storage:0 xt_nat:0", nil, nil, "usb_storage"},
		"somebody's rule":                       {"", "xt_nat:1 nf_nat:1:xt_nat", nil, nil, "xt_nat nf_nat"},
		"links that hold no reference":          {"", "veth:0 vxlan:0", []string{"veth1"}, nil, "veth"},
		"links of a name that only looks alike": {"", "veth:0", []string{"eth0", "my-veth"}, nil, ""},
		"tables of nftables":                    {"", "nf_tables:0 xt_nat:0", nil, []string{"inet mine"}, "nf_tables"},
		"no tables of nftables":                 {"", "nf_tables:0", nil, nil, ""},
		"a kernel that unloads nothing":         {"", "xt_nat:-", nil, nil, "xt_nat"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write(t, "/proc/self/mountinfo", rootOnly, 0o644)
			w.write(t, "/proc/modules", procModules(row.before), 0o644)
			first := observe(t, w, claim)
			if err := set(t, w, claim); err != nil {
				t.Fatal(err)
			}
			w.write(t, "/proc/modules", procModules(row.after), 0o644)
			w.Grow(row.links, row.tables, false)
			if err := undo(t, w, first, claim); err != nil {
				t.Fatal(err)
			}
			all, err := loadedModules(w)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, l := range all {
				left = append(left, l.name)
			}
			if got := strings.Join(left, " "); got != row.left {
				t.Errorf("left are %q, and should be %q", got, row.left)
			}
		})
	}
}

func procModules(short string) string {
	var out strings.Builder
	for m := range strings.FieldsSeq(short) {
		f := append(strings.Split(m, ":"), "-")
		if f[2] != "-" {
			f[2] += ","
		}
		out.WriteString(f[0] + " 16384 " + f[1] + " " + f[2] + " Live 0x0\n")
	}
	return out.String()
}

// A module takes none along that it needs: those may have been there before.
func TestAModuleIsUnloadedAlone(t *testing.T) {
	w := newWorld(t)
	if err := set(t, w, Module{Name: "ip_vs", Loaded: true}); err != nil {
		t.Fatal(err)
	}
	w.write(t, "/proc/modules", procModules("ip_vs:0 nf_conntrack:1:ip_vs"), 0o644)
	if err := set(t, w, Module{Name: "ip_vs"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(w.Path("/proc/modules")); string(got) != "nf_conntrack 16384 0  Live 0x0\n" {
		t.Errorf("left is %q", got)
	}
}

// busyKernel has a user come between the look and the unloading.
type busyKernel struct {
	*Pretend
	err error
}

func (b busyKernel) Unload(string) error { return b.err }

func TestAModuleThatIsUsedAfterAll(t *testing.T) {
	for _, row := range []struct {
		err  error
		fail bool
	}{{unix.EWOULDBLOCK, false}, {unix.EBUSY, false}, {unix.ENOENT, false}, {unix.EPERM, true}} {
		w := newWorld(t)
		w.write(t, "/proc/modules", procModules("xt_nat:0"), 0o644)
		m := busyKernel{w.Pretend, row.err}
		if err := unloadModules(m, []string{"xt_nat"}); (err != nil) != row.fail {
			t.Errorf("%v: got %v", row.err, err)
		}
	}
}
