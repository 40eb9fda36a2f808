package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What is left of an upload goes with the next run, unless somebody is still at it.
func TestRestsOfUploadsAreSwept(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stays := map[string]bool{
		"agent/1/kubewright-agent": true, "agent/1/kubewright-agent.part-1a": false, "agent/1/kubewright-agent.part-2b": true,
		"blobs/x": true, "blobs/x.part-3c": false, "kept/0001-a.part-4d": true,
	}
	for name := range stays {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700), os.WriteFile(filepath.Join(dir, name), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	busy, err := os.OpenFile(filepath.Join(dir, "agent/1/kubewright-agent.part-2b"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	sweepUploads(dir)
	for name, want := range stays {
		if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it to stay: %t", name, err, want)
		}
	}
	sweepUploads(filepath.Join(dir, "nothing"))
}
