//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// proxied puts a proxy before the first host's sshd, and makes an inventory by which the host is reached through it.
func proxied(t *testing.T) (*proxy, string) {
	t.Helper()
	p := newProxy(t, gateway()+":0", fmt.Sprintf("%s:22", cluster.Spec.Hosts[0].Address))
	_, port, _ := strings.Cut(p.addr, ":")
	return p, inventoryWith(t, func(s string) string { // of the first host
		return replaceFirst(s, `hostKeys:`, "address: "+gateway()+"\n        port: "+port+"\n        hostKeys:")
	})
}

// sweep is cuts of one kind in one direction.
type sweep struct {
	toHost bool
	how    string
	points int
}

func (w sweep) String() string {
	if w.toHost {
		return w.how + ", to the host"
	}
	return w.how + ", from the host"
}

// connections cuts the connection to a host after so many bytes to it or from it: closed, reset, or with nothing told to anybody. The runs of a sweep
// continue one another and are all cut off, a little later each time.
func (c *crash) connections(t *testing.T) {
	sweeps := []sweep{{true, "fin", 20}, {true, "rst", 20}, {false, "fin", 20}, {false, "rst", 20}, {true, "blackhole", 3}, {false, "blackhole", 3}}
	if !longForm() {
		sweeps = []sweep{{true, "fin", 2}, {false, "rst", 2}}
	}
	s, made := &score{kind: "connection"}, 0
	for i, w := range sweeps {
		if longForm() || i == 0 {
			bare(t)
		}
		for _, n := range spread(c.bytes[w.toHost], w.points) {
			c.proxy.set(cut{after: n, toHost: w.toHost, how: w.how})
			l := up(t, c.through)
			if _, cut := c.proxy.passed(w.toHost); !cut {
				// What the runs before it did is not sent again: this one came to its end before it was to be cut.
				if !ended(t, l, "before it could be cut") {
					return
				}
				t.Logf("%s after %d bytes: %d were enough", w, n, c.proxy.count(w.toHost))
				continue
			}
			made++
			if c.told(t, l, cluster.Spec.Hosts[0].Name, fmt.Sprintf("cut (%s) after %d of %d bytes", w, n, c.bytes[w.toHost])) {
				s.try()
			}
			if l.took > 2*time.Minute {
				t.Errorf("a run whose connection was cut ended after %s only", l.took)
			}
		}
		if longForm() || i == len(sweeps)-1 {
			c.proxy.set(cut{})
			ended(t, up(t, c.through), "after cuts of the connection")
			s.judge(c.sound(t))
		}
	}
	s.tell(t, made)
}

// up runs up with an inventory, to its end.
func up(t *testing.T, file string) leg {
	t.Helper()
	return goOn(t, inLab(bounded(t), "kubewright", "up", "-f", file), nil)
}

// spread are n numbers up to total, each so many times the one before.
func spread(total int64, n int) []int64 {
	const first = 200 // within the first words of SSH
	var out []int64
	for i := range n {
		at := int64(first * math.Pow(float64(total)*0.98/first, float64(i+1)/float64(n)))
		out = append(out, at)
	}
	return out
}

// gateway is the address of the lab's bridge, the first that no host has.
func gateway() string {
	taken := map[string]bool{}
	for _, h := range cluster.Spec.Hosts {
		taken[h.Address.String()] = true
	}
	a := cluster.Spec.Hosts[0].Address.As4()
	for i := byte(1); ; i++ {
		a[3] = i
		if s := fmt.Sprintf("%d.%d.%d.%d", a[0], a[1], a[2], a[3]); !taken[s] {
			return s
		}
	}
}
