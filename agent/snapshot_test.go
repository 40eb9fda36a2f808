package agent_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// snapshot is every path below root with all that matters of it; times are compared only where the same files are to come back. What kubewright
// keeps for itself is left out, except when it should be gone.
func snapshot(t *testing.T, root string, times bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an agent that is a moment behind its session has just removed its lock
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%s %d:%d", info.Mode(), st.Uid, st.Gid)
		switch info.Mode().Type() {
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " -> " + target
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %q", content)
			if times {
				text += info.ModTime().Format(" 15:04:05.000000000")
			}
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		all[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(all, "/run/kubewright.lock") // goes with the agent, which may be a moment behind its session
	return all
}

// without drops what lies at or below the given paths.
func without(all map[string]string, paths ...string) map[string]string {
	out := maps.Clone(all)
	for name := range all {
		for _, p := range paths {
			if name == p || strings.HasPrefix(name, p+"/") {
				delete(out, name)
			}
		}
	}
	return out
}

func sameSnapshot(t *testing.T, when string, want, got map[string]string) {
	t.Helper()
	names := slices.Sorted(maps.Keys(want))
	for name := range got {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if want[name] != got[name] {
			t.Errorf("%s: %s\nwant %s\ngot  %s", when, name, want[name], got[name])
		}
	}
}
