// Package report shows what a plan says and what happens in a run: to a person at a terminal, to a log, to a program. All its views
// read the same plans and events, and speak the same words. What came from a host is escaped before it is shown.
package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// hidden says that a character acts on the reader's terminal, reorders the text around it or cannot be seen.
func hidden(r rune) bool { return !unicode.IsPrint(r) }

// Escape makes a text from elsewhere fit for one line of a terminal or log: control, bidirectional and invisible characters and broken UTF-8
// are written out (\x1b, \u202e), so that no host can move the cursor or make a line read as something else.
func Escape(s string) string { return escape(s, "") }

// escapeText is Escape for a text of several lines.
func escapeText(s string) string { return escape(strings.ReplaceAll(s, "\r\n", "\n"), "\n\t") }

func escape(s, keep string) string {
	if strings.IndexFunc(s, func(r rune) bool { return hidden(r) || r == utf8.RuneError }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case strings.ContainsRune(keep, r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == utf8.RuneError && s[i] != "\uFFFD"[0]:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case hidden(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r):
			b.WriteString(codeUnits(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// escapeJSON writes the hidden characters that an encoder let through as JSON escapes: the value is the same, and the line is
// safe to look at.
func escapeJSON(line []byte) []byte {
	if bytes.IndexFunc(line, hidden) < 0 {
		return line
	}
	var b bytes.Buffer
	for _, r := range string(line) {
		if hidden(r) && r != '\n' {
			b.WriteString(codeUnits(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// codeUnits writes a character as JSON does: \u202e, or a surrogate pair.
func codeUnits(r rune) string {
	if r < 0x10000 {
		return fmt.Sprintf(`\u%04x`, r)
	}
	high, low := utf16.EncodeRune(r)
	return fmt.Sprintf(`\u%04x\u%04x`, high, low)
}

// cells is how many columns a terminal uses for a character.
func cells(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r):
		return 0
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), r >= 0x3000 && r <= 0x303f, r >= 0xff01 && r <= 0xff60:
		return 2
	}
	return 1
}

func width(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

// fit cuts an escaped text to so many columns.
func fit(s string, columns int) string {
	if width(s) <= columns {
		return s
	}
	n := 0
	for i, r := range s {
		if n += cells(r); n >= columns {
			return s[:i] + "~"
		}
	}
	return s
}

// pad fills a text to so many columns.
func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-width(s)))
}

// span writes a duration with as much precision as a reader wants.
func span(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	if d < time.Hour {
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// table writes rows in columns two spaces apart; the columns named in right are aligned to the right.
func table(w io.Writer, indent string, rows [][]string, right ...int) {
	widths := map[int]int{}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], width(cell))
		}
	}
	aligned := map[int]bool{}
	for _, i := range right {
		aligned[i] = true
	}
	for _, row := range rows {
		line := indent
		for i, cell := range row {
			if aligned[i] {
				cell = strings.Repeat(" ", widths[i]-width(cell)) + cell
			}
			line += pad(cell, widths[i]) + "  "
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}
