package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

func TestPlanForAPerson(t *testing.T) {
	for name, o := range map[string]Options{"plan.txt": {}, "plan-diffs.txt": {Diffs: true}, "plan-color.txt": {Color: true, Diffs: true}} {
		var b bytes.Buffer
		if err := Plan(&b, examplePlan(), o); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestPlanForAProgram(t *testing.T) {
	var b bytes.Buffer
	if err := PlanJSON(&b, examplePlan(), Options{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", b.Bytes())
	var back planJSON
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if why := back.Targets[0].Phases[0].Changes[2].Why; why != "a \x1b[2Jhost said \u202ethis" {
		t.Errorf("escaping changed the value: %q", why)
	}
}

func TestPlansWithLittleInThem(t *testing.T) {
	whole := examplePlan()
	for _, row := range []struct {
		says  string
		works []engine.PlannedWork
		want  string
	}{
		{"nothing at all", nil, "nothing to do\n"},
		{"nothing to do", whole.Works[3:4], "node-1\n  nothing to do\n\nnothing to do\n"},
		{"one change", whole.Works[2:3], "master\n  disk\n    ~ change  final:x  nothing of the old disk is kept (cannot be undone)\n\nplan: 1 change on 1 target\n"},
	} {
		t.Run(row.says, func(t *testing.T) {
			var b bytes.Buffer
			if err := Plan(&b, &engine.Plan{Works: row.works}, Options{}); err != nil || b.String() != row.want {
				t.Errorf("got %v\n%s\nwant\n%s", err, b.String(), row.want)
			}
		})
	}
}

func TestPlainView(t *testing.T) {
	var b bytes.Buffer
	v := Plain(&b)
	for _, e := range exampleRun() {
		v.Emit(e)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	golden(t, "plain.txt", b.Bytes())
}

func TestJSONLines(t *testing.T) {
	var b bytes.Buffer
	v := JSONLines(&b)
	for _, e := range exampleRun() {
		v.Emit(e)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	golden(t, "events.jsonl", b.Bytes())
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for i, line := range lines {
		var e engine.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if (e.Version != 0) != (i == 0) {
			t.Errorf("line %d has version %d", i+1, e.Version)
		}
	}
}

func TestTimingOfTheRun(t *testing.T) {
	var b bytes.Buffer
	if err := Timing(&b, exampleRun()); err != nil {
		t.Fatal(err)
	}
	golden(t, "timing.txt", b.Bytes())
}

func TestTimingOfNothing(t *testing.T) {
	var b bytes.Buffer
	if err := Timing(&b, nil); err != nil || b.String() != "where the time went: 0ms\n\ntarget  phase  began  waited  took\n" {
		t.Errorf("got %v %q", err, b.String())
	}
}

func TestSummaries(t *testing.T) {
	hosts := []engine.Tally{{Target: "a", State: ops.Same}, {Target: "b", State: ops.Changed}}
	for _, row := range []struct {
		says string
		e    engine.Event
		want string
	}{
		{"nothing to do", engine.Event{State: ops.Same, Steps: 163, Targets: hosts}, "nothing to do: 163 steps on 2 targets are as they should be"},
		{"done", engine.Event{State: ops.Changed, Changes: 1, Took: 90 * time.Second, Targets: hosts}, "done: 1 change on 2 targets in 1m30s"},
		{"stopped", engine.Event{State: engine.Stopped, Targets: []engine.Tally{{State: engine.Stopped}, {State: engine.Stopped}}}, "not done: of 2 targets 2 stopped; 0 changes made in 0ms"},
	} {
		var b bytes.Buffer
		summary(&b, row.e)
		if got, _, _ := strings.Cut(b.String(), "\n"); got != row.want {
			t.Errorf("%s: got %q, want %q", row.says, got, row.want)
		}
	}
}

// broken is a disk that is full after so many writes.
type broken struct{ left int }

func (b *broken) Write(p []byte) (int, error) {
	if b.left--; b.left < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

func TestAViewThatCannotBeWrittenFallsSilentAndSaysSoAtTheEnd(t *testing.T) {
	for name, v := range map[string]View{"plain": Plain(&broken{2}), "json": JSONLines(&broken{2}), "terminal": Terminal(&broken{0}, nil)} {
		for _, e := range exampleRun() {
			v.Emit(e)
		}
		if err := v.Close(); err == nil || err.Error() != "no space left on device" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := Timing(&broken{1}, exampleRun()); err == nil {
		t.Error("timing: no error")
	}
}

func TestEscape(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"plain words, ümläute, 中文", "plain words, ümläute, 中文"},
		{"\x1b[31mred", `\x1b[31mred`},
		{"two\nlines\tand\ra tab", `two\nlines\tand\x0da tab`},
		{"\u009b2J", `\x9b2J`},
		{"\x7f", `\x7f`},
		{"evil\u202etxt.exe", `evil\u202etxt.exe`},
		{"zero\u200bwidth", `zero\u200bwidth`},
		{"line\u2028separator", `line\u2028separator`},
		{"tag \U000e0041", `tag \udb40\udc41`},
		{"broken \xff\xfe", `broken \xff\xfe`},
		{"a real \uFFFD", "a real \uFFFD"},
	} {
		if got := Escape(row.in); got != row.want {
			t.Errorf("Escape(%q) = %q, want %q", row.in, got, row.want)
		}
		if again := Escape(row.want); again != row.want {
			t.Errorf("escaped twice: %q became %q", row.want, again)
		}
	}
	if got := escapeText("one\r\ntwo\n\tthree\x00"); got != "one\ntwo\n\tthree\\x00" {
		t.Errorf("escapeText: %q", got)
	}
}

func TestSpan(t *testing.T) {
	for _, row := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0ms"}, {99 * time.Millisecond, "99ms"}, {340 * time.Millisecond, "0.3s"}, {59940 * time.Millisecond, "59.9s"}, {59960 * time.Millisecond, "1m00s"},
		{125 * time.Second, "2m05s"}, {59*time.Minute + 59600*time.Millisecond, "1h00m"}, {26*time.Hour + 5*time.Minute, "26h05m"},
	} {
		if got := span(row.d); got != row.want {
			t.Errorf("span(%s) = %s, want %s", row.d, got, row.want)
		}
	}
}

func TestFitCountsColumns(t *testing.T) {
	for _, row := range []struct {
		in      string
		columns int
		want    string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab~"}, {"中文字", 6, "中文字"}, {"中文字", 5, "中文~"}, {"中文字", 4, "中~"}, {"e\u0301e\u0301", 2, "e\u0301e\u0301"}} {
		if got := fit(row.in, row.columns); got != row.want {
			t.Errorf("fit(%q, %d) = %q, want %q", row.in, row.columns, got, row.want)
		}
	}
}

// What a step waits for is told whenever it is told, however often; the screen shows it in the host's line.
func TestWhatAStepWaitsFor(t *testing.T) {
	var b, screen bytes.Buffer
	v, live := Plain(&b), Terminal(&screen, func() (int, int) { return 120, 10 })
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, e := range []engine.Event{
		{Type: engine.RunStarted, Time: at, Run: "r", Targets: []engine.Tally{{Target: "a", Phases: 1}}},
		{Type: engine.PhaseStarted, Time: at, Target: "a", Phase: "packages", Steps: 1, Number: 1, Of: 1},
		{Type: engine.Running, Time: at.Add(time.Second), Target: "a", Phase: "packages", Key: "package:x", Note: "waits for apt\x1b"},
		{Type: engine.Running, Time: at.Add(2 * time.Second), Target: "a", Phase: "packages", Key: "package:x", Why: "a test"},
		{Type: engine.Running, Time: at.Add(3 * time.Second), Target: "a", Phase: "packages", Key: "package:x", Note: "waits for dpkg"},
	} {
		v.Emit(e)
		live.Emit(e)
	}
	want := "12:00:01 a packages: package:x: waits for apt\\x1b\n12:00:03 a packages: package:x: waits for dpkg\n"
	if got := b.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s", got)
	}
	if got := live.(*terminal).block(at); !strings.Contains(got, "package:x: waits for dpkg") {
		t.Errorf("the screen says\n%s", got)
	}
	if err := live.Close(); err != nil {
		t.Error(err)
	}
}

// What there is now may be what cannot come back.
func TestPlanTellsWhatCannotComeBack(t *testing.T) {
	lost := engine.Change{Step: engine.Step{Op: ops.Package{Name: "x", Version: "2"}}, Was: ops.Package{Name: "x", Version: "1", Lost: true}}
	if !oneWay(lost) || oneWay(engine.Change{Step: lost.Step, Was: ops.Package{Name: "x", Version: "1"}}) {
		t.Error("a version that is lost is not told from one that is not")
	}
}
