package host

import (
	"bytes"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain, 中文 and ü":                   "plain, 中文 and ü",
		"\x1b[2J\x1b]0;title\a":             `\x1b[2J\x1b]0;title\x07`,
		"a\nb\tc\r":                         `a\nb\tc\r`,
		"\x00\x7f\u009b31m":                 `\x00\x7f\u009b31m`,
		"right\u202eleft\u2066\u200b\ufeff": `right\u202eleft\u2066\u200b\ufeff`,
		"broken \xff\xfe utf-8 \xe4\xb8":    `broken \xff\xfe utf-8 \xe4\xb8`,
		"\U000e0041":                        `\U000e0041`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q became %q, not %q", in, got, want)
		}
	}
	if got := Printable(strings.Repeat("\x1b", 1<<20)); len(got) > maxShown+100 || !strings.HasSuffix(got, "more bytes)") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var tl tail
	for i := range 10000 {
		tl.Write(bytes.Repeat([]byte{byte('a' + i%26)}, i%100))
		tl.Write([]byte("\n"))
	}
	tl.Write(bytes.Repeat([]byte("x"), 3*maxTail))
	tl.Write([]byte("\nlast but one\n\n  last  "))
	if len(tl.buf) > maxTail {
		t.Errorf("it grew to %d bytes", len(tl.buf))
	}
	if got := tl.lines(); !strings.HasSuffix(got, "; last but one; last") {
		t.Errorf("got %q", got)
	}
}
