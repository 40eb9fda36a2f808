package verify

import (
	"fmt"
	"slices"
	"strings"
)

// Select are the checks of these names, in the order of the list; all where there are no names, but for the slow ones where it shall be quick.
func Select(all []Check, names []string, quick bool) ([]Check, error) {
	var out []Check
	for _, n := range names {
		if !slices.ContainsFunc(all, func(c Check) bool { return c.Name == n }) {
			return nil, fmt.Errorf("there is no check %q%s", n, suggestion(all, n))
		}
	}
	for _, c := range all {
		if slices.Contains(names, c.Name) || len(names) == 0 && (!quick || !c.Slow) {
			out = append(out, c)
		}
	}
	return out, nil
}

// suggestion is the check that was probably meant.
func suggestion(all []Check, name string) string {
	best, least := "", 4
	for _, c := range all {
		d := distance(name, c.Name)
		if name != "" && (strings.HasPrefix(c.Name, name) || strings.HasPrefix(name, c.Name)) {
			d = 1
		}
		if d < least {
			best, least = c.Name, d
		}
	}
	if best == "" {
		return "; verify --list has all"
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is how many letters have to be added, taken away or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			now := before
			if a[i] != b[j] {
				now++
			}
			before = row[j+1]
			row[j+1] = min(now, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}
