package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// full is a file on a disk with room for so many bytes only.
type full struct {
	file
	room  int
	stuck error // what cutting it off fails with
}

func (f *full) Write(p []byte) (int, error) {
	if len(p) <= f.room {
		f.room -= len(p)
		return f.file.Write(p)
	}
	n, _ := f.file.Write(p[:f.room])
	f.room = 0
	return n, unix.ENOSPC
}

func (f *full) Truncate(size int64) error {
	if f.stuck != nil {
		return f.stuck
	}
	return f.file.Truncate(size)
}

// Half a line on a full disk is cut off, so that the journal can be read and continued once there is room again.
func TestAFullDiskDoesNotDamageTheJournal(t *testing.T) {
	for name, stuck := range map[string]error{"and it can be cut off": nil, "and it cannot be cut off": errors.New("input/output error")} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j, err := openJournal(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := j.write(record{State: intent, Key: "file:/a"}); err != nil {
				t.Fatal(err)
			}
			disk := &full{file: j.file, room: 20, stuck: stuck}
			j.file = disk
			if err := j.write(record{State: intent, Key: "file:/b"}); !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("on a full disk: %v", err)
			}
			disk.room = 1 << 20
			if err := j.write(record{State: intent, Key: "file:/c"}); !errors.Is(err, stuck) {
				t.Errorf("with room again: %v", err)
			}
			j.close()
			if j, err = openJournal(dir); err != nil {
				t.Fatalf("opened again: %v", err)
			}
			if err := j.write(record{State: intent, Key: "file:/d"}); err != nil {
				t.Fatal(err)
			}
			j.close()
			j, _, err = readJournal(dir)
			if err != nil {
				t.Fatalf("read again: %v", err)
			}
			var keys []ops.Key
			for _, c := range j.changes {
				keys = append(keys, c.Key)
			}
			want := []ops.Key{"file:/a", "file:/c", "file:/d"}
			if stuck != nil {
				want = []ops.Key{"file:/a", "file:/d"}
			}
			if !slices.Equal(keys, want) {
				t.Errorf("it remembers %v, not %v", keys, want)
			}
		})
	}
}

// vanished sees whether an original is still there at each sync.
type vanished struct {
	file
	original string
	said     *[]string
}

func (v vanished) Write(p []byte) (int, error) {
	*v.said = append(*v.said, "write")
	return v.file.Write(p)
}

func (v vanished) Sync() error {
	if _, err := os.Lstat(v.original); err != nil {
		*v.said = append(*v.said, "sync without it")
	} else {
		*v.said = append(*v.said, "sync")
	}
	return v.file.Sync()
}

// replaceable is a worker that has replaced the user's file, and where the original of it lies.
func replaceable(t *testing.T) (w *worker, m ops.Machine, live, original string) {
	t.Helper()
	w, m = newWorker(t)
	live = m.Path("/etc/f")
	if err := errors.Join(os.MkdirAll(filepath.Dir(live), 0o755), os.WriteFile(live, []byte("the user's"), 0o644), os.Chmod(live, 0o644)); err != nil {
		t.Fatal(err)
	}
	op := ops.File{Path: "/etc/f", Content: []byte("ours"), Mode: 0o644}
	if err := w.apply(t.Context(), m, "r", "p", []ops.Step{{Op: op}}, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	all, _ := filepath.Glob(filepath.Join(w.dir, keptName, "*"))
	if len(all) != 1 {
		t.Fatalf("kept %v", all)
	}
	return w, m, live, all[0]
}

func TestAnOriginalGoesAfterItsRecordIsOnDisk(t *testing.T) {
	w, m, _, original := replaceable(t)
	var said []string
	w.journal.file = vanished{w.journal.file, original, &said}
	if err := w.forget(w.journal, m, w.journal.changes[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(original); err == nil || !slices.Equal(said, []string{"write", "sync"}) {
		t.Errorf("the order was %v; the original: %v", said, err)
	}
}

// The power went after the original was removed, and took the record of it along.
func TestAnOriginalThatIsNotNeededIsNotMissed(t *testing.T) {
	w, m, live, original := replaceable(t)
	if err := os.Rename(original, live); err != nil {
		t.Fatal(err)
	}
	if err := w.reset(t.Context(), m, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(live); string(content) != "the user's" {
		t.Errorf("the file is %q", content)
	}
	// Where it is needed, it is missed.
	w, m, _, original = replaceable(t)
	if err := os.Remove(original); err != nil {
		t.Fatal(err)
	}
	var failed *ResetError
	if err := w.reset(t.Context(), m, func(ops.Progress) {}); !errors.As(err, &failed) {
		t.Errorf("without the original: %v", err)
	}
}

// stopping is a machine that fails at one unit.
type stopping struct {
	ops.Machine
	fail error
}

func (s *stopping) Unwrap() ops.Machine { return s.Machine }
func (s *stopping) Units() ops.Units    { return stoppingUnits{s.Machine.Units(), s} }

type stoppingUnits struct {
	ops.Units
	of *stopping
}

func (s stoppingUnits) Restart(ctx context.Context, name string) error {
	if s.of.fail != nil {
		return s.of.fail
	}
	return s.Units.Restart(ctx, name)
}

// A unit that ran before us runs after reset from the files that were put back, although they come back later than itself.
func TestAUnitRunsAsBeforeAfterReset(t *testing.T) {
	const name, path = "containerd.service", "/etc/systemd/system/containerd.service"
	theirs := "[Service]\nExecStart=/usr/bin/containerd\n"
	ours := "[Service]\nEnvironment=" + ops.InputsVar + "=one\nExecStart=/usr/local/bin/containerd\n"
	w, m := newWorker(t)
	p := m.(*ops.Pretend)
	if err := os.WriteFile(m.Path(path), []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	p.Give(name, ops.UnitState{Active: true, Enabled: true})
	var startedWith []string
	p.OnUnit(name, func(bool) {
		text, _ := os.ReadFile(m.Path(path))
		startedWith = append(startedWith, string(text))
	})
	steps := []ops.Step{
		{Op: ops.File{Path: path, Content: []byte(ours), Mode: 0o644}},
		{Op: ops.Unit{Name: name, Enabled: true, Active: true, Inputs: "one"}},
	}
	if err := w.apply(t.Context(), m, "r", "p", steps, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	failing := &stopping{Machine: m, fail: errors.New("status 1")}
	var failed *ResetError
	if err := w.reset(t.Context(), failing, func(ops.Progress) {}); !errors.As(err, &failed) || failed.Failed[0].Key != "unit:"+name {
		t.Fatalf("where it does not start: %v", err)
	}
	failing.fail = nil
	if err := w.reset(t.Context(), failing, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	state, err := m.Units().State(t.Context(), name)
	if err != nil || !state.Active || state.Inputs != "" || !slices.Equal(startedWith, []string{ours, theirs}) {
		t.Errorf("it is %+v, %v; it was started with %q", state, err, startedWith)
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("the state directory is left: %v", err)
	}
}
