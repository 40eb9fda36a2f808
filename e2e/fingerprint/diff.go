package fingerprint

import "slices"

// Diff tells in lines what is only in the first ("- ...") and only in the second ("+ ..."), sorted, so that the two sides of one thing stand one below
// the other. It is empty if both are the same.
func Diff(before, after []string) []string {
	var out []line
	had, has := count(before), count(after)
	for l, n := range had {
		for range n - has[l] {
			out = append(out, line{"- ", l})
		}
	}
	for l, n := range has {
		for range n - had[l] {
			out = append(out, line{"+ ", l})
		}
	}
	slices.SortFunc(out, func(a, b line) int { return a.compare(b) })
	lines := make([]string, len(out))
	for i, l := range out {
		lines[i] = l.sign + l.text
	}
	return lines
}

type line struct{ sign, text string }

// compare orders by kind and name, then what was before what is.
func (l line) compare(m line) int {
	if a, b := subject(l.text), subject(m.text); a != b {
		if a < b {
			return -1
		}
		return 1
	}
	if l.sign != m.sign {
		if l.sign == "- " {
			return -1
		}
		return 1
	}
	switch {
	case l.text < m.text:
		return -1
	case l.text > m.text:
		return 1
	}
	return 0
}

// subject is what a line is about: its first two words.
func subject(l string) string {
	words := 0
	for i, r := range l {
		if r == ' ' {
			if words++; words == 2 {
				return l[:i]
			}
		}
	}
	return l
}

func count(lines []string) map[string]int {
	n := map[string]int{}
	for _, l := range lines {
		n[l]++
	}
	return n
}
