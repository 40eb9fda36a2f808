package ops

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Block is some lines in a file that belongs to somebody else, between two marks. Every other byte of the file, its owner, mode and extended
// attributes stay as they are.
type Block struct {
	Path    string   `json:"path"`
	Name    string   `json:"name"`
	Lines   []string `json:"lines,omitempty"`
	Absent  bool     `json:"absent,omitempty"`
	NoFile  bool     `json:"noFile,omitempty"`  // in observations: the file does not exist either
	Unended bool     `json:"unended,omitempty"` // in observations: the file's last line has no end, and shall have none again
	parents
}

func (b Block) Key() Key { return Key("block:" + b.Path + "#" + b.Name) }

// Touches names what is changed, so that it can be kept. What lies there later may hold more of its owner's lines than what was kept.
func (b Block) Touches() []string { return []string{b.Path} }

func (b Block) Observe(_ context.Context, m Machine) (Op, error) {
	seen := Block{Path: b.Path, Name: b.Name}
	data, err := readSmall(m, b.Path, true)
	if err != nil {
		return nil, err
	}
	if data == nil {
		seen.Absent, seen.NoFile, seen.parents = true, true, missingDirs(m, b.Path)
		return seen, nil
	}
	_, inside, _, found, err := b.cut(data)
	if err != nil {
		return nil, err
	}
	if !found {
		seen.Absent = true
		seen.Unended = len(data) > 0 && data[len(data)-1] != '\n'
		return seen, nil
	}
	for line := range strings.Lines(string(inside)) {
		seen.Lines = append(seen.Lines, strings.TrimRight(line, "\r\n"))
	}
	return seen, nil
}

func (b Block) Set(_ context.Context, m Machine, _ Op) error {
	for _, line := range b.Lines {
		if strings.ContainsAny(line, "\r\n") || line == b.mark("BEGIN") || line == b.mark("END") {
			return fmt.Errorf("%q cannot be a line of a block", line)
		}
	}
	data, err := readSmall(m, b.Path, true)
	if err != nil {
		return err
	}
	if data == nil && b.Absent {
		return discard(m, b.Path, b.parents)
	}
	before, _, after, found, err := b.cut(data)
	if err != nil {
		return err
	}
	if b.Absent && !found {
		return nil
	}
	if !found {
		before, after = data, nil
	}
	if b.Absent {
		return b.take(m, before, after)
	}
	eol := eolOf(data)
	if len(before) > 0 && before[len(before)-1] != '\n' {
		before = slices.Concat(before, []byte(eol))
	}
	var block strings.Builder
	for _, line := range slices.Concat([]string{b.mark("BEGIN")}, b.Lines, []string{b.mark("END")}) {
		block.WriteString(line + eol)
	}
	return rewrite(m, b.Path, slices.Concat(before, []byte(block.String()), after), 0o644)
}

func (b Block) same(seen Op) bool {
	s := seen.(Block)
	if b.Absent || s.Absent {
		return b.Absent == s.Absent && (s.NoFile || !b.NoFile)
	}
	return slices.Equal(b.Lines, s.Lines)
}

// take takes the block away, and what came with it: the end of the line above, the file itself.
func (b Block) take(m Machine, before, after []byte) error {
	rest := slices.Concat(before, after)
	if b.NoFile && len(rest) == 0 {
		return discard(m, b.Path, b.parents)
	}
	if b.Unended && len(after) == 0 {
		rest = bytes.TrimSuffix(bytes.TrimSuffix(rest, []byte("\n")), []byte("\r"))
	}
	return rewrite(m, b.Path, rest, 0o644)
}

func (b Block) mark(which string) string { return "# " + which + " kubewright " + b.Name }

// cut finds the block. Marks that do not pair are an error: whatever lies between them may be somebody else's.
func (b Block) cut(data []byte) (before, inside, after []byte, found bool, err error) {
	begin, end := -1, -1
	var insideFrom, insideTo int
	offset := 0
	for line := range bytes.Lines(data) {
		switch strings.TrimRight(string(line), "\r\n") {
		case b.mark("BEGIN"):
			if begin >= 0 {
				return nil, nil, nil, false, fmt.Errorf("%s has two marks %q", b.Path, b.mark("BEGIN"))
			}
			begin, insideFrom = offset, offset+len(line)
		case b.mark("END"):
			if begin < 0 || end >= 0 {
				return nil, nil, nil, false, fmt.Errorf("%s has a mark %q too many", b.Path, b.mark("END"))
			}
			insideTo, end = offset, offset+len(line)
		}
		offset += len(line)
	}
	switch {
	case begin < 0:
		return nil, nil, nil, false, nil
	case end < 0:
		return nil, nil, nil, false, fmt.Errorf("%s has the mark %q but not the one that ends it", b.Path, b.mark("BEGIN"))
	}
	return data[:begin], data[insideFrom:insideTo], data[end:], true, nil
}
