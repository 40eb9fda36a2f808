//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crashVar asks for all of the crash law instead of a sample of it: make e2e-crash.
const crashVar = "KUBEWRIGHT_CRASH"

func longForm() bool { return os.Getenv(crashVar) == "all" }

// TestCrashLaw kills whatever can be killed, whenever it can be: the installer, the agent, the connection, the host. Every time the same command, once
// more, has to end as one that nobody disturbed. Each kind of kill is a chain: a run continues the one before it, and is cut off a little later itself.
func TestCrashLaw(t *testing.T) {
	c := &crash{chance: rand.New(rand.NewPCG(1, 2))}
	bare(t)
	c.bare = look(t)
	c.proxy, c.through = proxied(t)
	fine := t.Run("nobody disturbs", c.undisturbed)
	if !fine {
		return
	}
	t.Run("installer at step boundaries", c.atEdges)
	if longForm() {
		t.Run("installer inside steps", c.insideSteps)
	}
	t.Run("installer told to stop", c.stops)
	t.Run("agent", c.agents)
	t.Run("connection", c.connections)
	t.Run("host", c.hosts)
	t.Run("reset", c.resets)
}

// crash is what an undisturbed run was like, and every disturbed one has to come to.
type crash struct {
	chance *rand.Rand
	bare   map[string][]string // the hosts before
	want   map[string][]string // and after it
	steps  []happening         // the steps that changed something, in the order in which they ended
	began  []edge              // and in the order in which they began

	proxy   *proxy         // before the first host's sshd
	through string         // the inventory by which it is reached through the proxy
	bytes   map[bool]int64 // that went to that host (true) and from it
}

// undisturbed learns what there is to disturb.
func (c *crash) undisturbed(t *testing.T) {
	began := map[edge]bool{}
	var order []edge
	c.proxy.set(cut{})
	l := ride(t, c.through, func(h happening) syscall.Signal {
		if !h.Ended {
			order = append(order, h.edge)
		} else if h.state == "changed" {
			c.steps = append(c.steps, h)
			at := h.edge
			at.Ended = false
			began[at] = true
		}
		return never
	})
	if l.code != 0 {
		t.Fatalf("exit %d\n%s", l.code, lastOf(l.stderr))
	}
	for _, e := range order {
		if began[e] {
			c.began = append(c.began, e)
		}
	}
	c.bytes = map[bool]int64{}
	for _, toHost := range []bool{true, false} {
		c.bytes[toHost], _ = c.proxy.passed(toHost)
	}
	c.want = digest(t)
	t.Logf("%d steps change something; it took %s", len(c.steps), l.took.Round(100*time.Millisecond))
}

// edges are all places at which an installation can be cut off between steps.
func (c *crash) edges() []edge {
	var all []edge
	for _, s := range c.steps {
		at := s.edge
		at.Ended = false
		all = append(all, at, s.edge)
	}
	return all
}

// sample is n of the values, evenly spread; all of them in the long form.
func sample[T any](all []T, n int) []T {
	if longForm() || len(all) <= n {
		return all
	}
	var some []T
	for i := range n {
		some = append(some, all[i*len(all)/n])
	}
	return some
}

// score counts cases of one kind: those that were tried, and those after which all was well.
type score struct {
	kind        string
	tried, well int
	fresh       int // tried since the last installation began
}

// try counts a case.
func (s *score) try() {
	s.tried++
	s.fresh++
}

// judge ends an installation: if the cluster is sound, all was well after every case in it.
func (s *score) judge(sound bool) {
	if sound {
		s.well += s.fresh
	}
	s.fresh = 0
}

func (s *score) tell(t *testing.T, of int) {
	t.Helper()
	line := fmt.Sprintf("crash law: %s: %d of %d", s.kind, s.well, of)
	fmt.Println(line)
	if s.well < of {
		t.Error(line)
	}
}

// atEdges kills the installer at the beginning and at the end of every step. A run that is killed at one edge may have passed another before it is dead;
// that one's turn comes with the next installation.
func (c *crash) atEdges(t *testing.T) {
	want := sample(c.edges(), 10)
	left := map[edge]bool{}
	for _, e := range want {
		left[e] = true
	}
	s := &score{kind: "installer at step boundaries"}
	for round := 1; len(left) > 0 && round <= 20; round++ {
		bare(t)
		before := len(left)
		keys := c.newKeys()
		for {
			var at edge
			l := ride(t, inventoryFile(), func(h happening) syscall.Signal {
				at = h.edge
				if left[at] {
					return syscall.SIGKILL
				}
				return never
			})
			keys.hold(t, at)
			if !l.killed {
				if !ended(t, l, "after kills at edges") {
					return
				}
				break
			}
			delete(left, at)
			s.try()
			if s.tried%25 == 0 {
				t.Logf("%d of %d", s.tried, len(want))
			}
		}
		s.judge(c.sound(t))
		t.Logf("installation %d: killed at %d edges", round, before-len(left))
	}
	for e := range left {
		t.Logf("never killed at %s", e)
	}
	s.tell(t, len(want))
}

