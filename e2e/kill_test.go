//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// killPoints are steps, in the order in which a run comes to them, whose beginning is the installer's end.
var killPoints = []struct{ host, phase, key string }{
	{"node-0001", "binaries", "file:/usr/local/bin/kubelet"},
	{"master", "certificates", "cert:/etc/kubernetes/pki/etcd/peer.crt"},
	{"master", "images", ""},
	{"master", "control-plane", "probe:kube-apiserver"},
	{"cluster", "ready", ""},
}

// TestKilledInstaller kills the whole process group of up, with -9, at one point after another: every run continues the one that was
// killed before it and is killed later itself. The last one runs to its end.
func TestKilledInstaller(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	var authority string
	for _, p := range killPoints {
		killAt(t, p.host, p.phase, p.key)
		now := onHost(t, "master", "sha256sum", "/etc/kubernetes/pki/ca.key").stdout
		if authority != "" && now != authority {
			t.Errorf("after the kill at %s on %s the authority's key is another", p.phase, p.host)
		}
		authority = now
	}
	upReady(t)
	if now := onHost(t, "master", "sha256sum", "/etc/kubernetes/pki/ca.key").stdout; now != authority {
		t.Error("the authority was minted anew")
	}
	clusterWorks(t)
	upAgain(t)
}

// killAt starts up and kills it when the step begins; an empty key is the phase's first step.
func killAt(t *testing.T, host, phase, key string) {
	t.Helper()
	events := filepath.Join(t.TempDir(), "events")
	if err := syscall.Mkfifo(events, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := kubewright(ctx, "up", "--events", events)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group := -cmd.Process.Pid
	// Opened for reading and writing, so that opening does not wait for a program that may never write.
	pipe, err := os.OpenFile(events, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	reached := make(chan bool, 1)
	go func() { reached <- begins(pipe, host, phase, key) }()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-reached:
		if err := syscall.Kill(group, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-ended
		t.Logf("killed at %s on %s", phase, host)
	case err := <-ended:
		t.Fatalf("up ended before it came to %s on %s: %v", phase, host, err)
	case <-time.After(patience):
		_ = syscall.Kill(group, syscall.SIGKILL)
		t.Fatalf("up did not come to %s on %s", phase, host)
	}
}

// begins reads events until the step begins.
func begins(r io.Reader, host, phase, key string) bool {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Type, Target, Phase, Key, State string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if e.Type == "step" && e.State == "began" && e.Target == host && e.Phase == phase && (key == "" || e.Key == key) {
			return true
		}
	}
	return false
}
