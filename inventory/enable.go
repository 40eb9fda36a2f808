package inventory

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// addonKeys are the keys below spec.addons of what can be switched on and off.
var addonKeys = map[string]string{
	AddonIngress: "ingress", AddonMetricsServer: "metricsServer", AddonDashboard: "dashboard", AddonMonitoring: "monitoring", AddonStorage: "storage",
}

// AddonKey is the key below spec.addons that an addon's settings are under.
func AddonKey(name string) (key string, ok bool) {
	if name == AddonFlannel {
		return "flannel", true
	}
	key, ok = addonKeys[name]
	return key, ok
}

const byteOrderMark = "\xef\xbb\xbf"

// Enable writes into a cluster file whether an addon is enabled. Every other byte stays, comments among them. A file that it cannot write so, and one that would
// then say anything else as well, is refused.
func Enable(name string, data []byte, addon string, on bool) ([]byte, error) {
	key, ok := addonKeys[addon]
	if !ok {
		all := slices.Sorted(maps.Keys(addonKeys))
		remedy := "write one of " + list(all, "and")
		if meant, near := nearest(addon, all); near {
			remedy = "did you mean " + meant + "?"
		}
		return nil, fmt.Errorf("there is no addon %s that can be switched on and off: %s", show(addon), remedy)
	}
	before, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	byHand := fmt.Errorf("%s is not written so that it can be changed safely: write %s: {enabled: %t} under %s yourself", name, key, on, addonsPath)
	r := newReading(name)
	text, _ := r.text(data)
	t, ok := r.parse(text)
	if !ok {
		return nil, byHand
	}
	raw, marked := strings.CutPrefix(string(data), byteOrderMark) // with its own line ends, unlike text
	out, ok := r.enable(raw, t.root, key, on)
	if !ok {
		return nil, byHand
	}
	if marked {
		out = byteOrderMark + out
	}
	after, err := Parse(name, []byte(out))
	if err != nil {
		return nil, err // two addons that want one port, and the like
	}
	if after.Spec.Addons.Has(addon) != on {
		return nil, byHand
	}
	reflect.ValueOf(&before.Spec.Addons).Elem().FieldByNameFunc(func(f string) bool { return strings.EqualFold(f, key) }).FieldByName("Enabled").SetBool(on)
	Default(before)
	if !reflect.DeepEqual(before, after) {
		return nil, byHand
	}
	return []byte(out), nil
}

// enable edits the text at the deepest part of spec.addons.KEY.enabled that is there.
func (r *reading) enable(text string, root ast.Node, key string, on bool) (string, bool) {
	value := strconv.FormatBool(on)
	spec, ok := child(root, "spec")
	if !ok {
		return "", false
	}
	addons, ok := child(spec.Value, "addons")
	if !ok {
		return insert(text, spec, fmt.Sprintf("addons:\n  %s: {enabled: %s}", key, value))
	}
	section, ok := child(addons.Value, key)
	if !ok {
		return insert(text, addons, fmt.Sprintf("%s: {enabled: %s}", key, value))
	}
	enabled, ok := child(section.Value, "enabled")
	if !ok {
		return insert(text, section, "enabled: "+value)
	}
	at, ok := placeOf(enabled.Value.GetToken())
	was := enabled.Value.GetToken().Value
	lines := strings.Split(text, "\n")
	if !ok || at.line > len(lines) {
		return "", false
	}
	line := []rune(lines[at.line-1])
	if at.column-1+len(was) > len(line) || string(line[at.column-1:at.column-1+len(was)]) != was {
		return "", false
	}
	lines[at.line-1] = string(line[:at.column-1]) + value + string(line[at.column-1+len(was):])
	return strings.Join(lines, "\n"), true
}

func child(n ast.Node, key string) (*ast.MappingValueNode, bool) {
	ps, _ := pairs(n)
	for _, p := range ps {
		if t := keyToken(p); t != nil && t.Value == key {
			return p, true
		}
	}
	return nil, false
}

// insert puts lines before the first key below a section, as deep as that one, or as its first in braces.
func insert(text string, section *ast.MappingValueNode, what string) (string, bool) {
	lines := strings.Split(text, "\n")
	ps, _ := pairs(section.Value)
	if m, ok := section.Value.(*ast.MappingNode); ok && m.IsFlowStyle {
		at, ok := placeOf(m.Start)
		if !ok || strings.Contains(what, "\n") {
			return "", false
		}
		line := []rune(lines[at.line-1])
		if at.column > len(line) || line[at.column-1] != '{' {
			return "", false
		}
		if len(ps) > 0 {
			what += ", "
		}
		lines[at.line-1] = string(line[:at.column]) + what + string(line[at.column:])
		return strings.Join(lines, "\n"), true
	}
	line, column := 0, 0
	if len(ps) > 0 {
		at, ok := placeOf(keyToken(ps[0]))
		if !ok {
			return "", false
		}
		line, column = at.line-1, at.column-1
	} else { // a section of comments
		at, ok := placeOf(keyToken(section))
		if !ok || strings.TrimSpace(lines[at.line-1][at.column-1:]) != keyToken(section).Value+":" {
			return "", false
		}
		line, column = at.line, at.column+1
	}
	indent, end := strings.Repeat(" ", column), ""
	if strings.HasSuffix(lines[max(0, line-1)], "\r") {
		end = "\r"
	}
	var added []string
	for l := range strings.Lines(what) {
		added = append(added, indent+strings.TrimRight(l, "\n")+end)
	}
	return strings.Join(slices.Insert(lines, line, added...), "\n"), true
}
