package host

import (
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds one piece of a host's text in a message.
const maxShown = 2048

// Printable makes what a host sent fit for a terminal, a log line or a report: control characters (a newline, an escape
// sequence), invisible and direction-changing ones and broken UTF-8 become visible escapes, and what is too long is cut.
func Printable(s string) string {
	var b strings.Builder
	for i, w := 0, 0; i < len(s); i += w {
		if b.Len() >= maxShown {
			fmt.Fprintf(&b, "... (%d more bytes)", len(s)-i)
			break
		}
		var r rune
		r, w = utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && w == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// tail keeps the end of what a program writes to stderr, however much that is.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const maxTail = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	p = p[max(0, n-maxTail):]
	if over := len(t.buf) + len(p) - maxTail; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// lines is the last few lines, made printable, on one line.
func (t *tail) lines() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last []string
	for line := range strings.Lines(string(t.buf)) {
		if line = strings.TrimSpace(line); line != "" {
			last = append(last, line)
		}
	}
	last = last[max(0, len(last)-5):]
	for i, line := range last {
		last[i] = Printable(line)
	}
	return strings.Join(last, "; ")
}
