package ops

import (
	"os"
	"testing"
)

func exportsSpecimens() []specimen {
	const options = "rw,sync,root_squash"
	wish := Exports{Held: true, Exports: []Export{{"/srv/a", "10.0.0.1", options}, {"/srv/a", "10.0.0.2", options}, {"/srv/b", "10.0.0.1", options}}}
	etab := func(text string) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			w.ServeNFS("nfs-server.service", nil)
			w.write(t, exported, text, 0o644)
		}
	}
	return []specimen{
		{name: "exports", wish: wish, with: etab("")},
		{name: "exports beside somebody's", wish: wish, with: etab("/home\t10.0.0.0/8(wdelay,rw,sync,root_squash)\n")},
		{name: "exports that somebody has, with other options", wish: wish, with: etab("/srv/a\t10.0.0.1(wdelay,rw,no_root_squash,sync)\n")},
		{name: "exports that somebody has as they shall be", wish: wish, with: etab("/srv/a\t10.0.0.1(wdelay,sync,rw,root_squash)\n/srv/b\t10.0.0.1(wdelay,rw,sync,root_squash)\n")},
	}
}

// TestExportsThatAreNoMore: what a later wish leaves out is taken away, and what somebody made by hand stays, whatever becomes of ours.
func TestExportsThatAreNoMore(t *testing.T) {
	w := newWorld(t)
	w.ServeNFS("nfs-server.service", nil)
	const theirs = "/home\t10.0.0.9(rw)\n"
	w.write(t, exported, theirs, 0o644)
	old := Exports{Held: true, Exports: []Export{{"/srv/a", "10.0.0.1", "rw"}, {"/srv/a", "10.0.0.2", "rw"}}}
	first := observe(t, w, old)
	must(t, set(t, w, old))
	later := Exports{Held: true, Exports: []Export{{"/srv/b", "10.0.0.1", "rw"}}}
	seen := observe(t, w, later)
	if Equal(later, seen) {
		t.Fatal("nothing is to be done, though what was exported is not wished any more")
	}
	must(t, set(t, w, later))
	if got, _ := os.ReadFile(w.Path(exported)); string(got) != theirs+"/srv/b\t10.0.0.1(wdelay,rw)\n" {
		t.Errorf("exported are\n%s", got)
	}
	must(t, undo(t, w, first, later))
	if got, _ := os.ReadFile(w.Path(exported)); string(got) != theirs {
		t.Errorf("undone, exported are\n%s", got)
	}
}

// TestExportsThatWereLost: the server has read nothing of it since, or somebody changed it by hand.
func TestExportsThatWereLost(t *testing.T) {
	wish := Exports{Held: true, Exports: []Export{{"/srv/a", "10.0.0.1", "rw,root_squash"}}}
	for name, table := range map[string]string{
		"gone":                 "",
		"with another option":  "/srv/a\t10.0.0.1(rw,no_root_squash)\n",
		"for another client":   "/srv/a\t10.0.0.2(rw,root_squash)\n",
		"a line that is none":  "/srv/a\n",
		"to a wider wildcard":  "/srv/a\t*(rw,root_squash)\n",
		"another path of ours": "/srv/ab\t10.0.0.1(rw,root_squash)\n",
	} {
		w := newWorld(t)
		w.ServeNFS("nfs-server.service", nil)
		must(t, set(t, w, wish))
		w.write(t, exported, table, 0o644)
		if Equal(wish, observe(t, w, wish)) {
			t.Errorf("%s: nothing is to be done", name)
		}
		must(t, set(t, w, wish))
		if !Equal(wish, observe(t, w, wish)) {
			t.Errorf("%s: it was set and is not so", name)
		}
	}
}

func TestExportsThatAreRefused(t *testing.T) {
	for _, e := range []Export{{"srv", "10.0.0.1", "rw"}, {"/srv/a b", "10.0.0.1", "rw"}, {"/srv", "", "rw"}, {"/srv", "-a", "rw"}, {"/srv", "10.0.0.1", ""}, {"/srv(", "10.0.0.1", "rw"}} {
		w := newWorld(t)
		w.ServeNFS("nfs-server.service", nil)
		if err := (Exports{Held: true, Exports: []Export{e}}).Set(t.Context(), w, Exports{}); err == nil {
			t.Errorf("%+v was exported", e)
		}
		if len(w.Ran()) > 0 {
			t.Errorf("%+v: %q was run", e, w.Ran())
		}
	}
}
