// Package convert rewrites manifests of Kubernetes' early years to what 1.36 takes: it says what it changed and why, object by object and field by field, and refuses
// what has no equal. It touches no file and no cluster.
package convert

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// The kinds of note.
const (
	Changed = "changed" // written otherwise
	Kept    = "kept"    // an old default, written down so that it stays
	Dropped = "dropped" // left out
	Warning = "warning" // taken as it is, and not what one would write today
	Told    = "note"    // good to know
)

// Note is one thing that the reader should know about one object.
type Note struct {
	Object string `json:"object"` // Kind/name, with its namespace if it has one
	Kind   string `json:"kind"`
	Field  string `json:"field,omitempty"`
	What   string `json:"what"`
	Why    string `json:"why,omitempty"`
}

func (n Note) String() string {
	s := n.Object + ": " + n.Kind
	if n.Field != "" {
		s += " " + n.Field
	}
	if s += ": " + n.What; n.Why != "" {
		s += " (" + n.Why + ")"
	}
	return s
}

// Problem is why an object is not converted.
type Problem struct {
	Object string
	Field  string
	Reason string
}

func (p Problem) Error() string {
	if p.Field == "" {
		return p.Object + ": " + p.Reason
	}
	return p.Object + ": " + p.Field + ": " + p.Reason
}

// Problems are all of them: nothing is converted where anything is refused.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Result is what became of a file.
type Result struct {
	Output  []byte // YAML; a document in which nothing changed is there as it was written, with its comments
	Notes   []Note
	Changed bool
	Objects int // documents with one, or with a list of them
}

// Convert reads YAML or JSON, of one or many documents, and rewrites every object in it.
func Convert(in []byte) (*Result, error) {
	in = bytes.TrimPrefix(in, []byte("\ufeff"))
	docs, err := split(in)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	var out []string
	var problems Problems
	lost := false
	for _, d := range docs {
		o, err := d.read()
		if err != nil {
			return nil, err
		}
		if o == nil {
			out = append(out, d.text) // comments only
			continue
		}
		r.Objects++
		w := &work{at: fmt.Sprintf("document %d", d.number)}
		o = w.any(o)
		problems = append(problems, w.problems...)
		lost = lost || w.changed && comment.MatchString(d.text)
		r.Notes = append(r.Notes, w.notes...)
		r.Changed = r.Changed || w.changed
		if !w.changed && !d.json {
			out = append(out, d.text)
			continue
		}
		text, err := yaml.Marshal(o)
		if err != nil {
			return nil, err
		}
		out = append(out, string(text))
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if lost {
		r.Notes = append(r.Notes, Note{Object: "this file", Kind: Told, What: "comments are lost where something changes", Why: "such a document is written anew"})
	}
	if !r.Changed && len(docs) > 0 && !docs[0].json {
		r.Output = in
		return r, nil
	}
	var b bytes.Buffer
	for i, text := range out {
		if i > 0 {
			b.WriteString("---\n")
		}
		b.WriteString(strings.TrimRight(text, "\n") + "\n")
	}
	r.Output = b.Bytes()
	return r, nil
}

// comment is what looks like one. What is in a quoted text may look so too; the note does no harm then.
var comment = regexp.MustCompile(`(?m)(^|\s)#`)
