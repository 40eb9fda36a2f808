package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/ops"
)

// carry plans and runs the works on the fakes, and returns what was said.
func carry(t *testing.T, ctx context.Context, works []Work, targets []Target, o Options) (*said, error) {
	t.Helper()
	plan, _ := Observe(ctx, works, targets)
	s := &said{}
	if o.Emit == nil {
		o.Emit = s.emit
	}
	o.Run = "r1"
	return s, Run(ctx, plan, targets, o)
}

// TestOrder carries out small worlds in which every step of a phase takes as many seconds as its row says, and compares when each phase began.
func TestOrder(t *testing.T) {
	cp := []Phase[in]{phase("prepare"), phase("serve"), phase("join", "serve"), phase("check")}
	for _, row := range []struct {
		says    string
		phases  []Phase[in]
		targets string
		takes   string // target/phase=seconds
		done    string // target/thing: already so
		o       Options
		want    string
	}{
		{says: "a slow target delays nobody who does not wait for it", phases: []Phase[in]{phase("prepare"), phase("check")}, targets: "slow fast",
			takes: "slow/prepare=100 fast/prepare=1", want: "slow: prepare 0s check 1m40s; fast: prepare 0s check 1s"},
		{says: "workers prepare while the control plane boots, and join when it serves", phases: cp, targets: "m=prepare,serve,check w=prepare,join,check",
			takes: "m/prepare=1 m/serve=30 w/prepare=5 w/join=2", want: "m: prepare 0s serve 1s check 31s; w: prepare 0s join 31s check 33s"},
		{says: "a phase waits for all targets that it comes after", phases: cp, targets: "m1=serve m2=serve w=join",
			takes: "m1/serve=3 m2/serve=7", want: "m1: serve 0s; m2: serve 0s; w: join 7s"},
		{says: "a phase does not wait for its own target's later phases", phases: []Phase[in]{phase("join", "serve"), phase("serve")}, targets: "m=join,serve",
			takes: "m/join=2", want: "m: join 0s serve 2s"},
		{says: "a need that nobody has is no need", phases: cp, targets: "w=join", want: "w: join 0s"},
		{says: "a phase after itself takes turns in the targets' order", phases: []Phase[in]{phase("prepare"), phase("etcd", "etcd")}, targets: "a b c",
			takes: "a/prepare=9 a/etcd=1 b/etcd=1 c/etcd=1", want: "a: prepare 0s etcd 9s; b: prepare 0s etcd 10s; c: prepare 0s etcd 11s"},
		{says: "what is unchanged, with nothing changed before it, is left alone", phases: cp, targets: "m=prepare,serve w=prepare,join,check",
			done: "m/prepare m/serve w/prepare w/check", want: "m:; w: join 0s check 0s"},
		{says: "a change on another target touches those who wait for it", phases: cp, targets: "m=prepare,serve w=prepare,join,check",
			takes: "m/serve=4", done: "m/prepare w/prepare w/join w/check", want: "m: serve 0s; w: join 4s check 4s"},
		{says: "what is left alone still keeps its place", phases: []Phase[in]{phase("a"), phase("b", "a"), phase("c", "b")}, targets: "x=a y=b z=c",
			takes: "x/a=5", done: "y/b z/c", want: "x: a 0s; y: b 5s; z: c 5s"},
		{says: "nothing to do", phases: cp, targets: "m w", done: "m/prepare m/serve m/join m/check w/prepare w/serve w/join w/check", want: "m:; w:"},
		{says: "one at a time", phases: []Phase[in]{phase("p")}, targets: "a b", takes: "a/p=5 b/p=5", o: Options{Parallel: 1}, want: "a or b: p 0s, p 5s"},
		{says: "who waits does not hold a slot", phases: cp, targets: "m=prepare,serve w=join", takes: "m/prepare=5 m/serve=5",
			o: Options{Parallel: 1}, want: "m: prepare 0s serve 5s; w: join 10s"},
	} {
		t.Run(row.says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				works, fakes, targets := world(row.phases, strings.Fields(row.targets)...)
				for _, x := range strings.Fields(row.takes) {
					at, secs, _ := strings.Cut(x, "=")
					name, ph, _ := strings.Cut(at, "/")
					d, err := time.ParseDuration(secs + "s")
					if err != nil {
						t.Fatal(err)
					}
					fakes[name].takes[ph] = d
				}
				for _, x := range strings.Fields(row.done) {
					name, th, _ := strings.Cut(x, "/")
					fakes[name].is[th] = "yes"
				}
				if _, err := carry(t, t.Context(), works, targets, row.o); err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, target := range targets {
					f := target.(*fake)
					got = append(got, strings.TrimSpace(f.name+": "+strings.Join(f.log, " ")))
				}
				if strings.HasPrefix(row.want, "a or b") {
					a, b := fakes["a"].log[0], fakes["b"].log[0]
					got = []string{fmt.Sprintf("a or b: %s, %s", min(a, b), max(a, b))}
				}
				if s := strings.Join(got, "; "); s != row.want {
					t.Errorf("got  %s\nwant %s", s, row.want)
				}
			})
		})
	}
}

func TestFailuresStopTheirTargetAndWhoWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("prepare"), phase("serve"), phase("join", "serve"), phase("check", "join")},
			"m=prepare,serve,check", "w1=prepare,join", "w2=prepare,join", "other=prepare", "last=check")
		fakes["w2"].takes["prepare"] = time.Second // so that w1 is the first of the two to be blocked
		denied := errors.New("permission denied")
		fakes["m"].fails["thing:serve"] = denied
		s, err := carry(t, t.Context(), works, targets, Options{})
		want := `serve: m: thing:serve: permission denied
join: w1: blocked: waits for serve on m, which failed
join: w2: blocked: waits for serve on m, which failed
check: last: blocked: waits for join on w1, which is blocked`
		if err == nil || err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
		var step *StepError
		if !errors.Is(err, denied) || !errors.As(err, &step) {
			t.Fatalf("the cause is lost: %#v", err)
		}
		if step.Target != "m" || step.Phase != "serve" || step.Key != "thing:serve" || step.Why != "the test wants serve" || step.Last != "the last words" {
			t.Errorf("got %#v", step)
		}
		if got := strings.Join(fakes["other"].log, " "); got != "prepare 0s" {
			t.Errorf("the other target did: %s", got)
		}
		if got := s.story(TargetFailed); strings.Count(got, "\n") != 4 || !strings.Contains(got, "target_failed serve m thing:serve failed permission denied\n") ||
			!strings.Contains(got, "target_failed join w1 blocked blocked: waits for serve on m, which failed\n") {
			t.Errorf("told:\n%s", got)
		}
		wantTallies(t, s, ops.Failed, "m failed 3: 1 changed 0 same 1 failed 1 blocked", "w1 blocked 2: 1 changed 0 same 0 failed 1 blocked",
			"w2 blocked 2: 1 changed 0 same 0 failed 1 blocked", "other changed 1: 1 changed 0 same 0 failed 0 blocked", "last blocked 1: 0 changed 0 same 0 failed 1 blocked")
	})
}

func wantTallies(t *testing.T, s *said, state ops.State, want ...string) {
	t.Helper()
	sum := s.events[len(s.events)-1]
	if sum.Type != Summary || sum.State != state {
		t.Errorf("the last event is %s %s, want summary %s", sum.Type, sum.State, state)
	}
	var got []string
	for _, a := range sum.Targets {
		got = append(got, fmt.Sprintf("%s %s %d: %d changed %d same %d failed %d blocked", a.Target, a.State, a.Steps, a.Changed, a.Same, a.Failed, a.Blocked))
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("tallies: got\n%s\nwant\n%s", g, w)
	}
}

func TestAFailureAfterThePhaseOthersWaitForBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("serve"), phase("join", "serve"), phase("check")}, "m=serve,check", "w=join")
		fakes["m"].fails["thing:check"] = errors.New("no answer")
		fakes["w"].takes["join"] = time.Minute
		_, err := carry(t, t.Context(), works, targets, Options{})
		if err == nil || err.Error() != "check: m: thing:check: no answer" {
			t.Errorf("got %v", err)
		}
		if fakes["w"].is["join"] != "yes" {
			t.Error("the worker did not join")
		}
	})
}

func TestBlockedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("serve"), phase("join", "serve")}, "m1=serve", "m2=serve", "w=join")
		fakes["m1"].takes["serve"] = time.Hour / 2
		fakes["m2"].fails["thing:serve"] = errors.New("broken")
		var when time.Duration
		start := time.Now()
		carry(t, t.Context(), works, targets, Options{Emit: func(e Event) {
			if e.Type == TargetFailed && e.Target == "w" {
				when = e.Time.Sub(start)
			}
		}})
		if when != 0 || fakes["w"].log != nil {
			t.Errorf("told after %s, did %s", when, fakes["w"].log)
		}
	})
}

func TestATargetThatCouldNotBeSeenBlocksThoseWhoWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("serve"), phase("join", "serve"), phase("check")}, "m=serve", "w=join,check", "other=check")
		fakes["m"].blind = errors.New("connection refused")
		s, err := carry(t, t.Context(), works, targets, Options{})
		if err == nil || err.Error() != "m: connection refused\njoin: w: blocked: waits for serve on m, which failed" {
			t.Errorf("got %v", err)
		}
		if fakes["m"].log != nil || len(fakes["other"].log) != 1 {
			t.Errorf("m did %s, other did %s", fakes["m"].log, fakes["other"].log)
		}
		wantTallies(t, s, ops.Failed, "m failed 1: 0 changed 0 same 0 failed 1 blocked", "w blocked 2: 0 changed 0 same 0 failed 2 blocked",
			"other changed 1: 1 changed 0 same 0 failed 0 blocked")
	})
}

func TestALostConnectionBlamesTheStepItWasAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("prepare")}, "a")
		fakes["a"].lost["thing:prepare"] = errors.New("connection reset")
		s, err := carry(t, t.Context(), works, targets, Options{})
		if err == nil || err.Error() != "prepare: a: thing:prepare: connection reset" {
			t.Errorf("got %v", err)
		}
		wantTallies(t, s, ops.Failed, "a failed 1: 0 changed 0 same 1 failed 0 blocked")
	})
}

func TestASilentTargetIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("prepare")}, "a")
		fakes["a"].mute = true
		_, err := carry(t, t.Context(), works, targets, Options{})
		if err == nil || err.Error() != "prepare: a: the target did not say how 1 of 1 steps ended" {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheRemedyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{{Name: "p", Steps: func(in) ([]Step, error) {
			return []Step{{Op: advised{thing{Name: "x", Value: "yes"}}, Why: "because"}}, nil
		}}}, "a")
		fakes["a"].fails["thing:x"] = errors.New("broken")
		s, err := carry(t, t.Context(), works, targets, Options{})
		var step *StepError
		if !errors.As(err, &step) || step.Remedy != "turn it off and on again" {
			t.Errorf("got %#v", err)
		}
		for _, e := range s.events {
			if e.Error != "" && e.Remedy != step.Remedy {
				t.Errorf("%s does not tell the remedy", e.Type)
			}
		}
	})
}

func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		works, fakes, targets := world([]Phase[in]{phase("prepare"), phase("serve"), phase("join", "serve")}, "m=prepare,serve", "w=prepare,join", "late=serve", "hasty=prepare")
		fakes["m"].takes["prepare"] = 20 * time.Second
		fakes["hasty"].takes["prepare"], fakes["hasty"].gives = time.Hour, true
		fakes["late"].takes["serve"] = 5 * time.Second
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Second, func() { cancel(errors.New("interrupted by you")) })
		start := time.Now()
		s, err := carry(t, ctx, works, targets, Options{})
		if err == nil || err.Error() != "stopped: interrupted by you" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("returned after %s, the step under way takes 20s", took)
		}
		if fakes["m"].is["prepare"] != "yes" || fakes["m"].is["serve"] == "yes" {
			t.Errorf("m is %v, want the step under way finished and the next not begun", fakes["m"].is)
		}
		if got := s.story(TargetFailed); got != "" {
			t.Errorf("told as failures: %s", got)
		}
		wantTallies(t, s, Stopped, "m stopped 2: 1 changed 0 same 0 failed 1 blocked", "w stopped 2: 1 changed 0 same 0 failed 1 blocked",
			"late changed 1: 1 changed 0 same 0 failed 0 blocked", "hasty stopped 1: 0 changed 0 same 0 failed 1 blocked")
	})
}
