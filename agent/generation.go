package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/kubewright/kubewright/ops"
)

// generation is what the journal says of the last run: everything that was changed since the run before it came to its end. A run that was cut off
// and those that continued it are one, because what lies between them is no state that anybody wished for.
type generation struct {
	start   int64  // where its first record begins in the journal
	run     string // the run that ended it, or else the last one that added to it
	open    bool   // it has not come to its end
	spent   bool   // it was undone; what is left is for reset only
	resets  bool   // a reset was begun after it, and not finished
	changes []*change
	index   map[ops.Key]*change
	notes   []json.RawMessage
}

// turn takes in what a record says of the last run.
func (j *journal) turn(rec record) {
	g := j.last
	if rec.State == intent || rec.State == note {
		if g == nil || !g.open {
			g = &generation{start: j.end, open: true, index: map[ops.Key]*change{}}
			j.last = g
		}
		g.run = rec.Run
	}
	switch rec.State {
	case note:
		g.notes = append(g.notes, rec.Note)
	case intent:
		c := g.index[rec.Key]
		if c == nil {
			c = &change{record: rec, ours: map[string]bool{}, begins: j.end}
			c.Kept = nil
			g.index[rec.Key], g.changes = c, append(g.changes, c)
		}
		c.Kept = slices.Concat(c.Kept, rec.Kept, rec.Aside)
		c.wish(rec)
	case done:
		if g != nil && g.index[rec.Key] != nil {
			g.index[rec.Key].seen = true
		}
	case undone:
		if g != nil {
			g.resets = true
		}
	case ended:
		if g != nil && !g.spent {
			g.open, g.run = false, rec.Run
		}
	case undoing:
		if g != nil && !g.spent {
			g.open = true
		}
	case settled:
		j.last = &generation{run: rec.Run, spent: true}
	}
}

// knows says whether what lies at path needs no keeping, since this run has kept it already, or made it.
func (g *generation) knows(key ops.Key, path string) bool {
	if g == nil || !g.open {
		return false
	}
	if c := g.index[key]; c != nil && c.ours[path] {
		return true
	}
	return slices.ContainsFunc(g.changes, func(c *change) bool { return c.keeps(path) })
}

func (c *change) keeps(path string) bool {
	return slices.ContainsFunc(c.Kept, func(k kept) bool { return k.Path == path })
}

// first says whether nothing is remembered of any run before the last one.
func (j *journal) first() bool {
	return !slices.ContainsFunc(j.changes, func(c *change) bool { return c.begins < j.last.start })
}

// close ends the last run, if it has no end yet.
func (w *worker) close(m ops.Machine, run string) error {
	if w.journal == nil {
		j, _, err := readJournal(w.dir)
		if err != nil || j.last == nil || !j.last.open {
			return err
		}
		if w.journal, err = openJournal(w.dir); err != nil {
			return err
		}
	}
	j := w.journal
	if j.last == nil || !j.last.open {
		return nil
	}
	if err := j.write(record{State: ended, Time: m.Now().UTC(), Run: run}); err != nil {
		return err
	}
	return j.sync()
}

// jot writes down what the workstation wants to know when the run is undone.
func (w *worker) jot(m ops.Machine, run string, what json.RawMessage) (err error) {
	if w.journal == nil {
		if w.journal, err = openJournal(w.dir); err != nil {
			return err
		}
	}
	another := w.journal.last == nil || !w.journal.last.open
	if err := w.journal.write(record{State: note, Time: m.Now().UTC(), Run: run, Note: what}); err != nil {
		return err
	}
	if err := w.journal.sync(); err != nil {
		return err
	}
	if another {
		w.prune(w.journal)
	}
	return nil
}

// rewind makes the journal read as if the last run had not been: what stands before it, and a line that says so. It takes the journal's place in one
// step.
func (j *journal) rewind(m ops.Machine, dir string) (err error) {
	line, err := encodeLine(record{Version: journalVersion, State: settled, Time: m.Now().UTC(), Run: j.last.run})
	if err != nil {
		return err
	}
	name := filepath.Join(dir, journalName)
	old, err := os.Open(name)
	if err != nil {
		return err
	}
	defer old.Close()
	out, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(old, j.last.start))
	if err == nil && n != j.last.start {
		err = fmt.Errorf("%s is shorter than it was: %w", name, io.ErrUnexpectedEOF)
	}
	if err == nil {
		_, err = out.Write(line)
	}
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncDir(dir)
}

// prune removes what was put aside and is of no use any more: reset needs the first originals, undo what the last run replaced.
func (w *worker) prune(j *journal) {
	needed := map[string]bool{}
	use := func(all []*change) {
		for _, c := range all {
			for _, k := range c.Kept {
				needed[k.Name] = true
			}
		}
	}
	use(j.changes)
	if j.last != nil {
		use(j.last.changes)
	}
	store := filepath.Join(w.dir, keptName)
	entries, _ := os.ReadDir(store)
	for _, e := range entries {
		if !needed[e.Name()] {
			_ = os.Remove(filepath.Join(store, e.Name())) // else it goes with the directory
		}
	}
}