// ended says whether a run that was not killed came to a good end.
func ended(t *testing.T, l leg, when string) bool {
	t.Helper()
	if l.code != 0 {
		t.Errorf("%s up ended with %d:\n%s", when, l.code, lastOf(l.stderr))
	}
	return l.code == 0
}

// insideSteps kills the installer some time after a step began and before it can have ended.
func (c *crash) insideSteps(t *testing.T) {
	const n = 40
	took := map[edge]time.Duration{}
	for _, s := range c.steps {
		at := s.edge
		at.Ended = false
		took[at] = s.took
	}
	long := slices.DeleteFunc(slices.Clone(c.began), func(e edge) bool { return took[e] < 5*time.Millisecond })
	delay := map[edge]time.Duration{}
	for len(delay) < min(n, len(long)) {
		e := long[c.chance.IntN(len(long))]
		delay[e] = time.Duration(c.chance.Float64() * float64(took[e]))
	}
	s := &score{kind: "installer inside steps"}
	of := len(delay)
	for round := 1; len(delay) > 0 && round <= 6; round++ {
		bare(t)
		keys := c.newKeys()
		for {
			var at edge
			l := ride(t, inventoryFile(), func(h happening) syscall.Signal {
				at = h.edge
				wait, ok := delay[at]
				if !ok {
					return never
				}
				time.Sleep(wait)
				return syscall.SIGKILL
			})
			keys.hold(t, at)
			if !l.killed {
				if !ended(t, l, "after kills inside steps") {
					return
				}
				break
			}
			t.Logf("killed %s after %s", at, delay[at].Round(time.Millisecond))
			delete(delay, at)
			s.try()
		}
		s.judge(c.sound(t))
	}
	s.tell(t, of)
}

// sound says whether the cluster is as an undisturbed run leaves it, whatever was missed before.
func (c *crash) sound(t *testing.T) bool {
	t.Helper()
	return t.Run("sound", func(t *testing.T) {
		c.undisturbedState(t)
		notRestarted(t)
	})
}

// settles is sound for hosts that were started anew in between: pods have been started again.
func (c *crash) settles(t *testing.T) bool {
	t.Helper()
	return t.Run("settles", c.undisturbedState)
}

// undisturbedState holds that nothing is left to do, and that the hosts are as an undisturbed run leaves them.
func (c *crash) undisturbedState(t *testing.T) {
	r := run(t, kubewright(bounded(t), "up"))
	if r.code != 0 || !strings.HasPrefix(r.stdout, "nothing to do") {
		t.Errorf("after the last up there is something left to do: exit %d\n%s%s", r.code, r.stdout, lastOf(r.stderr))
	}
	sameHosts(t, c.want, digest(t), "differs from what an undisturbed run leaves")
}

// bare takes whatever there is off the hosts.
func bare(t *testing.T) {
	t.Helper()
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
}

// keys remembers the authorities from when they are first seen: whatever is killed, they are never made anew.
type keys struct{ seen map[string]string }

func (c *crash) newKeys() *keys { return &keys{map[string]string{}} }

func (k *keys) hold(t *testing.T, after edge) {
	t.Helper()
	for _, h := range hosts {
		for _, dir := range []string{"/etc/kubernetes/pki", "/etc/kubernetes/pki/etcd", "/etc/kubewright/pki"} {
			for _, pattern := range []string{"*ca.crt", "*ca.key", "sa.key", "sa.pub"} {
				found, _ := filepath.Glob(rootOf(h) + dir + "/" + pattern)
				for _, file := range found {
					b, err := os.ReadFile(file)
					if err != nil {
						continue
					}
					if was, ok := k.seen[file]; ok && was != string(b) {
						t.Errorf("after the kill %s %s is another", after, strings.TrimPrefix(file, rootOf(h)))
					}
					k.seen[file] = string(b)
				}
			}
		}
	}
	for file := range maps.Keys(k.seen) {
		if _, err := os.Lstat(file); err != nil {
			t.Errorf("after the kill %s %s is gone", after, file)
			delete(k.seen, file)
		}
	}
}

// rootOf is a container host's root directory as the machine has it.
func rootOf(host string) string {
	return "/var/lib/kubewright-lab" + os.Getenv("KUBEWRIGHT_LAB") + "/hosts/" + host + "/root"
}
