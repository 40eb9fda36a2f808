//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

const (
	sharedPath = "/etc/containerd/config.toml"
	// byHand is a configuration with comments, keys of its owner's own, Docker's list, and a last line without an end.
	byHand = "# ours, by hand\nversion = 0x3\ndisabled_plugins = [ \"cri\", # Docker's\n  'io.containerd.snapshotter.v1.zfs' ]\n\n" +
		"[debug]\n  level = 'info' # not louder\n\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.gvisor]\n  runtime_type = 'io.containerd.runsc.v1'\n# the end"
)

// TestSharedConfig brings the cluster up on hosts where somebody has a containerd configuration: what is theirs stays and may change, what is ours
// is put back, and reset leaves the very file. One that cannot be read stops everything before anything is changed.
func TestSharedConfig(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	theirs := map[string]string{"node-0001": byHand, "node-0002": strings.ReplaceAll(byHand, "\n", "\r\n")}
	was := map[string]string{}
	for host, text := range theirs {
		place(t, host, text)
		defer onHost(t, host, "rm -rf /etc/containerd")
		was[host] = onHost(t, host, describeShared).stdout
	}

	before := fingerprint(t, "node-0001")
	ok(t, onHost(t, "node-0002", "sed -i s/debug]/debug/ "+sharedPath))
	for _, command := range []string{"plan", "up"} {
		r := run(t, kubewright(bounded(t), command))
		if r.code != 3 || !strings.Contains(r.stderr, "node-0002") || !strings.Contains(r.stderr, sharedPath+" line 6, column 7: ") {
			t.Errorf("%s with a broken file: exit %d\n%s", command, r.code, r.stderr)
		}
	}
	if after := fingerprint(t, "node-0001"); after != before {
		t.Errorf("though another host's file was broken, there was changed:\n%s", lineDiff(before, after))
	}
	place(t, "node-0002", theirs["node-0002"])
	was["node-0002"] = onHost(t, "node-0002", describeShared).stdout

	upReady(t)
	clusterWorks(t)
	for host := range theirs {
		r := onHost(t, host, "crictl info")
		if !strings.Contains(r.stdout, `"gvisor"`) || !strings.Contains(r.stdout, `"SystemdCgroup": true`) {
			t.Errorf("%s: the runtime has not both, their class and our cgroups:\n%s", host, r.stdout)
		}
	}
	upAgain(t)

	ok(t, onHost(t, "node-0001", "cp -p "+sharedPath+" /root/config.toml && sed -i \"s/'info'/'warn'/\" "+sharedPath))
	upAgain(t) // theirs
	ok(t, onHost(t, "node-0001", "sed -i 's/SystemdCgroup = true/SystemdCgroup = false/' "+sharedPath+" && systemctl restart containerd"))
	r := must(t, kubewright(bounded(t), "plan", "--diff"))
	if !strings.Contains(r.stdout, "options.SystemdCgroup = false") || !strings.Contains(r.stdout, "options.SystemdCgroup = true") || strings.Contains(r.stdout, "'warn'") {
		t.Errorf("the plan does not show our key, and it alone:\n%s", r.stdout)
	}
	must(t, kubewright(bounded(t), "up"))
	if r := onHost(t, "node-0001", "crictl info"); !strings.Contains(r.stdout, `"SystemdCgroup": true`) {
		t.Errorf("the runtime runs with what was changed by hand:\n%s%s%s", r.stdout, r.stderr, onHost(t, "node-0001", "journalctl -u containerd -n 20 -o cat").stdout)
	}
	upAgain(t)

	ok(t, onHost(t, "node-0001", "sed -i \"s/'warn'/'info'/\" "+sharedPath+" && cmp "+sharedPath+" /root/config.toml && rm /root/config.toml"))
	ok(t, onHost(t, "node-0002", "sed -i \"s/'info'/'warn'/\" "+sharedPath))
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	if now := onHost(t, "node-0001", describeShared).stdout; now != was["node-0001"] {
		t.Errorf("the file is not as it was:\n%s", lineDiff(was["node-0001"], now))
	}
	if now := onHost(t, "node-0002", "cat "+sharedPath).stdout; now != strings.Replace(theirs["node-0002"], "'info'", "'warn'", 1) {
		t.Errorf("what somebody changed meanwhile did not stay:\n%q", now)
	}
}

// describeShared tells everything about the shared file.
const describeShared = "sha256sum " + sharedPath + "; stat -c '%a %u:%g %y %i' " + sharedPath + "; ls -A /etc/containerd"

// place writes a shared file with an owner, a mode and a time of its own.
func place(t *testing.T, host, text string) {
	t.Helper()
	cmd := exec.Command(program, "lab", "--dir", labDir, "ssh", host, "--", "mkdir -p /etc/containerd && cat > "+sharedPath+
		" && chgrp adm "+sharedPath+" && chmod 640 "+sharedPath+" && touch -d '2021-03-04 05:06:07.123456789' "+sharedPath)
	cmd.Stdin = strings.NewReader(text)
	ok(t, run(t, cmd))
}

// TestNoRoom writes where there is no room for it: the error says what was needed and what is free, or which file system may only be read.
func TestNoRoom(t *testing.T) {
	const dir = "/mnt/kubewright-room"
	if os.Getenv(inLabVar) == "" {
		ok(t, onHost(t, "node-0001", "cd /mnt && mkdir -p "+dir+" && cd "+dir+" && mkdir small none ro && mount -t tmpfs -o size=1m tmpfs small && "+
			"mount -t tmpfs -o nr_inodes=1 tmpfs none && mount -t tmpfs -o ro tmpfs ro"))
		defer func() { ok(t, onHost(t, "node-0001", "cd "+dir+" && umount small none ro && rm -r "+dir)) }()
		again(t)
		return
	}
	s := open(t, "root")(t)
	if err := s.Lock(t.Context(), agent.Holder{User: "e2e", Run: "room"}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Reset(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}()
	for _, row := range []struct {
		op   ops.Op
		says string
	}{
		{ops.File{Path: dir + "/small/x", Content: make([]byte, 2<<20), Mode: 0o644}, "no space left on device: 2.0 MiB are needed, and 1.0 MiB are free on " + dir + "/small"},
		{ops.Merge{Path: dir + "/none/x.json", Settings: []ops.Setting{{At: []string{"a"}, Value: []byte("1")}}}, "no inodes are left on " + dir + "/none"},
		{ops.Dir{Path: dir + "/none/x", Mode: 0o755}, "no inodes are left on " + dir + "/none"},
		{ops.File{Path: dir + "/ro/x", Content: []byte("x"), Mode: 0o644}, "the file system mounted on " + dir + "/ro may only be read"},
		{ops.Symlink{Path: dir + "/ro/y", Target: "x"}, "the file system mounted on " + dir + "/ro may only be read"},
	} {
		err := s.Apply(t.Context(), "room", "room", []ops.Step{{Op: row.op, Why: "there is no room"}}, nil)
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s:\ngot  %v\nwant %s", row.op.Key(), err, row.says)
		}
	}
}
