//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubewright/kubewright/lab"
)

// stops tells the installer to stop, as a person, a service manager or a terminal that is closed does, at the beginning of a step. It ends the step that it
// is at, says how to go on, and has an exit code of its own for it.
func (c *crash) stops(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	n := len(signals)
	if longForm() {
		n *= 5
	}
	left := map[edge]syscall.Signal{}
	for i, j := range c.chance.Perm(len(c.began))[:n] {
		left[c.began[j]] = signals[i%len(signals)]
	}
	s := &score{kind: "installer told to stop"}
	for round := 1; len(left) > 0 && round <= 4; round++ {
		bare(t)
		keys := c.newKeys()
		for {
			var at edge
			l := ride(t, inventoryFile(), func(h happening) syscall.Signal {
				at = h.edge
				return left[at]
			})
			keys.hold(t, at)
			if !l.killed {
				if !ended(t, l, "after it was told to stop") {
					return
				}
				break
			}
			if l.code != 130 || !strings.Contains(l.stderr, "run the same command again") || l.after > 30*time.Second {
				t.Errorf("after %s %s: exit %d after %s:\n%s", left[at], at, l.code, l.after, lastOf(l.stderr))
			} else {
				s.try()
			}
			t.Logf("%s %s: exit %d after %s", left[at], at, l.code, l.after.Round(10*time.Millisecond))
			delete(left, at)
		}
		s.judge(c.sound(t))
	}
	s.tell(t, n)
}

// agents kills the agent of a host at the beginning of a step there. The run says so and ends; the next one starts another agent.
func (c *crash) agents(t *testing.T) {
	on := slices.DeleteFunc(slices.Clone(c.began), func(e edge) bool { return !slices.Contains(hosts, e.Target) })
	n := 2
	if longForm() {
		n = 20
	}
	var want []edge
	for _, i := range c.chance.Perm(len(on))[:min(n, len(on))] {
		want = append(want, on[i])
	}
	s := &score{kind: "agent"}
	left := map[edge]bool{}
	for _, e := range want {
		left[e] = true
	}
	for round := 1; len(left) > 0 && round <= 6; round++ {
		bare(t)
		keys := c.newKeys()
		for done := false; !done; {
			var at edge
			l := ride(t, inventoryFile(), func(h happening) syscall.Signal {
				if left[h.edge] && at == (edge{}) && killAgent(t, h.Target) {
					at = h.edge
				}
				return never
			})
			if at == (edge{}) {
				if !ended(t, l, "after kills of the agent") {
					return
				}
				done = true
				continue
			}
			delete(left, at)
			keys.hold(t, at)
			if c.told(t, l, at.Target, fmt.Sprintf("the agent was killed %s", at)) {
				s.try()
			}
		}
		s.judge(c.sound(t))
	}
	s.tell(t, len(want))
}

// told holds that a run that lost a host ended soon, with the right exit code, and said which host and what to do.
func (c *crash) told(t *testing.T, l leg, host, when string) bool {
	t.Helper()
	fine := true
	miss := func(format string, args ...any) {
		fine = false
		t.Errorf("%s: %s\n%s", when, fmt.Sprintf(format, args...), lastOf(l.stderr))
	}
	switch l.code {
	case 0: // it came too late to matter
		return true
	case 4, 5:
		if cause(l.stderr) == "no cause was told" || !strings.Contains(l.stderr, "run the same command again") {
			miss("it does not say why, or what to do")
		}
	default:
		miss("exit %d, want 4 or 5", l.code)
	}
	if !strings.Contains(l.stderr, host) {
		miss("%s is not named", host)
	}
	if strings.Contains(l.stderr, "goroutine ") || strings.Contains(l.stderr, "panic") {
		miss("a stack trace is shown")
	}
	t.Logf("%s: exit %d after %s: %s", when, l.code, l.took.Round(100*time.Millisecond), cause(l.stderr))
	return fine
}

// cause is what a failed run said of its failure first.
func cause(stderr string) string {
	for line := range strings.Lines(stderr) {
		if strings.Contains(line, "failed: ") || strings.HasPrefix(line, "error: ") {
			return strings.TrimSpace(line)
		}
	}
	return "no cause was told"
}

