package ops

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const (
	someUsers   = "root:x:0:0:root:/root:/bin/bash\nme:x:1000:1000:Me,,,:/home/me:/bin/bash\n"
	someGroups  = "root:x:0:\nadm:x:4:me\nme:x:1000:\netcd:x:2379:\n"
	someSecrets = "root:*:19000:0:99999:7:::\nme:$y$hash:19000:0:99999:7:::\n"
)

func accounts(groups string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		w.write(t, "/etc/passwd", someUsers, 0o644)
		w.write(t, "/etc/group", groups, 0o644)
		w.write(t, "/etc/shadow", someSecrets, 0o640)
		w.write(t, "/etc/gshadow", "root:*::\nadm:*::me\n", 0o640)
	}
}

func accountSpecimens() []specimen {
	etcd := User{Name: "etcd", UID: 2379, GID: 2379, Groups: []string{"adm"}}
	conf := "# This file controls SELinux\nSELINUX=enforcing \n# SELINUX=disabled is a comment\nSELINUXTYPE=targeted\n"
	owned := func(t *testing.T, w *world) {
		w.write(t, "/var/lib/etcd/member/wal/0.wal", "x", 0o600)
		w.write(t, "/var/lib/etcd/member/snap/db", "x", 0o600)
		symlink(t, w, "/etc/passwd", "/var/lib/etcd/member/link")
	}
	return []specimen{
		{name: "a group", wish: Group{Name: "kube", GID: 990}, with: accounts(someGroups)},
		{name: "a group of another number", wish: Group{Name: "etcd", GID: 990}, with: accounts(someGroups)},
		{name: "a user", wish: etcd, with: accounts(someGroups)},
		{name: "a user on a host without secrets", wish: User{Name: "etcd", UID: 2379, GID: 2379, Comment: "etcd", Home: "/var/lib/etcd", Shell: "/bin/false"},
			with: func(t *testing.T, w *world) {
				accounts(someGroups)(t, w)
				for _, file := range []string{"/etc/shadow", "/etc/gshadow"} {
					if err := os.Remove(w.Path(file)); err != nil {
						t.Fatal(err)
					}
				}
			}},
		{name: "a user that is somebody else's", wish: User{Name: "me", UID: 1001, GID: 0, Shell: "/usr/sbin/nologin", Groups: []string{"adm", "etcd"}}, with: accounts(someGroups)},
		{name: "a user of which half is there", wish: etcd, with: func(t *testing.T, w *world) {
			accounts(someGroups)(t, w)
			w.write(t, "/etc/shadow", someSecrets+"etcd:!:19000::::::\n", 0o640)
		}},
		{name: "a user that shall go", wish: User{Name: "etcd", Absent: true}, with: func(t *testing.T, w *world) {
			accounts(someGroups)(t, w)
			w.write(t, "/etc/passwd", someUsers+"etcd:x:2379:2379::/nonexistent:/usr/sbin/nologin\n", 0o644)
			w.write(t, "/etc/shadow", someSecrets+"etcd:!:20513::::::\n", 0o640)
		}},
		{name: "a copy of a key", wish: Copy{Path: "/etc/kubernetes/etcd/server.key", From: "/etc/server.key", Mode: 0o400, UID: 2379, GID: 2379},
			with: file("/etc/server.key", "-----BEGIN PRIVATE KEY-----\n", 0o600)},
		{name: "a directory whose content has other owners", wish: Dir{Path: "/var/lib/etcd", Mode: 0o700, UID: 2379, GID: 2379, Deep: true}, with: owned},
		{name: "SELinux now and at boot", wish: SELinux{Now: "permissive", Boot: "permissive"}, with: func(t *testing.T, w *world) {
			w.write(t, selinuxEnforce, "1", 0o644)
			w.write(t, selinuxConfig, conf, 0o644)
		}},
		{name: "SELinux in words of somebody's own", wish: SELinux{Now: "permissive", Boot: "permissive"}, with: func(t *testing.T, w *world) {
			w.write(t, selinuxEnforce, "1", 0o644)
			w.write(t, selinuxConfig, " SELINUX=permissive\nSELINUX=later\nSELINUX=\t Enforcing# for the auditors\r\nSELINUX=enforcing\n", 0o600)
		}},
		{name: "SELinux that is off until the next boot", wish: SELinux{Now: "permissive", Boot: "permissive"}, with: file(selinuxConfig, conf, 0o644)},
		{name: "SELinux that is permissive only now", wish: SELinux{Now: "permissive", Boot: "permissive"}, with: func(t *testing.T, w *world) {
			w.write(t, selinuxEnforce, "0", 0o644)
			w.write(t, "/etc/sysconfig/selinux", conf, 0o600)
			symlink(t, w, "../sysconfig/selinux", selinuxConfig)
		}},
	}
}

