package ops

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kubewright/kubewright/pki"
)

// masker is an op that may hold what must not be shown.
type masker interface{ masked() Op }

// Masked is the op without secret bytes; digests stand in for them. Journals and reports hold only masked wishes. Observations hold no
// secret to begin with.
func Masked(op Op) Op {
	switch x := op.(type) {
	case masker:
		return x.masked()
	case interface{ Masked() Op }: // of another package
		return x.Masked()
	}
	return op
}

// Secret says whether the op holds what must not be shown.
func Secret(op Op) bool {
	f, ok := Masked(op).(File)
	return ok && f.Secret
}

// Text is the op as people read it in plans and their differences: lines of "name: value", and for a file its content below that. It is
// stable, and shows no secret.
func Text(op Op) string {
	switch o := Masked(op).(type) {
	case nil:
		return ""
	case File:
		return o.text()
	case Dir:
		if o.Absent {
			return absent
		}
		return fmt.Sprintf("owner: %d:%d\nmode: %04o\n", o.UID, o.GID, o.Mode) + flag("ours", o.Owned) + flag("all in it has that owner", o.Deep)
	case Block:
		if o.Absent {
			return absent
		}
		return lines(o.Lines)
	case Merge:
		return o.text()
	case Fstab:
		return o.text()
	case Exports:
		return o.text()
	case Trust:
		switch {
		case o.Absent:
			return absent
		case len(o.PEM) == 0:
			return "authority: " + o.Name + "\ncertificate: known after apply\n"
		}
		return "authority: " + o.Name + "\npublic key: " + pki.Fingerprint(o.PEM) + "\n"
	case interface{ Text() string }: // of another package
		return o.Text()
	default:
		return fields(o)
	}
}

const absent = "absent\n"

func (f File) text() string {
	if f.Absent {
		return absent
	}
	if target, ok := strings.CutPrefix(f.Digest, linkDigest); ok {
		return "link: " + target + "\n"
	}
	head := fmt.Sprintf("owner: %d:%d\nmode: %04o\n", f.UID, f.GID, f.Mode)
	switch {
	case f.Digest != "" || f.Secret:
		return head + "content: " + f.digest() + "\n"
	case !utf8.Valid(f.Content) || bytes.ContainsRune(f.Content, 0):
		return head + "content: " + strconv.Itoa(len(f.Content)) + " bytes, " + f.digest() + "\n"
	}
	text := string(f.Content)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n\\ no newline at the end\n"
	}
	return head + "\n" + text
}

// fields lists an op's JSON fields, one a line in their order, without those that only name the thing's neighbours in an undo.
func fields(op Op) string {
	data, err := json.Marshal(op)
	if err != nil {
		return ""
	}
	d := json.NewDecoder(bytes.NewReader(data))
	var out strings.Builder
	if _, err := d.Token(); err != nil {
		return ""
	}
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		if name == "noDirs" || name == "reads" { // of what is read only what is outdated tells anything
			continue
		}
		if name == "absent" && string(value) == "true" {
			return absent
		}
		fmt.Fprintf(&out, "%s: %s\n", name, plain(value))
	}
	return out.String()
}

// plain is a JSON value without the quotes where none are needed.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil && text != "" && strconv.Quote(text) == `"`+text+`"` {
		return text
	}
	var list []string
	if json.Unmarshal(value, &list) == nil {
		return strings.Join(list, ", ")
	}
	return string(value)
}

func lines(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "\n") + "\n"
}

func flag(name string, on bool) string {
	if on {
		return name + ": true\n"
	}
	return ""
}
