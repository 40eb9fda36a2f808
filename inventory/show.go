package inventory

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown is how much of a value a message repeats.
const maxShown = 80

var userinfo = regexp.MustCompile(`://[^/@\s]*@`)

// show is a value as messages show it: quoted, so that spaces are seen; escaped, so that it cannot move the cursor or turn
// the reading direction; shortened; and without what looks like a secret.
func show(s string) string {
	if isPrivateKey(s) {
		return "a private key (not shown)"
	}
	return strconv.Quote(shorten(mask(s)))
}

// bare is a plain scalar as it stands in the file, without quotes around it.
func bare(s string) string { return escape(shorten(mask(s))) }

func mask(s string) string { return userinfo.ReplaceAllString(s, "://***@") }

func isPrivateKey(s string) bool {
	return strings.Contains(s, "PRIVATE KEY") || strings.Contains(s, "PuTTY-User-Key-File")
}

func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// escape makes text safe for a terminal and keeps it readable: what prints stays, the rest becomes \n, \x1b, \u202e.
func escape(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// hidden is the first character that a reader would not see, or would see elsewhere than it is: controls, direction marks,
// zero-width characters, byte-order marks, and spaces that are not the space.
func hidden(s string) (rune, bool) {
	for _, r := range s {
		if !strconv.IsPrint(r) || unicode.Is(unicode.Cf, r) {
			return r, true
		}
	}
	return 0, false
}

// secretLine finds lines that should not be repeated in a message.
var secretLine = regexp.MustCompile(`(?i)pass|secret|token|private|credential`)

// showLine is a line of the file in a syntax error. Where a secret might be on it, only its key is shown.
func showLine(line, file string) string {
	if isPrivateKey(file) {
		return "(not shown: the file holds a private key)"
	}
	if secretLine.MatchString(line) {
		key, _, ok := strings.Cut(line, ":")
		if !ok {
			return "(not shown)"
		}
		return show(strings.TrimSpace(key) + ": ***")
	}
	return show(strings.TrimRight(line, " "))
}
