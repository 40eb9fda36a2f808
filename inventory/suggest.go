package inventory

import "strings"

// nearest is the choice that the word was probably meant to be: at most two letters wrong, upper and lower case alike.
func nearest(word string, choices []string) (string, bool) {
	const tolerance = 2
	if len(word) > 64 {
		return "", false
	}
	best, found := tolerance+1, ""
	for _, c := range choices {
		// A short word is within two letters of everything.
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < best && d < len(c) && d < len(word) {
			best, found = d, c
		}
	}
	return found, found != ""
}

// distance counts the letters to insert, drop, change or swap with their neighbour.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	var before, last []int
	row := make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := range s {
		before, last, row = last, row, make([]int, len(t)+1)
		row[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(t)]
}

// list is words for a sentence: "a, b or c".
func list(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}
