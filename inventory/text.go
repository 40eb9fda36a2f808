package inventory

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxSize bounds a cluster file. Five thousand hosts need less than half of it.
const maxSize = 1 << 20

const howToStart = "write one with: kubewright init"

// text is the file's bytes as text: without the byte-order mark, with plain line ends. It is the only reader of raw bytes,
// and refuses what a YAML reader and a human might see differently.
func (r *reading) text(data []byte) (string, bool) {
	if len(data) > maxSize {
		r.add(Problem{Code: codeFile, Found: fmt.Sprintf("%d bytes", len(data)), Wrong: fmt.Sprintf("are more than the %d that a cluster file may have", maxSize),
			Remedy: "name the cluster file, not something else"})
		return "", false
	}
	bom := len(data)
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	bom -= len(data)
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(mark)) {
			r.add(Problem{Code: codeEncoding, Line: 1, Column: 1, Found: "the file", Wrong: "is UTF-16 (byte offset 0)", Remedy: "save it as UTF-8"})
			return "", false
		}
	}
	for at := 0; at < len(data); {
		c, size := utf8.DecodeRune(data[at:])
		wrong := ""
		switch {
		case c == utf8.RuneError && size == 1:
			wrong = fmt.Sprintf("the byte 0x%02x at offset %d is not UTF-8", data[at], at+bom)
		case c == 0:
			wrong = fmt.Sprintf("there is a NUL byte at offset %d", at+bom)
		case c == '\r' && at+1 < len(data) && data[at+1] == '\n':
		case c == '\u0085' || c == '\u2028' || c == '\u2029':
			// Some YAML readers end a line here and some do not.
			wrong = fmt.Sprintf("there is an unusual line end (%U) at byte offset %d", c, at+bom)
		case c < ' ' && c != '\n' && c != '\t', c == 0x7f, c >= 0x80 && c < 0xa0:
			wrong = fmt.Sprintf("there is a control character (%U) at byte offset %d", c, at+bom)
		}
		if wrong != "" {
			line := 1 + bytes.Count(data[:at], []byte("\n"))
			start := bytes.LastIndexByte(data[:at], '\n') + 1
			r.add(Problem{Code: codeEncoding, Line: line, Column: 1 + utf8.RuneCount(data[start:at]), Wrong: wrong, Remedy: "save the file as plain UTF-8 text"})
			return "", false
		}
		at += size
	}
	s := strings.ReplaceAll(string(data), "\r\n", "\n")
	if strings.TrimSpace(s) == "" {
		r.add(Problem{Code: codeFile, Wrong: "the file is empty", Remedy: howToStart})
		return "", false
	}
	return s, true
}
