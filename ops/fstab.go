package ops

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// Fstab is the entries of one type in /etc/fstab, such as swap. Off, each of them is a comment that says who made it one; undone, exactly these are entries
// again. Every other line, and what others do to the file meanwhile, stays.
type Fstab struct {
	Type    string   `json:"type"`
	Off     bool     `json:"off,omitempty"`
	Entries []string `json:"entries,omitempty"` // in observations: those that are on
	Ours    []string `json:"ours,omitempty"`    // in observations: those that were turned off by us
}

const (
	fstabPath = "/etc/fstab"
	// turnedOff is what an entry has in front of it that was turned off by us.
	turnedOff = "# turned off by kubewright: "
)

func (f Fstab) Key() Key { return Key("fstab:" + f.Type) }

// Touches names what is changed, so that it can be kept.
func (f Fstab) Touches() []string { return []string{fstabPath} }

func (f Fstab) Observe(_ context.Context, m Machine) (Op, error) {
	data, err := readSmall(m, fstabPath, true)
	if err != nil {
		return nil, err
	}
	seen := Fstab{Type: f.Type}
	for line := range bytes.Lines(data) {
		entry, ours := strings.CutPrefix(string(line), turnedOff)
		switch words := strings.Join(strings.Fields(entry), " "); {
		case !f.is(entry):
		case ours:
			seen.Ours = append(seen.Ours, words)
		default:
			seen.Entries = append(seen.Entries, words)
		}
	}
	seen.Off = len(seen.Entries) == 0
	return seen, nil
}

func (f Fstab) Set(_ context.Context, m Machine, _ Op) error {
	data, err := readSmall(m, fstabPath, true)
	if err != nil {
		return err
	}
	var out []byte
	for line := range bytes.Lines(data) {
		entry, ours := bytes.CutPrefix(line, []byte(turnedOff))
		switch {
		case f.Off && !ours && f.is(string(line)):
			line = slices.Concat([]byte(turnedOff), line)
		case !f.Off && ours && f.is(string(entry)):
			line = entry
		}
		out = append(out, line...)
	}
	if bytes.Equal(out, data) {
		return nil
	}
	return rewrite(m, fstabPath, out, 0o644)
}

// same: what its owner has added or taken away since is nobody's concern.
func (f Fstab) same(seen Op) bool {
	s := seen.(Fstab)
	if f.Off {
		return len(s.Entries) == 0
	}
	return len(s.Ours) == 0
}

// is says whether a line is an entry of the type, as fstab(5) has them.
func (f Fstab) is(line string) bool {
	fields := strings.Fields(line)
	return len(fields) >= 3 && !strings.HasPrefix(fields[0], "#") && fields[2] == f.Type
}

// text shows the entries that are on.
func (f Fstab) text() string {
	if len(f.Entries) == 0 {
		return "no entries\n"
	}
	return lines(f.Entries)
}
