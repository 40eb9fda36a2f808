package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

// View shows a run while it goes on. Emit is given to engine.Options; Close ends the view and returns the first error in writing it. A
// view that cannot be written falls silent and never disturbs the run.
type View interface {
	Emit(engine.Event)
	Close() error
}

// quiet remembers the first error of a writer and writes nothing after it.
type quiet struct {
	w   io.Writer
	err error
}

func (q *quiet) Write(p []byte) (int, error) {
	if q.err == nil {
		_, q.err = q.w.Write(p)
	}
	return len(p), nil
}

type jsonLines struct {
	mu sync.Mutex
	w  quiet
}

// JSONLines writes every event as one line of JSON.
func JSONLines(w io.Writer) View { return &jsonLines{w: quiet{w: w}} }

func (v *jsonLines) Emit(e engine.Event) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(e)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.w.err = err
		return
	}
	v.w.Write(escapeJSON(b.Bytes()))
}

func (v *jsonLines) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.w.err
}

// remindTime is how often the plain view says that a phase still waits or runs.
const remindTime = 30 * time.Second

type plain struct {
	mu       sync.Mutex
	w        quiet
	reminded map[engine.Ref]time.Time // when each phase under way was last spoken of
}

// Plain writes one line, with the time, for every phase that begins or ends, a reminder each 30 s of one that waits or runs long, and
// failures in full.
func Plain(w io.Writer) View {
	return &plain{w: quiet{w: w}, reminded: map[engine.Ref]time.Time{}}
}

func (v *plain) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.w.err
}

func (v *plain) Emit(e engine.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := engine.Ref{Target: e.Target, Phase: e.Phase}
	stamp := e.Time.Format("15:04:05")
	say := func(format string, args ...any) {
		fmt.Fprintf(&v.w, "%s %s %s: %s\n", stamp, Escape(e.Target), e.Phase, fmt.Sprintf(format, args...))
	}
	switch e.Type {
	case engine.RunStarted:
		fmt.Fprintf(&v.w, "%s run %s: %s on %s\n", stamp, e.Run, count(e.Changes, "change"), count(len(e.Targets), "target"))
	case engine.PhaseStarted:
		v.reminded[at] = e.Time
		text := count(e.Steps, "step")
		if e.After != nil {
			text += fmt.Sprintf(", waited %s for %s", span(e.Waited), Escape(e.After.String()))
		}
		say("begins, %s", text)
	case engine.Waiting, engine.Running:
		first, known := v.reminded[at]
		if known && e.Time.Sub(first) < remindTime && e.Note == "" {
			return
		}
		v.reminded[at] = e.Time
		if e.Note != "" {
			say("%s: %s", Escape(string(e.Key)), Escape(e.Note))
		} else if e.Type == engine.Waiting {
			text := ""
			if e.Waited > 0 {
				text = " (" + span(e.Waited) + ")"
			}
			say("waits for %s%s", refs(e.For), text)
		} else {
			say("still at %s: %s (%s)", Escape(string(e.Key)), Escape(e.Why), span(e.Took))
		}
	case engine.PhaseFinished:
		delete(v.reminded, at)
		switch {
		case e.State == ops.Changed:
			say("changed %d of %s in %s", e.Changes, count(e.Steps, "step"), span(e.Took))
		case e.State == ops.Same && e.Took > 0:
			say("same, %s looked at in %s", count(e.Steps, "step"), span(e.Took))
		case e.State == engine.Stopped:
			say("stopped")
		}
	case engine.TargetFailed:
		fmt.Fprintf(&v.w, "%s %s", stamp, failure(e))
	case engine.Summary:
		fmt.Fprintf(&v.w, "%s ", stamp)
		summary(&v.w, e)
	}
}

// refs names what is waited for, shortly.
func refs(all []engine.Ref) string {
	if len(all) == 0 {
		return "others"
	}
	text := Escape(all[0].String())
	if len(all) > 1 {
		text += fmt.Sprintf(" and %d more", len(all)-1)
	}
	return text
}

// failure tells in full what went wrong on a target: what, where, why, and what to do.
func failure(e engine.Event) string {
	var b strings.Builder
	b.WriteString(Escape(e.Target))
	if e.Phase != "" {
		b.WriteString(" " + e.Phase)
	}
	fmt.Fprintf(&b, ": %s", e.State)
	// a cause says "blocked: waits for ..." by itself
	text := strings.TrimPrefix(e.Error, string(e.State)+": ")
	if e.Key != "" {
		text = string(e.Key) + ": " + text
	}
	lines := strings.Split(escapeText(strings.TrimSpace(text)), "\n")
	fmt.Fprintf(&b, ": %s\n", lines[0])
	block := func(name string, lines []string) {
		for i, line := range lines {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "    %-8s%s\n", name, line)
		}
	}
	block("", lines[1:])
	if e.Why != "" {
		block("for", []string{Escape(e.Why)})
	}
	if e.Last != "" {
		block("output", strings.Split(escapeText(strings.TrimSpace(e.Last)), "\n"))
	}
	if e.Remedy != "" {
		block("remedy", strings.Split(escapeText(strings.TrimSpace(e.Remedy)), "\n"))
	}
	return b.String()
}

// summary tells how a run ended: one sentence, and a line for each target where there is something to tell.
func summary(w io.Writer, e engine.Event) {
	ended := map[ops.State]int{}
	for _, t := range e.Targets {
		ended[t.State]++
	}
	targets := count(len(e.Targets), "target")
	switch e.State {
	case ops.Same:
		fmt.Fprintf(w, "nothing to do: %s on %s are as they should be\n", count(e.Steps, "step"), targets)
		return
	case ops.Changed:
		fmt.Fprintf(w, "done: %s on %s in %s\n", count(e.Changes, "change"), targets, span(e.Took))
	default:
		var parts []string
		for _, s := range []ops.State{ops.Failed, engine.Blocked, engine.Stopped} {
			if ended[s] > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", ended[s], s))
			}
		}
		fmt.Fprintf(w, "not done: of %s %s; %s made in %s\n", targets, strings.Join(parts, ", "), count(e.Changes, "change"), span(e.Took))
	}
	rows := [][]string{{"target", "state", "changed", "same", "failed", "blocked", "time"}}
	for _, t := range e.Targets {
		rows = append(rows, []string{Escape(t.Target), string(t.State), fmt.Sprint(t.Changed), fmt.Sprint(t.Same), fmt.Sprint(t.Failed),
			fmt.Sprint(t.Blocked), span(t.Took)})
	}
	table(w, "  ", rows, 2, 3, 4, 5, 6)
}
