package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// journalVersion is the version of a record. A record of a later version stops us: its meaning is not ours to guess.
const journalVersion = 1

const journalName = "journal.jsonl"

// record is one line of the journal. Its ops hold no secret: an original that may not be told is kept as a file, and a wish that may not is
// remembered by its digest.
type record struct {
	Version int             `json:"version"`
	State   string          `json:"state"`
	Time    time.Time       `json:"time"`
	Run     string          `json:"run,omitempty"`
	Phase   string          `json:"phase,omitempty"`
	Key     ops.Key         `json:"key"`
	Why     string          `json:"why,omitempty"`
	Wish    json.RawMessage `json:"wish,omitempty"`  // with intent
	Was     json.RawMessage `json:"was,omitempty"`   // with intent: the observation just before
	Kept    []kept          `json:"kept,omitempty"`  // with intent: the originals that were put aside for it
	Aside   []kept          `json:"aside,omitempty"` // with intent: our own earlier work that was put aside for it, for undo alone
	Note    json.RawMessage `json:"note,omitempty"`  // with note
}

// The states of a record.
const (
	intent = "intent" // is on disk before the change
	done   = "done"   // the change was made and observed
	undone = "undone" // reset put the thing back: what it was is no longer ours to know

	note    = "note"    // what the workstation wants to know when the run is undone
	ended   = "ended"   // the run came to its end: what is changed from here on is another run's
	undoing = "undoing" // the last run is being undone, so it has no end any more
	settled = "settled" // the run that came after this was undone: what stands above is for reset only
)

// change is what the journal says of one key: how the thing was before kubewright first touched it, and what was wanted last.
type change struct {
	record                 // the first intent, with all that was ever kept for the key
	Last   json.RawMessage // the latest wish
	ours   map[string]bool // files that some wish was about: what lies there since is our own work
	begins int64           // where its record begins in the journal
	latest record          // the latest intent
	seen   bool            // it was made and seen since
}

// file is what a journal needs of a file, so that a test can see the order of what is done to it.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// journal is the memory of what was changed on this host, and the only way to undo it.
type journal struct {
	file    file
	end     int64     // of the last whole record; while records are read, of the one before
	torn    error     // why what lies beyond that could not be cut off
	changes []*change // in order of first change
	index   map[ops.Key]*change
	last    *generation // the last run's changes; nil before the first
}

// readJournal reads the journal below dir. There need not be one. What follows the last line end was being written when the host
// or the agent died; since nothing is changed before its record is safely on disk, it says nothing about the host, and end tells
// where it begins.
func readJournal(dir string) (j *journal, end int64, err error) {
	j = &journal{index: map[ops.Key]*change{}}
	f, err := os.Open(filepath.Join(dir, journalName))
	if errors.Is(err, os.ErrNotExist) {
		return j, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := readLine(r, maxLine)
		if err == io.EOF {
			return j, end, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%s line %d: %w", f.Name(), n, err)
		}
		var rec record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, 0, fmt.Errorf("%s line %d is damaged: %w", f.Name(), n, err)
		}
		if rec.Version > journalVersion {
			return nil, 0, fmt.Errorf("%s line %d was written by a later kubewright (journal version %d, this one knows %d)",
				f.Name(), n, rec.Version, journalVersion)
		}
		j.remember(rec)
		end += int64(len(line)) + 1
		j.end = end
	}
}

// openJournal reads the journal and opens it to be continued, making it and the state directory where they are missing.
func openJournal(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The upload of the agent may have made it.
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	j, end, err := readJournal(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, journalName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > end {
		err = f.Truncate(end)
	}
	// A file that nobody can find after a power loss is no record.
	if err := errors.Join(err, syncDir(dir), syncDir(filepath.Dir(dir))); err != nil {
		f.Close()
		return nil, err
	}
	j.file, j.end = f, end
	return j, nil
}

// remember takes in the record that begins at j.end.
func (j *journal) remember(rec record) {
	j.turn(rec)
	known := j.index[rec.Key]
	switch {
	case rec.State == intent && known == nil:
		c := &change{record: rec, ours: map[string]bool{}, begins: j.end}
		j.index[rec.Key], j.changes = c, append(j.changes, c)
		c.wish(rec)
	case rec.State == intent:
		known.Kept = append(known.Kept, rec.Kept...)
		known.wish(rec)
	case rec.State == done && known != nil:
		known.seen = true
	case rec.State == undone && known != nil:
		delete(j.index, rec.Key)
		j.changes = slices.DeleteFunc(j.changes, func(c *change) bool { return c == known })
	}
}

// joined adds to what was said first of a key what a later record says of parts that the first did not speak about.
func joined(first, later json.RawMessage) json.RawMessage {
	a, errA := ops.Decode(first)
	b, errB := ops.Decode(later)
	if errA != nil || errB != nil {
		return first // whoever needs it says why
	}
	both, err := ops.Encode(ops.Joined(a, b))
	if err != nil {
		return first
	}
	return both
}

// wish takes in an intent. What an earlier one said of parts that this one does not speak about still counts.
func (c *change) wish(rec record) {
	if c.Last == nil {
		c.Last = rec.Wish
	} else {
		c.Wish, c.Was = joined(c.Wish, rec.Wish), joined(c.Was, rec.Was)
		c.Last = joined(rec.Wish, c.Wish)
	}
	c.latest, c.seen = rec, false
	if op, err := ops.Decode(c.Last); err == nil {
		for _, path := range touches(op) {
			c.ours[path] = true
		}
	}
}

// write appends a record. An intent is on disk when it returns. The other states are only told: should they be lost, the host is looked at
// again, and says the same.
func (j *journal) write(rec record) error {
	rec.Version = journalVersion
	line, err := encodeLine(rec)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if j.torn != nil {
		return fmt.Errorf("journal: what could not be written whole could not be cut off: %w", j.torn)
	}
	// One write, so that what a crash leaves is a whole line or the last one.
	if _, err = j.file.Write(line); err == nil && rec.State == intent {
		err = j.file.Sync()
	}
	if err != nil {
		// On a full disk half a line may have been written: the next record must not be glued to it.
		j.torn = j.file.Truncate(j.end)
		return fmt.Errorf("journal: %w", err)
	}
	j.remember(rec)
	j.end += int64(len(line))
	return nil
}

// sync puts on disk what was only told so far.
func (j *journal) sync() error {
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// keeps tells whether the original of a path already lies aside.
func (j *journal) keeps(path string) bool {
	return slices.ContainsFunc(j.changes, func(c *change) bool {
		return slices.ContainsFunc(c.Kept, func(k kept) bool { return k.Path == path })
	})
}

func (j *journal) close() {
	if j != nil && j.file != nil {
		_ = j.file.Close()
	}
}

// syncDir makes the names in a directory survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
