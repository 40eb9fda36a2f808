package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

// redrawTime is the shortest time between two drawings of the live block.
const redrawTime = 100 * time.Millisecond

// Terminal shows a run as a block of lines that is drawn over and over: one line for each host at work, never more than fit on the
// screen. Failures are written above it when they happen, the summary in its place when it is closed. size is asked before
// each drawing; it may be nil, and may answer zeros.
func Terminal(w io.Writer, size func() (columns, rows int)) View {
	v := &terminal{w: quiet{w: w}, size: size, hosts: map[string]*hostLine{}, done: make(chan struct{})}
	v.owner.Go(v.tick)
	return v
}

type terminal struct {
	size  func() (columns, rows int)
	done  chan struct{}
	owner sync.WaitGroup

	mu    sync.Mutex
	w     quiet
	order []string
	hosts map[string]*hostLine
	above strings.Builder // to be written above the block once
	drawn int             // lines of the block on the screen
	shown string          // the block on the screen
	ended *engine.Event   // the summary
	shut  bool
}

// hostLine is what the block says of one host.
type hostLine struct {
	name             string
	phase            string
	number, of       int
	steps, stepsDone int
	text             string // the step it is at, or what it waits for
	since            time.Time
	over             bool
}

func (v *terminal) Emit(e engine.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := v.hosts[e.Target]
	if h == nil { // an event of the whole run, or of a host that nobody announced
		h = &hostLine{}
	}
	switch e.Type {
	case engine.RunStarted:
		for _, t := range e.Targets {
			v.add(t.Target, t.Phases, e.Time)
		}
	case engine.PhaseStarted:
		h.phase, h.number, h.of, h.steps, h.stepsDone, h.text, h.since = e.Phase, e.Number, e.Of, e.Steps, 0, e.Short, e.Time
	case engine.StepEvent:
		if e.State == ops.Began {
			h.text = string(e.Key)
		} else {
			h.stepsDone++
		}
	case engine.Running:
		if e.Note != "" {
			h.text = string(e.Key) + ": " + e.Note
		}
	case engine.Waiting:
		if h.phase != e.Phase {
			h.phase, h.number, h.steps, h.since = e.Phase, h.number+1, 0, e.Time.Add(-e.Waited)
		}
		h.text = "waits for " + refs(e.For)
	case engine.PhaseFinished:
		h.number, h.of = e.Number, e.Of
		h.text, h.since = "", e.Time
		h.over = h.over || e.Number == e.Of
	case engine.TargetFailed:
		h.over = true
		v.above.WriteString(failure(e))
	case engine.Summary:
		v.ended = &e
	}
}

func (v *terminal) add(name string, phases int, now time.Time) {
	if v.hosts[name] == nil {
		v.order = append(v.order, name)
	}
	v.hosts[name] = &hostLine{name: name, of: phases, since: now, over: phases == 0}
}

// tick owns the drawing until the view is closed.
func (v *terminal) tick() {
	t := time.NewTicker(redrawTime)
	defer t.Stop()
	for {
		select {
		case <-v.done:
			return
		case now := <-t.C:
			v.mu.Lock()
			v.draw(v.block(now))
			v.mu.Unlock()
		}
	}
}

// Close takes the block away and writes what is left to say.
func (v *terminal) Close() error {
	v.mu.Lock()
	shut := v.shut
	v.shut = true
	v.mu.Unlock()
	if !shut {
		close(v.done)
	}
	v.owner.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !shut {
		if v.ended != nil {
			summary(&v.above, *v.ended)
		}
		v.draw("")
	}
	return v.w.err
}

// draw replaces the block on the screen in one write, unless nothing changed.
func (v *terminal) draw(block string) {
	if block == v.shown && v.above.Len() == 0 {
		return
	}
	out := ""
	if v.drawn > 0 {
		out = fmt.Sprintf("\x1b[%dA\r\x1b[J", v.drawn)
	}
	out += v.above.String() + block
	v.above.Reset()
	v.drawn, v.shown = strings.Count(block, "\n"), block
	v.w.Write([]byte(out))
}

// block is what is to be seen now.
func (v *terminal) block(now time.Time) string {
	columns, rows := 0, 0
	if v.size != nil {
		columns, rows = v.size()
	}
	if columns <= 0 {
		columns = 80
	}
	if rows <= 0 {
		rows = 24
	}
	var active []*hostLine
	names, phases := 0, 0
	for _, name := range v.order {
		if h := v.hosts[name]; !h.over {
			active = append(active, h)
			names, phases = max(names, width(Escape(h.name))), max(phases, width(h.phase))
		}
	}
	if len(v.order) == 0 {
		return ""
	}
	foot := fmt.Sprintf("%d of %s done", len(v.order)-len(active), count(len(v.order), "target"))
	// the last row stays free for the cursor, the one above it holds the foot
	if room := max(1, rows-2); len(active) > room {
		foot += fmt.Sprintf(", %d more at work", len(active)-room)
		active = active[:room]
	}
	var b strings.Builder
	for _, h := range active {
		steps := ""
		if h.steps > 0 {
			steps = fmt.Sprintf("%d/%d", h.stepsDone, h.steps)
		}
		line := fmt.Sprintf("%s  %5s %s %7s %7s  %s", pad(Escape(h.name), names), fmt.Sprintf("%d/%d", h.number, h.of), pad(h.phase, phases),
			steps, seconds(now.Sub(h.since)), Escape(h.text))
		b.WriteString(strings.TrimRight(fit(line, columns-1), " ") + "\n")
	}
	return b.String() + fit(foot, columns-1) + "\n"
}

// seconds is a span that changes once a second at most, so that the block is not drawn for nothing.
func seconds(d time.Duration) string {
	d = max(0, d).Truncate(time.Second)
	if d < time.Minute {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return span(d)
}