// killAgent kills the agents on a host, whose processes the machine sees as its own.
func killAgent(t *testing.T, host string) bool {
	t.Helper()
	found := false
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, comm := range comms {
		dir := filepath.Dir(comm)
		name, err := os.ReadFile(comm)
		if err != nil || strings.TrimSpace(string(name)) != "kubewright-agent"[:15] {
			continue
		}
		cgroup, err := os.ReadFile(dir + "/cgroup")
		if err != nil || !strings.Contains(string(cgroup), "/kwlab"+os.Getenv("KUBEWRIGHT_LAB")+"-"+host+"/") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
			found = true
		}
	}
	return found
}

// hosts takes the power from a host in the middle of a run and gives it back: what was only in its memory is made again. In the end it does so to a
// finished cluster, which comes back by itself.
func (c *crash) hosts(t *testing.T) {
	// One step of every phase that is long enough to be hit.
	var want []edge
	for _, h := range hosts {
		seen := map[string]bool{}
		for _, e := range c.began {
			if e.Target == h && !seen[e.Phase] {
				seen[e.Phase] = true
				want = append(want, e)
			}
		}
	}
	if !longForm() {
		want = nil
		must(t, kubewright(bounded(t), "up"))
	}
	left := map[edge]bool{}
	for _, e := range want {
		left[e] = true
	}
	s := &score{kind: "host"}
	for round := 1; len(left) > 0 && round <= 4; round++ {
		bare(t)
		keys := c.newKeys()
		for done := false; !done; {
			var at edge
			var off sync.WaitGroup
			l := ride(t, inventoryFile(), func(h happening) syscall.Signal {
				if left[h.edge] && at == (edge{}) {
					at = h.edge
					off.Go(func() { restart(t, at.Target) })
				}
				return never
			})
			off.Wait()
			if at == (edge{}) {
				if !ended(t, l, "after reboots") {
					return
				}
				done = true
				continue
			}
			delete(left, at)
			keys.hold(t, at)
			if c.told(t, l, at.Target, fmt.Sprintf("the host lost its power %s", at)) {
				s.try()
			}
		}
		s.judge(c.settles(t))
	}
	if longForm() {
		s.tell(t, len(want))
	}

	t.Run("all hosts after success", func(t *testing.T) {
		began := time.Now()
		var all sync.WaitGroup
		for _, h := range hosts {
			all.Go(func() { restart(t, h) })
		}
		all.Wait()
		up := time.Since(began)
		comesBack(t)
		t.Logf("hosts were back after %s, nodes Ready after %s", up.Round(100*time.Millisecond), time.Since(began).Round(100*time.Millisecond))
		works(t, time.Minute)
		upAgain(t)
	})
}

var restarting sync.Mutex // a lab is changed by one at a time

func restart(t *testing.T, host string) {
	restarting.Lock()
	defer restarting.Unlock()
	if err := lab.Restart(bounded(t), host); err != nil {
		t.Errorf("restart %s: %v", host, err)
	}
}

// comesBack waits until every node is Ready without anybody's help.
func comesBack(t *testing.T) {
	t.Helper()
	// Right after the start the API says of every node what it said last.
	for end := time.Now().Add(patience); ; time.Sleep(time.Second) {
		r := run(t, inLab(bounded(t), "kubectl", "--request-timeout=5s", "-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=10s"))
		if r.code == 0 {
			r = run(t, inLab(bounded(t), "kubectl", "wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s"))
		}
		if r.code == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the cluster did not come back: %s%s", r.stdout, r.stderr)
		}
	}
}

// resets kills reset at moments of chance, and repeats it.
func (c *crash) resets(t *testing.T) {
	rounds, n := 1, 2
	if longForm() {
		rounds, n = 3, 8
	}
	s := &score{kind: "reset"}
	for range rounds {
		must(t, kubewright(bounded(t), "up"))
		for range n {
			kill := make(chan syscall.Signal, 1)
			after := time.Duration(300+c.chance.IntN(4000)) * time.Millisecond
			stop := time.AfterFunc(after, func() { kill <- syscall.SIGKILL })
			l := goOn(t, kubewright(bounded(t), "reset", "--yes=lab"), kill)
			stop.Stop()
			if !l.killed {
				ended(t, l, "after kills of reset")
				break
			}
			s.try()
		}
		bare(t)
		s.judge(t.Run("bare", func(t *testing.T) { sameHosts(t, c.bare, look(t), "reset that was killed left something") }))
	}
	s.tell(t, s.tried)
	if s.tried < rounds {
		t.Errorf("reset was killed %d times only", s.tried)
	}
}
