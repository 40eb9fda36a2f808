package report

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/engine"
)

// screen is a terminal that keeps each writing apart, with its time.
type screen struct {
	mu     sync.Mutex
	writes []string
	times  []time.Duration
	start  time.Time
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, string(p))
	s.times = append(s.times, time.Since(s.start))
	return len(p), nil
}

// play shows the example run in its own time.
func play(s *screen, size func() (int, int)) {
	s.start = time.Now()
	time.Sleep(30 * time.Millisecond) // so that no drawing falls on the instant of an event
	v := Terminal(s, size)
	for _, e := range exampleRun() {
		time.Sleep(time.Until(e.Time))
		v.Emit(e)
	}
	v.Close()
	v.Close() // twice is harmless
}

func TestTerminalView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock begins at clock0
		s := &screen{}
		play(s, func() (int, int) { return 72, 24 })
		var b bytes.Buffer
		seen := 0
		for i, w := range s.writes {
			// one frame for each thing that happened; those in which only the clock moved look alike
			if at := s.times[i].Truncate(time.Second); at > 6*time.Second && at < 74*time.Second && at%(15*time.Second) != 0 {
				continue
			}
			seen++
			fmt.Fprintf(&b, "=== %s\n%s", s.times[i], strings.ReplaceAll(w, "\x1b", "ESC"))
		}
		golden(t, "terminal.txt", b.Bytes())
		if last := s.writes[len(s.writes)-1]; strings.Contains(last, "of 4 targets done") {
			t.Errorf("the block is still there at the end:\n%s", last)
		}
	})
}

func TestTerminalDrawsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{start: time.Now()}
		v := Terminal(s, nil)
		v.Emit(exampleRun()[0])
		for i := range 2000 {
			v.Emit(engine.Event{Type: engine.PhaseStarted, Target: "master", Phase: fmt.Sprint("p", i), Time: time.Now()})
			time.Sleep(time.Millisecond)
		}
		v.Close()
		if n := len(s.writes); n > 21 || n < 15 {
			t.Errorf("%d drawings in two seconds", n)
		}
	})
}

func TestTerminalFitsTheScreen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{}
		play(s, func() (int, int) { return 40, 3 })
		for _, w := range s.writes[:len(s.writes)-1] {
			_, block, _ := strings.Cut(w, "\x1b[J")
			if strings.Contains(block, ": failed") || strings.Contains(block, ": blocked") {
				continue // failures are written above the block, and scroll
			}
			if n := strings.Count(block, "\n"); n > 2 {
				t.Errorf("%d lines on a screen of 3:\n%s", n, block)
			}
			for line := range strings.Lines(block) {
				if n := width(strings.TrimSuffix(line, "\n")); n > 39 {
					t.Errorf("%d columns on a screen of 40: %s", n, line)
				}
			}
		}
	})
}
