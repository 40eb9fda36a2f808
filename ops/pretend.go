package ops

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Pretend is a machine for tests: a directory for a root, a table of units, a few tables for a kernel. It runs no program and reaches no server that it
// was not told about, and refuses the rest loudly. Fields are set before it is used.
type Pretend struct {
	Clock  time.Time                                       // what time it is; zero is the true time
	Answer func(context.Context, Question) ([]byte, error) // answers questions; nil refuses all

	root string

	mu       sync.Mutex
	units    map[string]*pretendUnit
	programs map[string]func(argv []string) ([]byte, error)
	servers  map[string]http.Handler
	owners   map[uint64][2]int
	firewall map[FirewallEntry]bool
	links    []string
	routes   []string
	tables   []string
	rulesets map[string]ruleset
	handles  uint64
	ipvs     bool
	ran      []string
	changes  int
	failAt   int
}

// ErrPretend is what a machine that was told to fail returns.
var ErrPretend = errors.New("the machine was told to fail here")

// bare is the directories that every machine has.
var bare = []string{"/etc/systemd/system", "/opt", "/run", "/usr/local/bin", "/usr/local/sbin", "/var/lib"}

// NewPretend makes a machine whose root is a directory of this one.
func NewPretend(root string) *Pretend {
	p := &Pretend{
		root: root, units: map[string]*pretendUnit{}, programs: map[string]func([]string) ([]byte, error){},
		servers: map[string]http.Handler{}, owners: map[uint64][2]int{}, firewall: map[FirewallEntry]bool{},
	}
	p.Handle("modprobe", p.modprobe)
	p.Handle("ctr", p.ctr())
	p.Handle("nft", p.nft)
	p.Handle("ufw", p.ufw)
	for _, dir := range bare {
		if err := os.MkdirAll(p.Path(dir), 0o755); err != nil {
			panic(err) // a test cannot go on without its machine
		}
	}
	return p
}

// Path is below the root whatever the path is.
func (p *Pretend) Path(name string) string { return filepath.Join(p.root, path.Join("/", name)) }

// StateDir is the same as on a real machine.
func (p *Pretend) StateDir() string { return StateDir }

// Now is Clock, or the true time.
func (p *Pretend) Now() time.Time {
	if p.Clock.IsZero() {
		return time.Now()
	}
	return p.Clock
}

// Ask has Answer answer.
func (p *Pretend) Ask(ctx context.Context, q Question) ([]byte, error) {
	if p.Answer == nil {
		return nil, fmt.Errorf("nobody can answer the question %s %s", q.Kind, q.Name)
	}
	return p.Answer(ctx, q)
}

// FailAt has the n-th change from now on fail before anything is done, and everything after it; 0 ends that.
func (p *Pretend) FailAt(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failAt, p.changes = n, 0
}

// Changes counts the changes since the machine was made or FailAt was called.
func (p *Pretend) Changes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changes
}

// Changing counts a change, and refuses it when the time to fail has come.
func (p *Pretend) Changing(what string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes++
	if p.failAt > 0 && p.changes >= p.failAt {
		return fmt.Errorf("%s: %w", what, ErrPretend)
	}
	return nil
}

// Handle says what the program with this name does. The machine has modprobe and ctr to begin with.
func (p *Pretend) Handle(name string, do func(argv []string) ([]byte, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.programs[name] = do
}

// Run runs what Handle was told of, and refuses every other program.
func (p *Pretend) Run(ctx context.Context, argv ...string) ([]byte, error) {
	p.mu.Lock()
	p.ran = append(p.ran, strings.Join(argv, " "))
	do := p.programs[path.Base(argv[0])]
	p.mu.Unlock()
	if do == nil {
		return nil, fmt.Errorf("the pretend machine was not told what %q does", argv)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return do(argv)
}

// Ran lists what was run, in order.
func (p *Pretend) Ran() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.ran...)
}

// Serve has a handler answer requests to URLs that begin with prefix. To every other server the connection is refused.
func (p *Pretend) Serve(prefix string, h http.Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers[prefix] = h
}

// Transport leads to the servers that Serve was told of.
func (p *Pretend) Transport(*tls.Config) http.RoundTripper { return pretendTransport{p} }

type pretendTransport struct{ machine *Pretend }

func (t pretendTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.machine.mu.Lock()
	var handler http.Handler
	longest := -1
	for prefix, h := range t.machine.servers {
		if strings.HasPrefix(r.URL.String(), prefix) && len(prefix) > longest {
			handler, longest = h, len(prefix)
		}
	}
	t.machine.mu.Unlock()
	if handler == nil {
		return nil, syscall.ECONNREFUSED
	}
	answer := &pretendAnswer{header: http.Header{}, status: http.StatusOK}
	handler.ServeHTTP(answer, r)
	if answer.status == refused {
		return nil, syscall.ECONNREFUSED
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", answer.status, http.StatusText(answer.status)), StatusCode: answer.status,
		Header: answer.header, Body: io.NopCloser(&answer.body), Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// refused is the status with which a handler says that there is no server now.
const refused = -1

type pretendAnswer struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (a *pretendAnswer) Header() http.Header         { return a.header }
func (a *pretendAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }
func (a *pretendAnswer) WriteHeader(status int)      { a.status = status }

// Chown lets tests without root give files away: the process' own user stands for root, and other owners are written down.
func (p *Pretend) Chown(real string, uid, gid int) error {
	if os.Getuid() == 0 {
		return os.Lchown(real, uid, gid)
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(real, &st); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if uid == 0 && gid == 0 {
		delete(p.owners, st.Ino)
	} else {
		p.owners[st.Ino] = [2]int{uid, gid}
	}
	return nil
}

// OwnerOf is the other side of Chown.
func (p *Pretend) OwnerOf(st *syscall.Stat_t) (uid, gid int) {
	if os.Getuid() == 0 {
		return int(st.Uid), int(st.Gid)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.owners[st.Ino]
	return o[0], o[1]
}