func TestAccountsThatCannotBe(t *testing.T) {
	for _, row := range []struct {
		op   Op
		want string
	}{
		{Group{Name: "kube", GID: 1000}, "the number 1000 is that of me already"},
		{Group{Name: "me", Absent: true}, "the group me is that of the user me"},
		{Group{Name: "kube"}, "0 is not the number of a system user or group"},
		{User{Name: "etcd", UID: 1000, GID: 2379}, "the number 1000 is that of me already"},
		{User{Name: "etcd", UID: 990, GID: 990}, "there is no group 990 for the user etcd"},
		{User{Name: "etcd", UID: 990, GID: 4, Groups: []string{"wheel"}}, "there is no group wheel"},
		{User{Name: "a:b", UID: 990, GID: 4}, `"a:b" is not the name of a system user or group`},
		{User{Name: "etcd", UID: 990, GID: 4, Comment: "a:b"}, "a colon or a line's end cannot be part of an account"},
	} {
		w := newWorld(t)
		accounts(someGroups)(t, w)
		before, _ := os.ReadFile(w.Path("/etc/passwd"))
		if err := row.op.Set(t.Context(), w, nil); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: %v, want %s", row.op, err, row.want)
		}
		if after, _ := os.ReadFile(w.Path("/etc/passwd")); string(after) != string(before) {
			t.Errorf("%+v left the user in /etc/passwd", row.op)
		}
	}
}

// TestUndoneAccountsLeaveOthersLines: an account that came in the meantime stays, and so does the lock that everybody takes.
func TestUndoneAccountsLeaveOthersLines(t *testing.T) {
	w := newWorld(t)
	accounts(someGroups)(t, w)
	w.write(t, accountsLock, "", 0o600)
	wish := User{Name: "etcd", UID: 2379, GID: 2379, Groups: []string{"adm"}}
	first := observe(t, w, wish)
	if err := wish.Set(t.Context(), w, first); err != nil {
		t.Fatal(err)
	}
	passwd, _ := os.ReadFile(w.Path("/etc/passwd"))
	w.write(t, "/etc/passwd", string(passwd)+"you:x:1001:1000::/home/you:/bin/sh\n", 0o644)
	if err := undo(t, w, first, wish); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/etc/passwd": someUsers + "you:x:1001:1000::/home/you:/bin/sh\n", "/etc/group": someGroups, "/etc/shadow": someSecrets, accountsLock: ""} {
		if got, err := os.ReadFile(w.Path(path)); err != nil || string(got) != want {
			t.Errorf("%s: %v: %s", path, err, got)
		}
	}
}

// TestAccountsAreRead by the tool that reads them on every host.
func TestAccountsAreRead(t *testing.T) {
	pwck, err := exec.LookPath("/usr/sbin/pwck")
	if err != nil {
		t.Skip("there is no pwck here")
	}
	w := newWorld(t)
	accounts(someGroups)(t, w)
	if err := (User{Name: "etcd", UID: 2379, GID: 2379}).Set(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(pwck, "-r", "-q", w.Path("/etc/passwd"), w.Path("/etc/shadow")).CombinedOutput()
	if strings.Contains(string(out), "invalid") || strings.Contains(string(out), "no matching") {
		t.Errorf("pwck says\n%s", out)
	}
}

// TestNoSELinux: where there is none nothing is said and nothing is done.
func TestNoSELinux(t *testing.T) {
	w := newWorld(t)
	wish := SELinux{Now: "permissive", Boot: "permissive"}
	before := w.snapshot(t)
	seen := observe(t, w, wish)
	if err := wish.Set(t.Context(), w, seen); err != nil || !Equal(wish, seen) || w.snapshot(t) != before {
		t.Errorf("%+v, %v", seen, err)
	}
}

// TestBootMode is how libselinux reads the configuration.
func TestBootMode(t *testing.T) {
	for config, want := range map[string]string{
		"":                   "",
		"SELINUX=enforcing":  "enforcing",
		"SELINUX=Disabled\n": "Disabled",
		" SELINUX=enforcing\nSELINUXTYPE=targeted\n":                               "",
		"#SELINUX=enforcing\nSELINUX=   permissive # for now\nSELINUX=enforcing\n": "permissive",
		"SELINUX=on\nSELINUX=enforcing\n":                                          "enforcing",
	} {
		if start, end := bootMode([]byte(config)); config[start:end] != want {
			t.Errorf("%q says %q, want %q", config, config[start:end], want)
		}
	}
}

// TestSELinuxThatIsOffStaysOff: to be permissive it would have to be turned on, on files without labels.
func TestSELinuxThatIsOffStaysOff(t *testing.T) {
	w := newWorld(t)
	w.write(t, selinuxConfig, "SELINUX=disabled\n", 0o644)
	wish := SELinux{Now: "permissive", Boot: "permissive"}
	before := w.snapshot(t)
	seen := observe(t, w, wish)
	if err := wish.Set(t.Context(), w, seen); err != nil || !Equal(wish, seen) || w.snapshot(t) != before {
		t.Errorf("%+v, %v:\n%s", seen, err, w.snapshot(t))
	}
}
