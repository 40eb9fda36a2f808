package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"sync"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/pki"
	"github.com/kubewright/kubewright/preflight"
)

// fleet is the connections to a cluster's hosts and what goes over them. It is what the phases' questions are answered with.
type fleet struct {
	cluster *inventory.Cluster
	bundle  *bundle.Bundle    // nil where nothing is sent
	texts   map[string][]byte // what of the bundle is text for the cluster
	hosts   map[string]*member
	target  *addons.API     // the cluster itself, once it was asked for
	answers *phases.Answers // set before anything is applied
	signing chan struct{}   // one for each signature under way
}

// member is one host of the fleet.
type member struct {
	*agent.Session
	conn *host.Conn
	name string
	skew preflight.Skew // how far its clock is before ours
	left bool           // its agent lies in the state directory, perhaps only because of us
}

// Name makes a member an engine.Target.
func (m *member) Name() string { return m.name }

// foreign is the cluster that the host belongs to, where that is not this one.
func (m *member) foreign(c *inventory.Cluster) (other string, yes bool) {
	other = m.Facts().Cluster
	return other, other != "" && other != c.Metadata.Name
}

// How many handshakes and uploads go on at once. sshd drops unauthenticated connections beyond ten a host; the workstation's
// processor is what bounds the rest.
const (
	maxHandshakes = 32
	maxUploads    = 8
	maxSigning    = 32 // all of a cluster's nodes ask the one host that holds its authority
)

// connect reaches every host at the same time. With a holder it also takes every host's lock, and leaves the agent there for the next
// time; without one nothing is written on any disk. All failures are told together; on failure nothing stays open.
func connect(ctx context.Context, c *inventory.Cluster, b *bundle.Bundle, holder *agent.Holder) (*fleet, error) {
	f, err := connectTo(ctx, c, b, c.Spec.Hosts, holder != nil)
	if err == nil && holder != nil {
		err = f.lock(ctx, *holder, namesOf(c.Spec.Hosts))
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// connectSome is for those who make do with the hosts that can be reached: the fleet has them, and the error names the others. Like connect
// without a holder it writes nothing.
func connectSome(ctx context.Context, c *inventory.Cluster, b *bundle.Bundle) (*fleet, error) {
	return connectTo(ctx, c, b, c.Spec.Hosts, false)
}

func connectTo(ctx context.Context, c *inventory.Cluster, b *bundle.Bundle, hosts []inventory.Host, stay bool) (*fleet, error) {
	f := &fleet{cluster: c, bundle: b, hosts: map[string]*member{}, signing: make(chan struct{}, maxSigning)}
	bin, err := agentBinary()
	if err != nil {
		return f, err
	}
	if f.texts, err = addonTexts(c, b); err != nil {
		return f, err
	}
	limits := host.NewLimits(maxHandshakes, maxUploads)
	errs := make([]error, len(hosts))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			m, err := f.reach(ctx, h, bin, limits, stay)
			if err != nil {
				errs[i] = err
				return
			}
			mu.Lock()
			f.hosts[h.Name] = m
			mu.Unlock()
		})
	}
	wg.Wait()
	return f, errors.Join(errs...)
}

func (f *fleet) reach(ctx context.Context, h inventory.Host, bin host.AgentBinary, limits *host.Limits, stay bool) (*member, error) {
	conn, err := host.Dial(ctx, address(h), host.WithLimits(limits))
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	answer := func(ctx context.Context, q ops.Question) ([]byte, error) {
		if f.answers == nil {
			return nil, errors.New("nothing is being applied")
		}
		return f.answers.Answer(ctx, h.Name, q)
	}
	m := &member{conn: conn, name: h.Name, left: stay}
	if stay {
		m.Session, err = conn.Agent(ctx, bin, answer)
	} else {
		m.Session, m.left, err = conn.Look(ctx, bin, answer)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	// Somewhere between the question and now it was the time that the host says.
	took := time.Since(asked)
	m.skew = preflight.Skew{Ahead: time.Until(m.Facts().Now) + took/2, Within: took / 2}
	return m, nil
}

// parting is how long a host may take to forget us.
const parting = 3 * time.Second

func (m *member) close() {
	if m.left && m.Facts().Changes == 0 {
		// Who changed nothing leaves no trace. A host that has been changed since knows better, and one that is away cannot be helped.
		ctx, cancel := context.WithTimeout(context.Background(), parting)
		_ = m.Forget(ctx)
		cancel()
	}
	m.Session.Close()
	m.conn.Close()
}

func (f *fleet) close() {
	var wg sync.WaitGroup
	for _, m := range f.hosts {
		wg.Go(m.close)
	}
	wg.Wait()
}

func address(h inventory.Host) host.Address {
	return host.Address{
		Name: h.Name, Addr: h.SSH.Address, Port: h.SSH.Port, User: h.SSH.User,
		KeyFile: h.SSH.KeyFile, KnownHostsFile: h.SSH.KnownHostsFile, HostKeys: h.SSH.HostKeys,
	}
}

// newHolder says who we are to whoever finds the hosts locked.
func newHolder(c *inventory.Cluster) *agent.Holder {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	station, _ := os.Hostname()
	now := time.Now().UTC()
	return &agent.Holder{
		User: name, Workstation: station, PID: os.Getpid(), Since: now, Cluster: c.Metadata.Name,
		Run: fmt.Sprintf("%s-%d", now.Format("20060102-150405"), os.Getpid()),
	}
}

// facts are what the hosts said of themselves.
func (f *fleet) facts() map[string]agent.Facts {
	out := map[string]agent.Facts{}
	for name, m := range f.hosts {
		out[name] = m.Facts()
	}
	return out
}

// skews are how far the hosts' clocks are before ours.
func (f *fleet) skews() map[string]preflight.Skew {
	out := map[string]preflight.Skew{}
	for name, m := range f.hosts {
		out[name] = m.skew
	}
	return out
}

// targets are the hosts and the cluster itself.
func (f *fleet) targets() []engine.Target {
	var out []engine.Target
	for _, h := range f.cluster.Spec.Hosts {
		if m := f.hosts[h.Name]; m != nil {
			out = append(out, m)
		}
	}
	out = append(out, f.api())
	for _, a := range addons.Of(f.cluster) {
		out = append(out, f.api().Part(phases.AddonTarget(a.Name)))
	}
	return out
}

// api is the cluster as a target.
func (f *fleet) api() *addons.API {
	if f.target == nil {
		f.target = addons.NewAPI(phases.ClusterTarget, f.rest).Signed(func(ctx context.Context, csr []byte, r pki.Request) ([]byte, error) {
			holder, ok := phases.AuthorityHost(f.cluster, phases.KubernetesCA)
			if !ok {
				return nil, addons.ErrNoCluster
			}
			return f.Sign(ctx, holder.Name, phases.KubernetesCA, csr, r)
		})
	}
	return f.target
}

// member finds a connected host.
func (f *fleet) member(name string) (*member, error) {
	if m := f.hosts[name]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("%s is not connected", name)
}

// addonTexts are the bundle's files that the cluster's addons are made from. What the bundle does not have is told by who needs it.
func addonTexts(c *inventory.Cluster, b *bundle.Bundle) (map[string][]byte, error) {
	texts := map[string][]byte{}
	for _, a := range addons.Of(c) {
		for _, name := range a.Texts {
			if b == nil {
				continue
			}
			component, err := b.Lock.File(name)
			if err != nil {
				continue
			}
			r, err := b.Blob(component.Digest)
			if err != nil {
				return nil, err
			}
			texts[name], err = io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return texts, nil
}
