package ops

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// labelling is a machine with SELinux and the policy's program, which tells of every path a label that names it.
func labelling(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.write(t, selinuxEnforce, "1", 0o644)
	w.write(t, selinuxConfig, "SELINUX=enforcing\n", 0o644)
	w.write(t, "/usr/sbin/matchpathcon", "", 0o755)
	w.write(t, fscreate, "", 0o600)
	w.Handle("matchpathcon", func(argv []string) ([]byte, error) {
		p := argv[len(argv)-1]
		if strings.Contains(p, "none") {
			return []byte("<<none>>\n"), nil
		}
		return []byte("u:r:" + strings.ReplaceAll(p, "/", "_") + ":s0\n"), nil
	})
	return w
}

// TestLabels: what ops make is made with the label that the policy has for that kind of thing where it really lies, and the policy is not asked about what is
// kubewright's own.
func TestLabels(t *testing.T) {
	w := labelling(t)
	symlink(t, w, "../srv/kubelet", "/var/lib/moved")
	if err := os.MkdirAll(w.Path("/var/srv/kubelet"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		op    Op
		asked []string
		label string // of what is made last
	}{
		{File{Path: "/etc/a/b.conf", Content: []byte("x"), Mode: 0o644}, []string{"dir -- /etc/a", "file -- /etc/a/b.conf"}, "u:r:_etc_a_b.conf:s0"},
		{Symlink{Path: "/etc/a/link", Target: "b.conf"}, []string{"lnk_file -- /etc/a/link"}, "u:r:_etc_a_link:s0"},
		{Dir{Path: "/var/lib/kubelet", Mode: 0o700, Owned: true}, []string{"dir -- /var/lib/kubelet"}, "u:r:_var_lib_kubelet:s0"},
		{Dir{Path: "/var/lib/moved/pods", Mode: 0o700}, []string{"dir -- /var/srv/kubelet/pods"}, "u:r:_var_srv_kubelet_pods:s0"},
		{File{Path: "/etc/none", Content: []byte("x"), Mode: 0o644}, []string{"file -- /etc/none"}, ""},
	} {
		before := len(w.Ran())
		w.write(t, fscreate, "", 0o600)
		if err := row.op.Set(t.Context(), w, nil); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, question := range row.asked {
			want = append(want, "matchpathcon -N -n -m "+question)
		}
		if got := w.Ran()[before:]; !slices.Equal(got, want) {
			t.Errorf("%s ran %q, want %q", row.op.Key(), got, want)
		}
		if got, _ := os.ReadFile(w.Path(fscreate)); string(got) != row.label {
			t.Errorf("%s was made with the label %q, want %q", row.op.Key(), got, row.label)
		}
	}
}

// TestLabelsAreKept: what takes the place of something has its label, whatever the policy says, unless it is of another kind.
func TestLabelsAreKept(t *testing.T) {
	labelName = "user.kubewright"
	defer func() { labelName = "security.selinux" }()
	for _, row := range []struct {
		op   Op
		want string
	}{
		{Block{Path: "/etc/mine", Name: "x", Lines: []string{"y"}}, "mine"},
		{File{Path: "/etc/mine", Content: []byte("z"), Mode: 0o600}, "mine"},
		{Symlink{Path: "/etc/mine", Target: "hosts"}, "u:r:_etc_mine:s0"},
	} {
		w := labelling(t)
		w.write(t, "/etc/mine", "x\n", 0o644)
		if err := unix.Setxattr(w.Path("/etc/mine"), labelName, []byte("mine\x00"), 0); errors.Is(err, unix.ENOTSUP) {
			t.Skip("no extended attributes here")
		} else if err != nil {
			t.Fatal(err)
		}
		if err := row.op.Set(t.Context(), w, nil); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(w.Path(fscreate)); string(got) != row.want {
			t.Errorf("%s was made with the label %q, want %q", row.op.Key(), got, row.want)
		}
	}
}

// TestLabelsThatCannotBe stop it before anything is there with a wrong one.
func TestLabelsThatCannotBe(t *testing.T) {
	for _, row := range []struct {
		name, want string
		with       func(*world)
	}{
		{"the policy cannot be read", "write /etc/x: its label: no contexts", func(w *world) {
			w.Handle("matchpathcon", func([]string) ([]byte, error) { return nil, errors.New("no contexts") })
		}},
		{"the kernel refuses it", "write /etc/x: its label, u:r:_etc_x:s0: no such file or directory", func(w *world) { _ = os.Remove(w.Path(fscreate)) }},
	} {
		w := labelling(t)
		row.with(w)
		err := File{Path: "/etc/x", Content: []byte("x"), Mode: 0o644}.Set(t.Context(), w, nil)
		if err == nil || err.Error() != row.want {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
		if left, _ := filepath.Glob(w.Path("/etc") + "/*x"); len(left) != 1 { // selinux
			t.Errorf("%s: it left %v", row.name, left)
		}
	}
}

// TestNoLabels: a kernel that has SELinux, and no policy, is one without.
func TestNoLabels(t *testing.T) {
	for _, without := range []string{selinuxEnforce, selinuxConfig, "/usr/sbin/matchpathcon"} {
		w := labelling(t)
		if err := os.Remove(w.Path(without)); err != nil {
			t.Fatal(err)
		}
		if err := (File{Path: "/etc/x", Content: []byte("x"), Mode: 0o644}).Set(t.Context(), w, nil); err != nil || len(w.Ran()) > 0 {
			t.Errorf("without %s: %v, ran %q", without, err, w.Ran())
		}
	}
}
