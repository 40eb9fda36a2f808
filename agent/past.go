package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// Past is what a host remembers of the last run that changed it.
type Past struct {
	Run     string       `json:"run,omitempty"`    // empty: nothing was ever changed
	Open    bool         `json:"open,omitempty"`   // it has not come to its end
	First   bool         `json:"first,omitempty"`  // of no earlier one anything is remembered: undoing it is a reset
	Undone  bool         `json:"undone,omitempty"` // it was undone; of those before it only what reset needs is remembered
	Changes []PastChange `json:"changes,omitempty"`
	// Notes are what was noted of it, the first first.
	Notes []json.RawMessage `json:"notes,omitempty"`
}

// PastChange is one key that the run changed. The ops hold no secrets.
type PastChange struct {
	Key   ops.Key
	Phase string
	Why   string
	Run   string // the run that set it last; a run that was cut off and the one that continued it have different names
	Seen  bool   // it was set and seen to be so; otherwise the run was cut off in the middle of it
	Was   ops.Op // how it was before the run
	Wish  ops.Op // what the run wanted
}

// Memory is what a host remembers of the last time that a key was set.
type Memory struct {
	Run  string
	Time time.Time
	Wish ops.Op // without secrets; nil: it was never set
}

// pastChange and lastWish are the same on the wire.
type pastChange struct {
	Key   ops.Key         `json:"key"`
	Phase string          `json:"phase,omitempty"`
	Why   string          `json:"why,omitempty"`
	Run   string          `json:"run,omitempty"`
	Seen  bool            `json:"seen,omitempty"`
	Was   json.RawMessage `json:"was,omitempty"`
	Wish  json.RawMessage `json:"wish,omitempty"`
}

type lastWish struct {
	Run  string          `json:"run,omitempty"`
	Time time.Time       `json:"time,omitzero"`
	Wish json.RawMessage `json:"wish,omitempty"`
}

func (j *journal) past() any {
	type wire struct {
		Past
		Changes []pastChange `json:"changes,omitempty"`
	}
	g := j.last
	if g == nil {
		return wire{}
	}
	out := wire{Past: Past{Run: g.run, Open: g.open, Undone: g.spent, First: !g.spent && j.first(), Notes: g.notes}}
	for _, c := range g.changes {
		out.Changes = append(out.Changes, pastChange{c.Key, c.Phase, c.Why, c.latest.Run, c.seen, c.Was, c.Last})
	}
	return out
}

func (j *journal) memories(keys []ops.Key) any {
	out := make([]lastWish, len(keys))
	for i, key := range keys {
		if c := j.index[key]; c != nil {
			out[i] = lastWish{c.latest.Run, c.latest.Time, c.latest.Wish}
		}
	}
	return out
}

// Note writes JSON into the host's journal that Past gives back as long as the run can be undone. The lock must be held.
func (s *Session) Note(ctx context.Context, run string, what json.RawMessage) error {
	_, err := s.call(ctx, call{Do: doNote, Run: run, Data: what}, nil)
	return err
}

// End tells the host that a run has come to its end on all hosts. What is changed later is another run's, which can be undone alone. The lock must be held.
func (s *Session) End(ctx context.Context, run string) error {
	_, err := s.call(ctx, call{Do: doEnd, Run: run}, nil)
	return err
}

// Undo puts back everything that the last run changed, as Reset does for all runs; run must be its name. The lock must be held.
func (s *Session) Undo(ctx context.Context, run string, emit func(ops.Progress)) error {
	_, err := s.call(ctx, call{Do: doUndo, Run: run}, emit)
	return err
}

// Past asks what the last run changed.
func (s *Session) Past(ctx context.Context) (Past, error) {
	r, err := s.call(ctx, call{Do: doPast}, nil)
	if err != nil {
		return Past{}, err
	}
	var in struct {
		Past
		Changes []pastChange `json:"changes"`
	}
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return Past{}, fmt.Errorf("what the agent remembers: %w", err)
	}
	p := in.Past
	p.Run, p.Changes = clean(p.Run, maxName), nil
	for _, c := range in.Changes {
		out := PastChange{Key: c.Key, Phase: clean(c.Phase, maxName), Why: clean(c.Why, maxMessage), Run: clean(c.Run, maxName), Seen: c.Seen}
		if out.Was, err = ops.Decode(c.Was); err == nil {
			out.Wish, err = ops.Decode(c.Wish)
		}
		if err != nil {
			return Past{}, fmt.Errorf("what the agent remembers of %s: %w", clean(string(c.Key), maxMessage), err)
		}
		p.Changes = append(p.Changes, out)
	}
	return p, nil
}

// Memories asks what was wanted of each key when it was set last.
func (s *Session) Memories(ctx context.Context, keys []ops.Key) ([]Memory, error) {
	r, err := s.call(ctx, call{Do: doLast, Keys: keys}, nil)
	if err != nil {
		return nil, err
	}
	var in []lastWish
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return nil, fmt.Errorf("what the agent remembers: %w", err)
	}
	if len(in) != len(keys) {
		return nil, fmt.Errorf("the agent was asked about %d keys and answered about %d", len(keys), len(in))
	}
	out := make([]Memory, len(in))
	for i, m := range in {
		if out[i] = (Memory{Run: clean(m.Run, maxName), Time: m.Time}); len(m.Wish) == 0 {
			continue
		}
		if out[i].Wish, err = ops.Decode(m.Wish); err != nil {
			return nil, fmt.Errorf("what the agent remembers of %s: %w", keys[i], err)
		}
	}
	return out, nil
}
