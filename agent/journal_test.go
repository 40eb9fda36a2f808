package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/ops"
)

// diary is a file that tells what is done to it.
type diary struct {
	file
	said *[]string
	fail error
}

func (d diary) Write(p []byte) (int, error) {
	var rec record
	if err := json.Unmarshal(p, &rec); err != nil {
		return 0, err
	}
	*d.said = append(*d.said, "write "+rec.State)
	return d.file.Write(p)
}

func (d diary) Sync() error {
	*d.said = append(*d.said, "sync")
	if d.fail != nil {
		return d.fail
	}
	return d.file.Sync()
}

// scripted is a file op that tells when it is set, and may misbehave.
type scripted struct {
	Path   string `json:"path"`
	Absent bool   `json:"absent,omitempty"`
	said   *[]string
	set    func() error
	isSet  *bool
}

func (s scripted) Key() ops.Key { return ops.Key("file:" + s.Path) }

func (s scripted) Observe(context.Context, ops.Machine) (ops.Op, error) {
	s.Absent = !*s.isSet
	return s, nil
}

func (s scripted) Set(context.Context, ops.Machine, ops.Op) error {
	*s.said = append(*s.said, "set")
	return s.set()
}

func newWorker(t *testing.T) (*worker, ops.Machine) {
	t.Helper()
	m := ops.NewPretend(t.TempDir())
	w := &worker{dir: m.Path(StateDir), change: make(chan struct{}, 1), log: t.Logf}
	var err error
	if w.journal, err = openJournal(w.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.journal.close)
	return w, m
}

func TestTheIntentIsOnDiskBeforeTheChange(t *testing.T) {
	w, m := newWorker(t)
	var said []string
	w.journal.file = diary{file: w.journal.file, said: &said}
	set := false
	op := scripted{Path: "/x", said: &said, isSet: &set, set: func() error {
		j, _, err := readJournal(w.dir)
		if err != nil || j.index["file:/x"] == nil {
			t.Errorf("while the op is set the journal does not know of it: %v", err)
		}
		set = true
		return nil
	}}
	if state, err := w.step(t.Context(), m, "run", "phase", ops.Step{Op: op, Why: "w"}); err != nil || state != ops.Changed {
		t.Fatal(state, err)
	}
	if want := []string{"write intent", "sync", "set", "write done"}; !slices.Equal(said, want) {
		t.Errorf("the order was %v, not %v", said, want)
	}
	said = nil
	if state, err := w.step(t.Context(), m, "run", "phase", ops.Step{Op: op}); err != nil || state != ops.Same || said != nil {
		t.Errorf("the second time: %v, %v, %v", state, err, said)
	}
}

func TestNoRecordNoChange(t *testing.T) {
	w, m := newWorker(t)
	var said []string
	full := errors.New("no space left on device")
	w.journal.file = diary{file: w.journal.file, said: &said, fail: full}
	set := false
	op := scripted{Path: "/x", said: &said, isSet: &set, set: func() error { return nil }}
	if _, err := w.step(t.Context(), m, "run", "phase", ops.Step{Op: op}); !errors.Is(err, full) {
		t.Errorf("the step failed with %v", err)
	}
	if slices.Contains(said, "set") {
		t.Error("it was changed without a record")
	}
}

