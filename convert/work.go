package convert

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
)

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
	kind, version := str(o, "kind"), str(o, "apiVersion")
	items, ok := o["items"].([]any)
	if !ok || kind != "List" && (!strings.HasSuffix(kind, "List") || !own(version)) {
		return w.one(o)
	}
	before := w.at
	for i, item := range items {
		w.at = index(strings.TrimPrefix(before+", items", ", "), i)
		child, ok := item.(map[string]any)
		if !ok {
			w.object = w.at
			w.refuse("", "it is no object")
			continue
		}
		if str(child, "kind") == "" && kind != "List" { // a DeploymentList leaves it to its name
			child["kind"], child["apiVersion"] = strings.TrimSuffix(kind, "List"), version
		}
		items[i] = w.any(child)
	}
	w.at, w.object = before, kind+" ("+before+")"
	switch {
	case kind != "List" && w.changed:
		w.note(o, Changed, "kind", kind+" -> List", "its objects are of their own versions now")
		o["kind"], o["apiVersion"] = "List", "v1"
	case kind == "List" && version == "":
		o["apiVersion"] = "v1"
		w.note(o, Changed, "apiVersion", "v1", "it is required")
	case kind == "List" && version != "v1":
		w.refuse("apiVersion", "1.36 has no "+version+" List; write v1")
	}
	return o
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
	if why := gone[kind]; why != "" && own(version) {
		w.refuse("kind", why)
		return o
	}
	before := len(w.problems)
	if w.move(o, version, kind); len(w.problems) > before {
		return o
	}
	w.exported(o)
	if version, kind = str(o, "apiVersion"), str(o, "kind"); own(version) {
		w.name(o, version, kind)
		if rule := byKind[kind]; rule != nil {
			rule(w, o)
		}
		w.pods(o)
	}
	if len(w.problems) == before {
		w.strict(o)
	}
	return o
}

// name checks that an object has one, and that it can be one.
func (w *work) name(o object, version, kind string) {
	name, _ := at(o, "metadata", "name").(string)
	switch {
	case !named(version, kind):
	case at(o, "metadata", "name") == nil && at(o, "metadata", "generateName") == nil:
		w.refuse("metadata.name", "it has no name; give it one")
	case strings.Contains(name, "{{"), strings.Contains(name, "${"):
		w.refuse("metadata.name", "it is a template: "+name+"; render it first")
	case name != "" && !strings.Contains(name, ":") && group(version) != "rbac.authorization.k8s.io" && // kinds with names of several parts have others
		len(validation.NameIsDNSSubdomain(name, false)) > 0:
		w.refuse("metadata.name", name+" can be no name: write it in lower case letters, digits, - and .")
	}
}

// move gives an object the version that 1.36 serves, by the rule for the old one.
func (w *work) move(o object, version, kind string) {
	m, ok := moves()[version+" "+kind]
	if !ok {
		remedy, isSettings := settings[group(version)]
		switch {
		case known(version, kind) || strings.Contains(strings.Join(elsewhere, ";"), version+" "+kind):
		case isSettings:
			w.refuse("", strings.TrimSuffix(fmt.Sprintf("it is the configuration of a component, and no object of a cluster; %s", remedy), "; "))
		case own(version):
			w.unserved(version, kind)
		default:
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
