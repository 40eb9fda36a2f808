package agent

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// An original comes back as it was, whether it was linked or copied, and whatever was done to the live file in between.
func TestKeepAndPutBack(t *testing.T) {
	old := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	for name, spoil := range map[string]func(live string) error{
		"replaced": func(p string) error {
			return errors.Join(os.WriteFile(p+"~", []byte("new"), 0o600), os.Rename(p+"~", p))
		},
		"removed":                os.Remove,
		"removed with directory": func(p string) error { return os.RemoveAll(filepath.Dir(p)) },
		"mode, owner and times in place": func(p string) error {
			return errors.Join(os.Chmod(p, 0o777), os.Chtimes(p, time.Now(), time.Now()), unix.Setxattr(p, "user.other", []byte("x"), 0))
		},
		"untouched": func(string) error { return nil },
	} {
		m := ops.NewPretend(t.TempDir())
		dir := m.Path(StateDir)
		live := m.Path("/etc/dir/file")
		err := errors.Join(os.MkdirAll(dir, 0o700), os.MkdirAll(filepath.Dir(live), 0o755), os.WriteFile(live, []byte("original"), 0o640),
			os.Chmod(live, 0o4640), unix.Setxattr(live, "user.note", []byte("mine"), 0), os.Chtimes(live, old, old))
		if err != nil {
			t.Fatal(err)
		}
		before, err := describeFile(live)
		if err != nil {
			t.Fatal(err)
		}
		j := &journal{index: map[ops.Key]*change{}}
		all, _, err := keep(m, dir, j, ops.File{Path: "/etc/dir/file"})
		if err != nil || len(all) != 1 {
			t.Fatalf("%s: kept %v: %v", name, all, err)
		}
		if err := spoil(live); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for range 2 { // a crash right after may repeat it
			if err := putBack(m, dir, all[0]); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		after, err := describeFile(live)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameFile(t, name, before, after)
		if content, _ := os.ReadFile(live); string(content) != "original" {
			t.Errorf("%s: the content is %q", name, content)
		}
		if left, _ := filepath.Glob(filepath.Dir(live) + "/.*"); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func sameFile(t *testing.T, name string, before, after kept) {
	t.Helper()
	if before.Mode != after.Mode || before.UID != after.UID || before.GID != after.GID || before.Mtime != after.Mtime {
		t.Errorf("%s: came back as %+v, was %+v", name, after, before)
	}
	if len(before.Xattrs) != len(after.Xattrs) || string(before.Xattrs["user.note"]) != string(after.Xattrs["user.note"]) {
		t.Errorf("%s: came back with attributes %v, had %v", name, after.Xattrs, before.Xattrs)
	}
}

// Where the file system does not link, a copy is as good.
func TestCopyIsAsGood(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	old := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	err := errors.Join(os.WriteFile(from, []byte("original"), 0o600), os.Chmod(from, 0o2755), unix.Setxattr(from, "user.note", []byte("mine"), 0),
		os.Chtimes(from, old, old))
	if err != nil {
		t.Fatal(err)
	}
	before, err := describeFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(copyFile(from, to), describeOnto(to, before)); err != nil {
		t.Fatal(err)
	}
	after, err := describeFile(to)
	if err != nil {
		t.Fatal(err)
	}
	sameFile(t, "copied", before, after)
	if !sameContent(from, to) {
		t.Error("the copy has other bytes")
	}
	link, linkCopy := filepath.Join(dir, "link"), filepath.Join(dir, "link-copy")
	if err := errors.Join(os.Symlink("nowhere", link), copyFile(link, linkCopy)); err != nil {
		t.Fatal(err)
	}
	if !sameContent(link, linkCopy) || sameContent(link, from) {
		t.Error("a link was not copied as a link")
	}
}

func TestOnlyTheFirstOriginalIsKept(t *testing.T) {
	w, m := newWorker(t)
	write := func(text string) {
		t.Helper()
		op := ops.File{Path: "/etc/f", Content: []byte(text), Mode: 0o644}
		if err := w.apply(t.Context(), m, "r", "p", []ops.Step{{Op: op}}, func(ops.Progress) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(m.Path("/etc"), 0o755), os.WriteFile(m.Path("/etc/f"), []byte("zero"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two", "three"} {
		write(text)
	}
	all, err := filepath.Glob(filepath.Join(w.dir, keptName, "*"))
	if err != nil || len(all) != 1 || filepath.Base(all[0]) != "0001-%2Fetc%2Ff" {
		t.Fatalf("kept %v, %v", all, err)
	}
	if content, _ := os.ReadFile(all[0]); string(content) != "zero" {
		t.Errorf("kept %q", content)
	}
}

// A later wish for the same key may be about another file, and what lies there is the user's.
func TestAFileThatOnlyALaterWishTouchesIsKept(t *testing.T) {
	w, m := newWorker(t)
	if err := os.WriteFile(m.Path("/opt/other.pub"), []byte("the user's"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, public := range []string{"/opt/sa.pub", "/opt/third.pub", "/opt/other.pub", "/opt/other.pub"} {
		op := ops.KeyPair{Private: "/opt/sa.key", Public: public}
		if err := w.apply(t.Context(), m, "r", "p", []ops.Step{{Op: op}}, func(ops.Progress) {}); err != nil {
			t.Fatal(err)
		}
	}
	if content, _ := os.ReadFile(m.Path("/opt/other.pub")); string(content) == "the user's" {
		t.Fatal("the wish was not set")
	}
	if err := w.reset(t.Context(), m, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(m.Path("/opt/other.pub")); string(content) != "the user's" {
		t.Errorf("the user's file is now %q", content)
	}
	if all, _ := filepath.Glob(m.Path("/opt/*")); len(all) != 1 {
		t.Errorf("the reset left %v", all)
	}
}

// What the user wrote into a shared file after us survives the reset.
func TestResetSparesLaterEdits(t *testing.T) {
	w, m := newWorker(t)
	hosts := m.Path("/etc/hosts")
	if err := errors.Join(os.MkdirAll(m.Path("/etc"), 0o755), os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	op := ops.Block{Path: "/etc/hosts", Name: "nodes", Lines: []string{"192.0.2.1 one"}}
	if err := w.apply(t.Context(), m, "r", "p", []ops.Step{{Op: op}}, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(hosts, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("192.0.2.7 the users own\n")
	if err := errors.Join(err, f.Close(), w.reset(t.Context(), m, func(ops.Progress) {})); err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(hosts); string(content) != "127.0.0.1 localhost\n192.0.2.7 the users own\n" {
		t.Errorf("the file is now %q", content)
	}
}

// Somebody has deleted a file of which we own a part: it comes back as it was before us, and not as our part alone.
func TestResetBringsBackASharedFileThatIsGone(t *testing.T) {
	for _, op := range []ops.Op{
		ops.Block{Path: "/etc/shared.toml", Name: "nodes", Lines: []string{"# one"}},
		ops.Merge{Path: "/etc/shared.toml", Settings: []ops.Setting{{At: []string{"ours"}, Value: json.RawMessage("2")}}},
	} {
		w, m := newWorker(t)
		path := m.Path("/etc/shared.toml")
		const before = "# mine\ntheirs = 1\nours = 1\n"
		if err := errors.Join(os.MkdirAll(m.Path("/etc"), 0o755), os.WriteFile(path, []byte(before), 0o640)); err != nil {
			t.Fatal(err)
		}
		err := w.apply(t.Context(), m, "r", "p", []ops.Step{{Op: op}}, func(ops.Progress) {})
		if err := errors.Join(err, os.Remove(path), w.reset(t.Context(), m, func(ops.Progress) {})); err != nil {
			t.Fatal(err)
		}
		content, _ := os.ReadFile(path)
		if info, err := os.Stat(path); err != nil || string(content) != before || info.Mode() != 0o640 {
			t.Errorf("%s: the file is now %q, %v", op.Key(), content, info)
		}
	}
}

// The databases of accounts come back with their times, unless somebody has changed them since.
func TestResetBringsBackTheTimesOfAccounts(t *testing.T) {
	old := time.Unix(1500000000, 42)
	for _, theirs := range []string{"", "mine:x:7:\n"} {
		w, m := newWorker(t)
		before := map[string]string{"/etc/passwd": "root:x:0:0::/root:/bin/sh\n", "/etc/shadow": "root:*:1::::::\n", "/etc/group": "root:x:0:\n", "/etc/gshadow": "root:*::\n"}
		for name, content := range before {
			path := m.Path(name)
			if err := errors.Join(os.MkdirAll(m.Path("/etc"), 0o755), os.WriteFile(path, []byte(content), 0o640), os.Chtimes(path, old, old)); err != nil {
				t.Fatal(err)
			}
		}
		steps := []ops.Step{{Op: ops.Group{Name: "etcd", GID: 2379}}, {Op: ops.User{Name: "etcd", UID: 2379, GID: 2379}}}
		if err := w.apply(t.Context(), m, "r", "p", steps, func(ops.Progress) {}); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(m.Path("/etc/group"), os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(theirs)
			err = errors.Join(err, f.Close())
		}
		if err := errors.Join(err, w.reset(t.Context(), m, func(ops.Progress) {})); err != nil {
			t.Fatal(err)
		}
		before["/etc/group"] += theirs
		for name, want := range before {
			content, _ := os.ReadFile(m.Path(name))
			info, err := os.Stat(m.Path(name))
			if err != nil || string(content) != want || info.Mode() != 0o640 {
				t.Fatalf("%s is %q, %v, %v", name, content, info, err)
			}
			if same := info.ModTime().Equal(old); same != (name != "/etc/group" || theirs == "") {
				t.Errorf("%s, to which somebody added %q, is of %s", name, theirs, info.ModTime())
			}
		}
	}
}

// The mode of SELinux is one word in a file that is its administrator's: what they add stays, and where they added nothing the file's times come back.
func TestResetKeepsWhatIsSaidOfSELinux(t *testing.T) {
	old := time.Unix(1500000000, 42)
	const config, before = "/etc/selinux/config", "# mine\nSELINUX= Enforcing # for the auditors\nSELINUXTYPE=default\n"
	for _, theirs := range []string{"", "# theirs\n"} {
		w, m := newWorker(t)
		path, enforce := m.Path(config), m.Path("/sys/fs/selinux/enforce")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(before), 0o640), os.Chtimes(path, old, old),
			os.MkdirAll(filepath.Dir(enforce), 0o755), os.WriteFile(enforce, []byte("1"), 0o644)); err != nil {
			t.Fatal(err)
		}
		steps := []ops.Step{{Op: ops.SELinux{Now: "permissive", Boot: "permissive"}}}
		if err := w.apply(t.Context(), m, "r", "p", steps, func(ops.Progress) {}); err != nil {
			t.Fatal(err)
		}
		now, err := os.ReadFile(path)
		if want := strings.Replace(before, "Enforcing", "permissive", 1); err != nil || string(now) != want {
			t.Errorf("the file became %q, %v", now, err)
		}
		if theirs != "" {
			if err := os.WriteFile(path, append(now, theirs...), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.reset(t.Context(), m, func(ops.Progress) {}); err != nil {
			t.Fatal(err)
		}
		content, _ := os.ReadFile(path)
		info, err := os.Stat(path)
		if err != nil || string(content) != before+theirs || info.Mode() != 0o640 || info.ModTime().Equal(old) != (theirs == "") {
			t.Errorf("with %q added the file is %q, %v, %v", theirs, content, info, err)
		}
		if live, _ := os.ReadFile(enforce); string(live) != "1" {
			t.Errorf("SELinux is %q now", live)
		}
	}
}

// A later run may be about more keys of a shared file; reset brings back what was there before each, and the file's times with the last.
func TestResetKnowsKeysThatCameLater(t *testing.T) {
	w, m := newWorker(t)
	path, old := m.Path("/etc/x.toml"), time.Unix(1500000000, 42)
	before := "a = 0x1 # one\nb = 2\nl = [ 1 ]\n"
	if err := errors.Join(os.MkdirAll(m.Path("/etc"), 0o755), os.WriteFile(path, []byte(before), 0o640), os.Chtimes(path, old, old)); err != nil {
		t.Fatal(err)
	}
	list := func(elements string) ops.Setting {
		var all []json.RawMessage
		if err := json.Unmarshal([]byte(elements), &all); err != nil {
			t.Fatal(err)
		}
		return ops.Setting{At: []string{"l"}, Elements: all}
	}
	for _, settings := range [][]ops.Setting{
		{{At: []string{"a"}, Value: []byte("5")}, list("[2]")},
		{{At: []string{"b"}, Value: []byte("6")}, {At: []string{"c", "d"}, Value: []byte("7")}, list("[2, 3]")},
	} {
		if err := w.apply(t.Context(), m, "r", "p", []ops.Step{{Op: ops.Merge{Path: "/etc/x.toml", Settings: settings}}}, func(ops.Progress) {}); err != nil {
			t.Fatal(err)
		}
	}
	if content, _ := os.ReadFile(path); string(content) != "a = 5 # one\nb = 6\nl = [ 1, 2, 3 ]\n\n[c]\nd = 7\n" {
		t.Errorf("the file became %q", content)
	}
	if err := w.reset(t.Context(), m, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(path)
	if info, err := os.Stat(path); err != nil || string(content) != before || !info.ModTime().Equal(old) || info.Mode() != 0o640 {
		t.Errorf("the file is %q, %v, %v", content, info, err)
	}
}

// What cannot be put back does not keep the rest from it, and can be put back later.
func TestResetGoesOnPastAFailure(t *testing.T) {
	w, m := newWorker(t)
	var steps []ops.Step
	for _, name := range []string{"/etc/x/a", "/etc/y/b", "/etc/z/c"} {
		steps = append(steps, ops.Step{Op: ops.File{Path: name, Content: []byte("x"), Mode: 0o644}})
	}
	if err := w.apply(t.Context(), m, "r", "p", steps, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	// A directory where the file was: neither removed nor replaced by us.
	in := m.Path("/etc/y/b/somebody/elses")
	if err := errors.Join(os.Remove(m.Path("/etc/y/b")), os.MkdirAll(in, 0o755)); err != nil {
		t.Fatal(err)
	}
	states := map[ops.Key]ops.State{}
	err := w.reset(t.Context(), m, func(p ops.Progress) { states[p.Key] = p.State })
	var failed *ResetError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Key != "file:/etc/y/b" {
		t.Fatalf("reset: %v", err)
	}
	if states["file:/etc/x/a"] != ops.Changed || states["file:/etc/z/c"] != ops.Changed || states["file:/etc/y/b"] != ops.Failed {
		t.Errorf("reset reported %v", states)
	}
	if _, err := os.Stat(filepath.Join(w.dir, journalName)); err != nil {
		t.Errorf("the journal is gone: %v", err)
	}
	if err := os.RemoveAll(m.Path("/etc/y/b")); err != nil {
		t.Fatal(err)
	}
	clear(states)
	if err := w.reset(t.Context(), m, func(p ops.Progress) { states[p.Key] = p.State }); err != nil {
		t.Fatalf("the second reset: %v", err)
	}
	if want := map[ops.Key]ops.State{"file:/etc/y/b": ops.Same, "file:/etc/x/a": ops.Same}; !maps.Equal(states, want) {
		t.Errorf("the second reset reported %v, not %v", states, want)
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("the state directory is left: %v", err)
	}
}
