//go:build e2e

package e2e

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// proxy stands between the installer and a host's sshd and cuts the connection after so many bytes.
type proxy struct {
	addr string // where it listens
	to   string

	mu    sync.Mutex
	cut   cut
	bytes map[bool]int64 // that went through since it was set, by direction
	done  bool           // the cut was made
}

// cut says where and how a connection is cut: after n bytes to the host, or from it.
type cut struct {
	after  int64 // 0: never
	toHost bool
	how    string // "fin", "rst" or "blackhole"
}

// newProxy listens in the lab's network.
func newProxy(t *testing.T, listen, to string) *proxy {
	t.Helper()
	p := &proxy{to: to, bytes: map[bool]int64{}}
	var l net.Listener
	err := inLabNet(func() (err error) { l, err = net.Listen("tcp", listen); return err })
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { p.serve(near.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { l.Close() })
	return p
}

// inLabNet calls f on a thread in the namespace that the hosts can be reached from. A socket stays where it was made.
func inLabNet(f func() error) error {
	ns, err := os.Open("/run/netns/kwlab" + os.Getenv("KUBEWRIGHT_LAB"))
	if err != nil {
		return err
	}
	defer ns.Close()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer back.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if unix.Setns(int(back.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread() // otherwise the thread ends with its goroutine
	}
	return err
}

// set says what happens to the connections from now on, and forgets what was counted.
func (p *proxy) set(c cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.done = c, false
	clear(p.bytes)
}

// passed is how much went through, in a direction, and whether the cut was made.
func (p *proxy) passed(toHost bool) (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes[toHost], p.done
}

func (p *proxy) count(toHost bool) int64 {
	n, _ := p.passed(toHost)
	return n
}

// allow counts bytes about to pass, and says how many may.
func (p *proxy) allow(n int, toHost bool) (may int, how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return 0, p.cut.how // of other connections, too: the cable is cut
	}
	was := p.bytes[toHost]
	p.bytes[toHost] += int64(n)
	if p.cut.after > 0 && p.cut.toHost == toHost && p.bytes[toHost] >= p.cut.after {
		p.done = true
		return int(p.cut.after - was), p.cut.how
	}
	return n, ""
}

func (p *proxy) serve(near *net.TCPConn) {
	var far *net.TCPConn
	err := inLabNet(func() error {
		c, err := net.DialTimeout("tcp", p.to, 5*time.Second)
		if err == nil {
			far = c.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		near.Close()
		return
	}
	end := sync.OnceFunc(func() { near.Close(); far.Close() })
	defer end()
	var both sync.WaitGroup
	both.Go(func() { p.pump(near, far, true, end) })
	both.Go(func() { p.pump(far, near, false, end) })
	both.Wait()
}

// pump carries bytes one way until an end or the cut.
func (p *proxy) pump(from, to *net.TCPConn, toHost bool, end func()) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		may, how := p.allow(n, toHost)
		if _, err := to.Write(buf[:max(0, min(may, n))]); err != nil {
			end()
			return
		}
		switch how {
		case "fin":
			end()
			return
		case "rst":
			_ = errors.Join(from.SetLinger(0), to.SetLinger(0))
			end()
			return
		case "blackhole": // nothing passes any more, and nobody is told
			time.Sleep(blackhole)
			end()
			return
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
	}
}

// blackhole is how long a connection stays open through which nothing passes; both ends have given it up by then.
const blackhole = 100 * time.Second
