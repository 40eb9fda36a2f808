package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The survey's words on the wire, each with the token before it. A visitor says its own address, so that the listener knows who has been there
// however addresses are translated on the way, and says bye when it needs nothing more.
const (
	wordHello = "hello"
	wordBye   = "bye"
	wordBig   = "big"
	wordHeard = "heard"
)

// The share of the window in which tries are made: who is asked last must still find the others listening.
const trying = 0.7

// parallelTries bounds how many tries one host makes at once.
const parallelTries = 128

// crossings listens on the ports that peers need here, and tries those that this host needs there, until everybody has been served or the window
// closes.
func crossings(ctx context.Context, ask SurveyAsk) (opened []string, crossed []Crossed) {
	listening, shut := context.WithTimeout(ctx, ask.Window)
	defer shut()
	guests := newGuests(ask.Listen)
	opened = make([]string, len(ask.Listen))
	var doors sync.WaitGroup
	for i, o := range ask.Listen {
		closer, err := open(listening, ask, o, func(from string) { guests.leave(i, from) })
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			opened[i] = "taken"
		case err != nil:
			opened[i] = bareError(err)
		default:
			opened[i] = "open"
			doors.Go(func() { <-listening.Done(); closer.Close() })
			continue
		}
		guests.forget(i)
	}
	crossed = make([]Crossed, len(ask.Try))
	deadline, end := context.WithTimeout(ctx, time.Duration(float64(ask.Window)*trying))
	defer end()
	slots := make(chan struct{}, parallelTries)
	var tries sync.WaitGroup
	for i, c := range ask.Try {
		slots <- struct{}{}
		tries.Go(func() {
			defer func() { <-slots }()
			crossed[i] = cross(deadline, ask, c)
		})
	}
	tries.Wait()
	select {
	case <-guests.gone:
	case <-listening.Done():
	}
	shut()
	doors.Wait()
	return opened, crossed
}

// guests are who will come to the open ports; gone is closed when all have been.
type guests struct {
	mu    sync.Mutex
	await []map[string]bool
	gone  chan struct{}
}

func newGuests(all []Opening) *guests {
	g := &guests{gone: make(chan struct{})}
	for _, o := range all {
		from := map[string]bool{}
		for _, f := range o.From {
			from[f] = true
		}
		g.await = append(g.await, from)
	}
	g.check()
	return g
}

func (g *guests) leave(i int, from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.await[i], from)
	g.check()
}

func (g *guests) forget(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.await[i] = nil
	g.check()
}

func (g *guests) check() {
	for _, from := range g.await {
		if len(from) > 0 {
			return
		}
	}
	select {
	case <-g.gone:
	default:
		close(g.gone)
	}
}

// open listens on one port of the host's own address.
func open(ctx context.Context, ask SurveyAsk, o Opening, leave func(from string)) (io.Closer, error) {
	at := net.JoinHostPort(ask.Address, strconv.Itoa(o.Port))
	if o.Protocol == "udp" {
		conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", at)
		if err != nil {
			return nil, err
		}
		go answerPackets(conn, ask.Token, leave) // ends when the socket is closed
		return conn, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	go func() { // ends when the listener is closed
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer vanish(conn)
				_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
				buffer := make([]byte, 256)
				n, _ := conn.Read(buffer)
				if word, from := said(buffer[:n], ask.Token); word == wordHello {
					_, _ = conn.Write(saying(ask.Token, wordHeard, from))
					leave(from)
					_, _ = conn.Read(buffer) // the visitor goes first, once it has read that
				}
			}()
		}
	}()
	return l, nil
}

// vanish closes a connection without the minute in which the kernel would keep its port for late packets: whoever is to listen there next, and does
// not ask to share it, would be refused.
func vanish(conn net.Conn) {
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	conn.Close()
}

// answerPackets answers the survey's packets, and no others, each with one that is no longer.
func answerPackets(conn net.PacketConn, token string, leave func(from string)) {
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		switch word, rest := said(buffer[:n], token); word {
		case wordHello:
			_, _ = conn.WriteTo(saying(token, wordHeard, rest), from)
		case wordBig:
			_, _ = conn.WriteTo(saying(token, wordBig, strconv.Itoa(n)), from)
		case wordBye:
			leave(rest)
		}
	}
}

func saying(token, word, rest string) []byte { return []byte(token + " " + word + " " + rest + "\n") }

// said takes a message apart; without the token it is not ours.
func said(message []byte, token string) (word, rest string) {
	line, _, _ := strings.Cut(string(message), "\n")
	f := strings.Fields(line)
	if len(f) < 2 || token == "" || f[0] != token {
		return "", ""
	}
	if len(f) > 2 {
		rest = f[2]
	}
	return f[1], rest
}

// cross tries one port until it answers or time is up. Who refuses may not listen yet, so that is no last word.
func cross(ctx context.Context, ask SurveyAsk, c Crossing) Crossed {
	last := Crossed{State: CrossTimeout}
	for wait := 15 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		attempt, cancel := context.WithTimeout(ctx, 600*time.Millisecond)
		var got Crossed
		if c.Protocol == "udp" {
			got = crossPacket(attempt, ask, c)
		} else {
			got = crossStream(attempt, ask, c)
		}
		cancel()
		if got.State == CrossOK || got.State == CrossOther || got.State == CrossFailed {
			return got // waiting would change none of them
		}
		// Silence says less than a refusal, which hosts give only now and then (icmp_ratelimit).
		if got.State != CrossTimeout {
			last = got
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(wait):
		}
	}
}

