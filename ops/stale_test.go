package ops

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The old process of a changed static pod answers for a while: that is no answer of the new one.
func TestAProbeOfTheProcessItMeans(t *testing.T) {
	w := newWorld(t)
	w.Clock = time.Time{}
	w.Serve("http://127.0.0.1:2381/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	p := Probe{Name: "etcd", URL: "http://127.0.0.1:2381/readyz", Inputs: "sha256:new", Within: 1, OK: true}
	w.write(t, "/etc/kubernetes/manifests/etcd.yaml", "env: [{name: KUBEWRIGHT_INPUTS, value: sha256:old}]", 0o600)
	w.write(t, "/etc/kubernetes/manifests/.etcd.yaml.kubewright", "value: sha256:new", 0o600)
	if Equal(p, observe(t, w, p)) {
		t.Error("the old one was taken for the new one")
	}
	if err := p.Set(t.Context(), w, nil); err == nil || !strings.Contains(err.Error(), "not ready within 1s") || !strings.Contains(err.Error(), "the old one still runs") {
		t.Errorf("while the old one runs: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, func() {
		_ = os.WriteFile(w.Path("/etc/kubernetes/manifests/etcd.yaml"), []byte("value: sha256:new"), 0o600)
	})
	if err := p.Set(t.Context(), w, nil); err != nil || !Equal(p, observe(t, w, p)) {
		t.Errorf("once the new one runs: %v", err)
	}
	p.Name, p.URL = "other", "http://127.0.0.1:1/"
	if Equal(p, observe(t, w, p)) {
		t.Error("a process that does not answer is not ready")
	}
}

func TestProcessesAreKnownByTheirInputs(t *testing.T) {
	m := NewHost(t.TempDir(), nil).(Processes)
	inputs := "sha256:" + strings.Repeat("5", 60) + time.Now().Format("150405.000000")
	if m.Running(t.Context(), inputs) {
		t.Fatal("a process runs that nobody started")
	}
	cmd := exec.Command("sleep", "60")
	cmd.Env = []string{"A=b", InputsVar + "=" + inputs, "C=d"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for deadline := time.Now().Add(5 * time.Second); !m.Running(t.Context(), inputs); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a process that runs was not found")
		}
	}
	if m.Running(t.Context(), inputs[:len(inputs)-1]) || m.Running(t.Context(), inputs+"0") {
		t.Error("other inputs were taken for these")
	}
}

func TestAUnitRestartsWhenAFileItReadIsNewer(t *testing.T) {
	w := newWorld(t)
	starts := 0
	w.OnUnit("kubelet.service", func(active bool) {
		if active {
			starts++
		}
	})
	w.write(t, "/etc/systemd/system/kubelet.service", "[Service]\n", 0o644)
	w.write(t, "/etc/k.crt", "one", 0o644)
	modified := func(at time.Time) {
		t.Helper()
		if err := os.Chtimes(w.Path("/etc/k.crt"), at, at); err != nil {
			t.Fatal(err)
		}
	}
	wish := Unit{Name: "kubelet.service", Active: true, Reads: []string{"/etc/not-there", "/etc/k.crt"}}
	for i, row := range []struct {
		now, modified time.Duration // since the test's time
		outdated      string
		starts        int
	}{
		{0, -time.Hour, "", 1}, // it was not active
		{time.Minute, -time.Hour, "", 1},
		{time.Minute, 30 * time.Second, "/etc/k.crt", 2},
		{2 * time.Minute, 30 * time.Second, "", 2},
		{2 * time.Minute, time.Hour, "", 2}, // a clock that was wrong
		{2 * time.Hour, time.Hour, "/etc/k.crt", 3},
	} {
		w.Clock = testNow.Add(row.now)
		modified(testNow.Add(row.modified))
		if seen := observe(t, w, wish).(Unit); seen.Outdated != row.outdated {
			t.Errorf("step %d: outdated is %q, want %q", i, seen.Outdated, row.outdated)
		}
		if err := set(t, w, wish); err != nil || !Equal(wish, observe(t, w, wish)) {
			t.Errorf("step %d: %v, and it is %+v", i, err, observe(t, w, wish))
		}
		if starts != row.starts {
			t.Errorf("step %d: started %d times, want %d", i, starts, row.starts)
		}
	}
	// Whoever had it running before us gets no restart from undo.
	first := observe(t, w, wish)
	w.Clock = testNow.Add(4 * time.Hour)
	modified(testNow.Add(3 * time.Hour))
	if err := undo(t, w, first, wish); err != nil || starts != 3 || !Equal(first, observe(t, w, wish)) {
		t.Errorf("undo: %v, started %d times", err, starts)
	}
}
