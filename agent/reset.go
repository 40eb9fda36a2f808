package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/ops"
)

// reset puts every key back to its first observation, the last changed first, and then removes the state directory. What cannot be put back does
// not keep the rest from it; then the journal stays, and reset may be repeated.
func (w *worker) reset(ctx context.Context, m ops.Machine, emit func(ops.Progress)) error {
	w.journal.close()
	w.journal = nil
	if _, err := os.Lstat(w.dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	j, err := openJournal(w.dir)
	if err != nil {
		return err
	}
	defer j.close()
	var failed []*StepError
	var ran []*change           // units that ran before us
	spoilt := map[string]bool{} // files in which a later change is still there
	for _, c := range slices.Backward(slices.Clone(j.changes)) {
		began := m.Now()
		emit(ops.Progress{Key: c.Key, State: ops.Began})
		state, paths, err := w.putBackOne(ctx, m, c, spoilt)
		// Past a failure nothing counts as undone: what was changed later and is still there may be in the way of putting back all of
		// what was changed earlier (a directory that is not empty yet), so the next reset goes through that once more.
		switch {
		case err != nil || len(failed) > 0:
		case ranBefore(c):
			ran = append(ran, c) // what it is to run from is put back later
		default:
			err = w.forget(j, m, c)
		}
		p := ops.Progress{Key: c.Key, State: state, Took: m.Now().Sub(began)}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			p.State, p.Error, p.Last = ops.Failed, clip(err.Error(), maxMessage), clipFront(ops.LastLines(err), maxLast)
			for _, path := range paths {
				spoilt[path] = true
			}
			failed = append(failed, &StepError{Phase: c.Phase, Key: c.Key, Why: c.Why, Cause: err, Last: p.Last})
		}
		emit(p)
		if ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 0 {
		failed = w.runAsBefore(ctx, m, j, ran, emit)
	}
	if len(failed) > 0 {
		return &ResetError{Failed: failed}
	}
	if err := j.sync(); err != nil {
		return err
	}
	return w.leave()
}

// putBackOne undoes one key, and tells which files that is about.
func (w *worker) putBackOne(ctx context.Context, m ops.Machine, c *change, spoilt map[string]bool) (state ops.State, paths []string, err error) {
	wish, errW := ops.Decode(c.Wish)
	last, errL := ops.Decode(c.Last)
	first, errF := ops.Decode(c.Was)
	if err := errors.Join(errW, errL, errF); err != nil {
		return "", nil, err
	}
	paths = touches(last)
	if i := slices.IndexFunc(paths, func(p string) bool { return spoilt[p] }); i >= 0 {
		return "", paths, fmt.Errorf("a later change in %s has to be put back first", paths[i])
	}
	state, err = w.undo(ctx, m, c, wish, last, first)
	return state, paths, err
}

// undo sets the first observation of a key, and brings back what was kept of it.
func (w *worker) undo(ctx context.Context, m ops.Machine, c *change, wish, last, first ops.Op) (state ops.State, err error) {
	if err := w.begin(ctx); err != nil {
		return "", err
	}
	defer w.end()
	defer w.caught(first, &err)
	m = refusing(m, first)
	now := func(by ops.Op) (ops.Op, error) { return w.look(ctx, m, by) }
	// Looked at with the eyes of the latest wish, so that everything that was ever added is seen. What is too broken to be looked at
	// is put back all the same.
	was, err := now(last)
	if err != nil {
		was = last
	}
	state = ops.Same
	if err != nil || !ops.Equal(first, was) {
		state = ops.Changed
		// A whole file comes back as the inode it was, since its first observation may hold no more than a digest. A file
		// shared with the user is first freed of our part: the rest of it may have changed in the meantime.
		if err := w.restore(m, c, false); err != nil {
			return "", err
		}
		if again, err := now(last); err == nil {
			was = again
		}
	}
	// What was absent is removed once more even where it is absent: a crash may have left the directories made for it.
	if !ops.Equal(first, was) || absent(first) {
		if unit, ok := first.(ops.Unit); ok && unit.Active {
			// What was put back is older than what the service manager has read, so by itself it sees nothing new.
			if err := m.Units().Reload(ctx); err != nil {
				return "", err
			}
		}
		if err := w.set(ctx, m, first, was); err != nil {
			return "", err
		}
	}
	is, err := now(wish)
	if err != nil {
		return "", err
	}
	if !ops.Equal(first, is) {
		return "", fmt.Errorf("was put back, but %s", difference(first, is))
	}
	if err := w.restore(m, c, true); err != nil {
		return "", err
	}
	if err := sweep(m, c, first); err != nil {
		return "", err
	}
	return state, nil
}

// ranBefore says whether a change is about a unit that was active before it.
func ranBefore(c *change) bool {
	op, err := ops.Decode(c.Was)
	unit, ok := op.(ops.Unit)
	return err == nil && ok && unit.Active
}

// runAsBefore restarts the units whose process was started from what was there in between, now that everything is put back.
func (w *worker) runAsBefore(ctx context.Context, m ops.Machine, j *journal, units []*change, emit func(ops.Progress)) (failed []*StepError) {
	for _, c := range slices.Backward(units) {
		began := m.Now()
		err := w.renew(ctx, m, c.Key.Name())
		if err == nil {
			err = w.forget(j, m, c)
		}
		if err != nil {
			last := clipFront(ops.LastLines(err), maxLast)
			emit(ops.Progress{Key: c.Key, State: ops.Failed, Took: m.Now().Sub(began), Error: clip(err.Error(), maxMessage), Last: last})
			failed = append(failed, &StepError{Phase: c.Phase, Key: c.Key, Why: c.Why, Cause: err, Last: last})
		}
	}
	return failed
}

func (w *worker) renew(ctx context.Context, m ops.Machine, unit string) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	defer w.end()
	now, err := m.Units().State(ctx, unit)
	if err != nil || !now.Active || !now.Exists || now.Inputs == "" && !now.Replaced {
		return err
	}
	if err := m.Units().Reload(ctx); err != nil {
		return err
	}
	return m.Units().Restart(ctx, unit)
}