func dialer(ask SurveyAsk, protocol string) *net.Dialer {
	d := &net.Dialer{}
	if ip := net.ParseIP(ask.Address); ip != nil {
		// The way that matters is from the address by which the cluster knows this host.
		if protocol == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: ip}
		} else {
			d.LocalAddr = &net.TCPAddr{IP: ip}
		}
	}
	return d
}

func crossStream(ctx context.Context, ask SurveyAsk, c Crossing) Crossed {
	conn, err := dialer(ask, "tcp").DialContext(ctx, "tcp", net.JoinHostPort(c.To, strconv.Itoa(c.Port)))
	if err != nil {
		return failedTry(err)
	}
	defer vanish(conn)
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write(saying(ask.Token, wordHello, ask.Address)); err != nil {
		return Crossed{State: CrossOther}
	}
	buffer := make([]byte, 256)
	n, _ := conn.Read(buffer)
	if word, _ := said(buffer[:n], ask.Token); word == wordHeard {
		return Crossed{State: CrossOK}
	}
	return Crossed{State: CrossOther}
}

func crossPacket(ctx context.Context, ask SurveyAsk, c Crossing) Crossed {
	conn, err := dialer(ask, "udp").DialContext(ctx, "udp", net.JoinHostPort(c.To, strconv.Itoa(c.Port)))
	if err != nil {
		return failedTry(err)
	}
	defer conn.Close()
	buffer := make([]byte, 256)
	for wait := 20 * time.Millisecond; ctx.Err() == nil; wait *= 2 {
		if _, err := conn.Write(saying(ask.Token, wordHello, ask.Address)); err != nil {
			return failedTry(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		n, err := conn.Read(buffer)
		if err != nil && !errors.Is(err, syscall.ETIMEDOUT) && !isTimeout(err) {
			return failedTry(err)
		}
		if word, _ := said(buffer[:n], ask.Token); word == wordHeard {
			got := Crossed{State: CrossOK}
			if c.Big {
				got.MTU, got.Passed = largest(conn.(*net.UDPConn), ask.Token)
			}
			for range 3 { // it may get lost
				_, _ = conn.Write(saying(ask.Token, wordBye, ask.Address))
			}
			return got
		}
	}
	return Crossed{State: CrossTimeout}
}

// sizes are the packets that are tried below an interface's own: what tunnels and providers leave of it.
var sizes = []int{8951, 8500, 4000, 1500, 1492, 1480, 1476, 1472, 1460, 1450, 1446, 1440, 1430, 1420, 1412, 1410, 1400, 1392, 1390, 1380, 1370, 1360, 1350, 1320, 1300, 1280, 1200, 1000, 576}

// maxPacket is the largest that IPv4 has a length for; the loopback's own is longer.
const maxPacket = 65535

// headers are those of IPv4 and UDP.
const headers = 20 + 8

// largest sends packets that no router may cut up, the interface's largest first, and says which came through. Peers that only think they can
// send so much are the black hole that overlays fall into: small packets pass, and large ones vanish.
func largest(conn *net.UDPConn, token string) (mtu, passed int) {
	mtu = min(mtuOf(conn.LocalAddr().(*net.UDPAddr).IP), maxPacket)
	raw, err := conn.SyscallConn()
	if mtu == 0 || err != nil {
		return 0, 0
	}
	var refused error
	if err := raw.Control(func(fd uintptr) {
		refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	}); err != nil || refused != nil {
		return 0, 0
	}
	buffer := make([]byte, 256)
	listen := func(until time.Time, enough int) {
		for passed < enough {
			_ = conn.SetReadDeadline(until)
			n, err := conn.Read(buffer)
			if err != nil && isTimeout(err) {
				return
			}
			if word, rest := said(buffer[:n], token); word == wordBig {
				if size, _ := strconv.Atoi(rest); size+headers > passed && size+headers <= mtu {
					passed = size + headers
				}
			}
			if time.Now().After(until) {
				return
			}
		}
	}
	send := func(size int) {
		packet := make([]byte, size-headers)
		copy(packet, saying(token, wordBig, "x"))
		_, _ = conn.Write(packet)
	}
	for range 3 {
		send(mtu)
		if listen(time.Now().Add(80*time.Millisecond), mtu); passed == mtu {
			return mtu, passed
		}
	}
	for _, size := range sizes {
		if size < mtu {
			send(size)
		}
	}
	listen(time.Now().Add(200*time.Millisecond), mtu)
	return mtu, passed
}

// mtuOf is that of the interface which has the address; the loopback has all of its network.
func mtuOf(ip net.IP) int {
	links, _ := net.Interfaces()
	for _, l := range links {
		addrs, _ := l.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && (n.IP.Equal(ip) || ip.IsLoopback() && n.Contains(ip)) {
				return l.MTU
			}
		}
	}
	return 0
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// failedTry sorts what a socket says.
func failedTry(err error) Crossed {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Crossed{State: CrossRefused}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return Crossed{State: CrossUnreachable, Detail: bareError(err)}
	case isTimeout(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Crossed{State: CrossTimeout}
	}
	return Crossed{State: CrossFailed, Detail: bareError(err)}
}

// bareError is the system's own word for it.
func bareError(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return clip(fmt.Sprint(err), maxName)
}