func TestAnOpThatMisbehavesFailsAlone(t *testing.T) {
	set := false
	for name, row := range map[string]struct {
		set  func() error
		want string
	}{
		"panics":           {func() error { panic("out of cheese") }, "panic: out of cheese"},
		"fails":            {func() error { return errors.New("permission denied") }, "permission denied"},
		"does not do much": {func() error { return nil }, `was set, but absent is true (wanted not set)`},
	} {
		w, m := newWorker(t)
		var said []string
		op := scripted{Path: "/x", said: &said, isSet: &set, set: row.set}
		var last ops.Progress
		err := w.apply(t.Context(), m, "run", "control-plane", []ops.Step{{Op: op, Why: "because"}}, func(p ops.Progress) { last = p })
		var step *StepError
		if !errors.As(err, &step) || !strings.Contains(step.Cause.Error(), row.want) || step.Why != "because" {
			t.Errorf("an op that %s: %v", name, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "control-plane: file:/x: ") {
			t.Errorf("an op that %s says %q", name, err)
		}
		if last.State != ops.Failed || !strings.Contains(last.Error, row.want) {
			t.Errorf("an op that %s is reported as %+v", name, last)
		}
		good := ops.File{Path: "/y", Content: []byte("y"), Mode: 0o644}
		if err := w.apply(t.Context(), m, "run", "p", []ops.Step{{Op: good}}, func(ops.Progress) {}); err != nil {
			t.Errorf("after an op that %s: %v", name, err)
		}
	}
}

func TestJournalReading(t *testing.T) {
	line := func(state, key, was string) string {
		return fmt.Sprintf(`{"version":1,"state":%q,"key":%q,"wish":{"w":1},"was":{"was":%q}}`, state, key, was) + "\n"
	}
	whole := line(intent, "file:/a", "first") + line(done, "file:/a", "") + line(intent, "file:/b", "first") + line(intent, "file:/a", "second")
	for name, row := range map[string]struct {
		text, keys, err string
	}{
		"no journal":                     {},
		"first observations, in order":   {text: whole, keys: "file:/a=first file:/b=first"},
		"a last line cut off by a crash": {text: whole + line(intent, "file:/c", "x")[:40], keys: "file:/a=first file:/b=first"},
		"a last line that only lacks its end": {text: whole + strings.TrimSpace(line(intent, "file:/c", "x")),
			keys: "file:/a=first file:/b=first"},
		"zeros after a power loss":  {text: whole + strings.Repeat("\x00", 100), keys: "file:/a=first file:/b=first"},
		"put back":                  {text: whole + line(undone, "file:/a", ""), keys: "file:/b=first"},
		"put back and changed anew": {text: whole + line(undone, "file:/a", "") + line(intent, "file:/a", "third"), keys: "file:/b=first file:/a=third"},
		"damaged in the middle":     {text: line(intent, "file:/a", "x") + "{\n" + whole, err: "line 2 is damaged"},
		"from the future":           {text: `{"version":2,"state":"intent","key":"file:/a"}` + "\n", err: "later kubewright"},
	} {
		dir := t.TempDir()
		if row.text != "" {
			if err := os.WriteFile(filepath.Join(dir, journalName), []byte(row.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		j, err := openJournal(dir)
		if row.err != "" {
			if err == nil || !strings.Contains(err.Error(), row.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var keys []string
		for _, c := range j.changes {
			var was struct{ Was string }
			_ = json.Unmarshal(c.Was, &was)
			keys = append(keys, string(c.Key)+"="+was.Was)
		}
		if got := strings.Join(keys, " "); got != row.keys {
			t.Errorf("%s: read %q, want %q", name, got, row.keys)
		}
		// It can be continued, and what was cut off does not run into what follows.
		if err := j.write(record{State: intent, Key: "file:/z"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		j.close()
		again, _, err := readJournal(dir)
		if err != nil || again.index["file:/z"] == nil || len(again.changes) != len(j.changes) {
			t.Errorf("%s: continued: %v", name, err)
		}
	}
}

func TestTheJournalHoldsNoSecret(t *testing.T) {
	w, m := newWorker(t)
	path := m.Path("/etc/secret")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("canary-one"), 0o600)); err != nil {
		t.Fatal(err)
	}
	op := ops.File{Path: "/etc/secret", Content: []byte("canary-two"), Mode: 0o600, Secret: true}
	if err := w.apply(t.Context(), m, "r", "p", []ops.Step{{Op: op}}, func(ops.Progress) {}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(w.dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil || len(text) == 0 {
		t.Fatal(err)
	}
	for _, canary := range []string{"canary", "Y2FuYXJ5"} { // as it is, and as JSON writes bytes
		if strings.Contains(string(text), canary) {
			t.Errorf("the journal holds %s:\n%s", canary, text)
		}
	}
}
