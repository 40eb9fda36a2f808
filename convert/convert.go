// Package convert rewrites manifests of Kubernetes' early years to what 1.36 takes: it says what it changed and why, object by object and field by field, and refuses
// what has no equal. It touches no file and no cluster.
package convert

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
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

// work is the conversion of one document.
type work struct {
	at       string // where the object is, until it has a name
	notes    []Note
	problems Problems
	changed  bool
	object   string // whose turn it is
}

func (w *work) note(_ object, kind, field, what, why string) {
	w.notes = append(w.notes, Note{Object: w.object, Kind: kind, Field: field, What: what, Why: why})
	if kind == Changed || kind == Dropped || kind == Kept {
		w.changed = true
	}
}

func (w *work) refuse(field, reason string) {
	w.problems = append(w.problems, Problem{Object: w.object, Field: field, Reason: reason})
}

// any converts an object or a list of them.
func (w *work) any(o object) object {
	kind := str(o, "kind")
	if items, ok := o["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		for i, item := range items {
			if child, ok := item.(map[string]any); ok {
				if str(child, "kind") == "" && kind != "List" { // a DeploymentList leaves it to its name
					child["kind"], child["apiVersion"] = strings.TrimSuffix(kind, "List"), str(o, "apiVersion")
				}
				before := w.at
				w.at = fmt.Sprintf("%s, items[%d]", before, i)
				items[i] = w.one(child)
				w.at = before
			}
		}
		if kind != "List" && w.changed {
			w.object = kind
			w.note(o, Changed, "kind", kind+" -> List", "its objects are of their own versions now")
			o["kind"], o["apiVersion"] = "List", "v1"
		}
		return o
	}
	return w.one(o)
}

// one converts an object, and checks that what comes out is one of 1.36.
func (w *work) one(o object) object {
	kind, version, name := str(o, "kind"), str(o, "apiVersion"), str(o, "metadata", "name")
	w.object = kind + "/" + name
	if space := str(o, "metadata", "namespace"); space != "" {
		w.object = kind + "/" + space + "/" + name
	}
	switch {
	case kind == "" || version == "":
		w.object = w.at
		w.refuse("", "it is no Kubernetes object: it has no kind or no apiVersion")
		return o
	case name == "":
		if w.object = kind + " (" + w.at + ")"; str(o, "metadata", "generateName") != "" {
			w.object = kind + "/" + str(o, "metadata", "generateName") + "*"
		}
	}
	if why := gone[kind]; why != "" && (version == "v1" || slices.Contains(ours, group(version))) {
		w.refuse("kind", why)
		return o
	}
	before := len(w.problems)
	w.move(o, version, kind)
	if len(w.problems) > before {
		return o
	}
	w.everywhere(o)
	if rule := byKind[str(o, "kind")]; rule != nil && slices.Contains(ours, group(str(o, "apiVersion"))) {
		rule(w, o)
	}
	w.pods(o)
	if len(w.problems) == before {
		w.strict(o)
	}
	return o
}

// move gives an object the version that 1.36 serves, by the rule for the old one.
func (w *work) move(o object, version, kind string) {
	m, ok := moves()[version+" "+kind]
	if !ok {
		switch {
		case slices.Contains(removed, version):
			w.refuse("apiVersion", "Kubernetes 1.36 has no "+version+" "+kind+", and nothing is known that it became")
		case !known(version, kind):
			w.note(o, Told, "", version+" "+kind+" is left as it is", "it is not one of Kubernetes' own kinds of 1.36")
		}
		return
	}
	to, toKind, _ := strings.Cut(m.to, " ")
	if toKind == "" {
		toKind = kind
	}
	o["apiVersion"] = to
	w.note(o, Changed, "apiVersion", version+" -> "+to, m.why)
	if toKind != kind {
		o["kind"] = toKind
		w.note(o, Changed, "kind", kind+" -> "+toKind, "")
	}
	if _, ok := o["status"]; ok {
		delete(o, "status")
		w.note(o, Dropped, "status", "left out", "it is the cluster's to write")
	}
	if m.rule != nil {
		m.rule(w, o, version)
	}
}
