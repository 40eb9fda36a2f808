package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

// Options say how a plan is shown.
type Options struct {
	Name  string // what the plan is called in its last line; default: plan
	Diffs bool   // what each change changes, below it
	Color bool
	Notes []Note
}

// Note is a decision that the plan stands on, with its reason.
type Note struct {
	About string `json:"about"`
	Text  string `json:"text"`
	Value any    `json:"value,omitempty"` // the same for programs
}

// The colours of a change, by its verb.
var (
	signs  = map[string]string{"create": "+", "change": "~", "remove": "-"}
	colors = map[string]string{"create": "\x1b[32m", "change": "\x1b[33m", "remove": "\x1b[31m"}
)

const plainColor = "\x1b[0m"

// Plan shows a plan to a person: every host, its phases, and their changes with their reasons.
func Plan(w io.Writer, p *engine.Plan, o Options) error {
	var b bytes.Buffer
	unseen := 0
	touched := 0
	for _, target := range p.Targets() {
		fmt.Fprintf(&b, "%s\n", Escape(target))
		if err := lookError(p, target); err != nil {
			unseen++
			fmt.Fprintf(&b, "  could not be looked at: %s\n\n", Escape(err.Error()))
			continue
		}
		if p.Count(target, "") == 0 {
			b.WriteString("  nothing to do\n\n")
			continue
		}
		touched++
		for _, work := range p.Works {
			if work.Target == target && len(work.Changes) > 0 {
				planPhase(&b, work, o)
			}
		}
		b.WriteByte('\n')
	}
	for _, n := range o.Notes {
		fmt.Fprintf(&b, "%s: %s\n", Escape(n.About), Escape(n.Text))
	}
	name := "plan"
	if o.Name != "" {
		name = o.Name
	}
	switch {
	case p.Empty():
		b.WriteString("nothing to do\n")
	case unseen > 0:
		fmt.Fprintf(&b, "%s: %s on %s; %s could not be looked at\n", name, count(p.Count("", ""), "change"), count(touched, "target"), count(unseen, "target"))
	default:
		fmt.Fprintf(&b, "%s: %s on %s\n", name, count(p.Count("", ""), "change"), count(touched, "target"))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// lookError is why a target could not be looked at.
func lookError(p *engine.Plan, target string) error {
	for _, w := range p.Works {
		if w.Target == target && w.Err != nil {
			return w.Err
		}
	}
	return nil
}

// maxKey is where the column of keys ends; a longer key pushes its reason to the right.
const maxKey = 56

func planPhase(b *bytes.Buffer, work engine.PlannedWork, o Options) {
	fmt.Fprintf(b, "  %s", work.Phase)
	if work.Short != "" {
		fmt.Fprintf(b, ": %s", work.Short)
	}
	b.WriteByte('\n')
	column := 0
	for _, c := range work.Changes {
		column = max(column, min(maxKey, width(Escape(string(c.Op.Key())))))
	}
	for _, c := range work.Changes {
		verb := c.Verb()
		line := signs[verb] + " " + verb
		if o.Color {
			line = colors[verb] + line + plainColor
		}
		fmt.Fprintf(b, "    %s  %s  %s%s\n", line, pad(Escape(string(c.Op.Key())), column), Escape(c.Why), oneWayNote(c))
		if c.Note != "" {
			fmt.Fprintf(b, "        %s\n", Escape(c.Note))
		}
		if o.Diffs {
			planDiff(b, c.Diff(), o)
		}
	}
}

func oneWayNote(c engine.Change) string {
	if oneWay(c) {
		return " (cannot be undone)"
	}
	return ""
}

func planDiff(b *bytes.Buffer, diff string, o Options) {
	if diff == "" {
		diff = "differs in what is not shown\n"
	}
	for i, line := range slices.Collect(strings.Lines(diff)) {
		if i < 2 && (strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ ")) {
			continue // the key stands above
		}
		line = escape(strings.TrimSuffix(line, "\n"), "\t")
		if o.Color {
			switch line[:min(1, len(line))] {
			case "+":
				line = colors["create"] + line + plainColor
			case "-":
				line = colors["remove"] + line + plainColor
			}
		}
		fmt.Fprintf(b, "        %s\n", line)
	}
}

// PlanVersion is the version of a plan as JSON; readers must ignore what they do not know.
const PlanVersion = 1

type planJSON struct {
	Version int          `json:"version"`
	Changes int          `json:"changes"`
	Notes   []Note       `json:"notes,omitempty"`
	Targets []planTarget `json:"targets"`
}

type planTarget struct {
	Name    string     `json:"name"`
	Changes int        `json:"changes"`
	Error   string     `json:"error,omitempty"` // why it could not be looked at
	Phases  []planWork `json:"phases"`
}

type planWork struct {
	Name    string       `json:"name"`
	Short   string       `json:"short,omitempty"`
	After   []string     `json:"after,omitempty"`
	Steps   int          `json:"steps"`
	Changes []planChange `json:"changes"`
}

type planChange struct {
	Key    ops.Key `json:"key"`
	Verb   string  `json:"verb"`
	Why    string  `json:"why"`
	OneWay bool    `json:"oneWay,omitempty"`
	Note   string  `json:"note,omitempty"`
	Diff   string  `json:"diff,omitempty"`
}

// PlanJSON writes a plan for a program.
func PlanJSON(w io.Writer, p *engine.Plan, o Options) error {
	out := planJSON{Version: PlanVersion, Changes: p.Count("", ""), Notes: o.Notes, Targets: []planTarget{}}
	for _, target := range p.Targets() {
		t := planTarget{Name: target, Changes: p.Count(target, ""), Phases: []planWork{}}
		if err := lookError(p, target); err != nil {
			t.Error = err.Error()
		}
		for _, work := range p.Works {
			if work.Target != target {
				continue
			}
			pw := planWork{Name: work.Phase, Short: work.Short, After: work.After, Steps: len(work.Steps), Changes: []planChange{}}
			for _, c := range work.Changes {
				pc := planChange{Key: c.Op.Key(), Verb: c.Verb(), Why: c.Why, OneWay: oneWay(c), Note: c.Note}
				if o.Diffs {
					pc.Diff = c.Diff()
				}
				pw.Changes = append(pw.Changes, pc)
			}
			t.Phases = append(t.Phases, pw)
		}
		out.Targets = append(out.Targets, t)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err
	}
	_, err := w.Write(escapeJSON(b.Bytes()))
	return err
}

// oneWay says that a change cannot be undone: because of what the op does, or because of what there is now. Kinds of which that may be so have a
// method that says it.
func oneWay(c engine.Change) bool {
	for _, op := range []ops.Op{c.Op, c.Was} {
		if o, ok := op.(interface{ OneWay() bool }); ok && o.OneWay() {
			return true
		}
	}
	return false
}