// forget ends what the journal has to say of a key. Once that is on disk its originals are of no use: should the host lose power before, the next
// reset needs them.
func (w *worker) forget(j *journal, m ops.Machine, c *change) error {
	if err := j.write(record{State: undone, Time: m.Now().UTC(), Key: c.Key}); err != nil {
		return err
	}
	if len(c.Kept) == 0 {
		return nil
	}
	if err := j.sync(); err != nil {
		return err
	}
	for _, k := range c.Kept {
		_ = os.Remove(filepath.Join(w.dir, keptName, k.Name)) // else it goes with the directory
	}
	return nil
}

// restore puts the kept originals of a change back. Where the thing is right already, an original that is gone is not missed: a reset that was cut off
// had no use for it any more.
func (w *worker) restore(m ops.Machine, c *change, right bool) error {
	for _, k := range c.Kept {
		store := filepath.Join(w.dir, keptName, k.Name)
		if _, err := os.Lstat(store); right && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if shared(c.Key) && !whole(c, k.Path, m.Path(k.Path), store, right) {
			continue
		}
		if err := putBack(m, w.dir, k); err != nil {
			return err
		}
	}
	return nil
}

// whole tells whether the original of a shared file may come back as a whole: because nothing is left of it in which something of its owner's could be
// spared or, once our part is put back, because it says what it said before, for the sake of its times.
func whole(c *change, path, live, store string, right bool) bool {
	if _, err := os.Lstat(live); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return right && (sameContent(live, store) || alike(c, path, live, store))
}

// shared tells whether a key speaks about a part of a file only. A firewall writes its files itself, ours and the user's together.
func shared(key ops.Key) bool {
	return slices.Contains([]string{"block", "merge", "fstab", "user", "group", "selinux"}, key.Kind()) || writtenByOthers(key)
}

// writtenByOthers tells whether the files of a key are changed by a program that we only ask to.
func writtenByOthers(key ops.Key) bool {
	return slices.Contains([]string{"firewalld", "ufw", "ufwswitch"}, key.Kind())
}

// alike tells whether what lies at a path says the same as what was kept of it, in other words: then its owner's own words may come back.
func alike(c *change, path, live, store string) bool {
	wish, err := ops.Decode(c.Wish)
	judge, ok := wish.(interface {
		Alike(path string, a, b []byte) bool
	})
	if err != nil || !ok {
		return false
	}
	a, errA := os.ReadFile(live)
	b, errB := os.ReadFile(store)
	return errA == nil && errB == nil && judge.Alike(path, a, b)
}

// absent tells whether an op says that its thing should not be there.
func absent(op ops.Op) bool { return string(fields(op)["absent"]) == "true" }

// sweep removes what setting the first observation did not: what a crash left beside the files, and files that only a later wish was about, which were not
// there before it or are kept.
func sweep(m ops.Machine, c *change, first ops.Op) error {
	firsts := touches(first)
	var errs []error
	for path := range c.ours {
		stale := []string{tempOf(path)}
		if !slices.Contains(firsts, path) && !slices.ContainsFunc(c.Kept, func(k kept) bool { return k.Path == path }) {
			stale = append(stale, path)
		}
		for _, p := range stale {
			if _, err := os.Lstat(m.Path(p)); errors.Is(err, fs.ErrNotExist) {
				continue // a file system that may only be read would refuse even to remove nothing
			}
			err := unix.Unlink(m.Path(p))
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				errs = append(errs, &fs.PathError{Op: "remove", Path: p, Err: err})
			}
		}
	}
	return errors.Join(errs...)
}

// refuse answers what is asked while things are put back: they were here, so nothing can be needed from elsewhere.
func refuse(context.Context, ops.Op, ops.Question) ([]byte, error) {
	return nil, errors.New("nothing may be asked while things are put back")
}

// sameContent tells whether two files hold the same bytes or, for symlinks, the same target.
func sameContent(a, b string) bool {
	x, errX := os.Readlink(a)
	y, errY := os.Readlink(b)
	if errX == nil || errY == nil {
		return errX == nil && errY == nil && x == y
	}
	p, errP := os.ReadFile(a)
	q, errQ := os.ReadFile(b)
	return errP == nil && errQ == nil && bytes.Equal(p, q)
}

// leave removes the state directory, the agent's own executable in it included, and the journal last: until then reset can be repeated.
func (w *worker) leave() error {
	entries, err := os.ReadDir(w.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.Name() != journalName {
			errs = append(errs, os.RemoveAll(filepath.Join(w.dir, e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.RemoveAll(w.dir)
}
