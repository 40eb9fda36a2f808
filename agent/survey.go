package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// SurveyAsk is what hosts find out together, or only by trying: each is sent its part at the same moment, and answers once. Nothing is written
// that a directory would show, and what is opened is closed before the answer.
type SurveyAsk struct {
	// Window is how long a host listens and tries; it ends earlier where everybody who was to come has come.
	Window  time.Duration `json:"window"`
	Address string        `json:"address,omitempty"` // the host's own, which it listens on
	Token   string        `json:"token,omitempty"`   // tells this survey's packets from all others
	Listen  []Opening     `json:"listen,omitempty"`
	Try     []Crossing    `json:"try,omitempty"`

	Names    []string      `json:"names,omitempty"`    // to be resolved
	Fsync    string        `json:"fsync,omitempty"`    // a directory whose disk is timed
	FsyncFor time.Duration `json:"fsyncFor,omitempty"` // for how long
	Registry *RegistryAsk  `json:"registry,omitempty"`
	Mounts   bool          `json:"mounts,omitempty"` // whether overlay mounts work
	Trial    string        `json:"trial,omitempty"`  // an image that the runtime has, to be run for a moment
}

// Opening is a port to listen on for a while, and who will come to it.
type Opening struct {
	Port     int      `json:"port"`
	Protocol string   `json:"protocol"` // tcp or udp
	From     []string `json:"from,omitempty"`
}

// Crossing is a port of another host that must be reached. With Big, also by the largest packet that the interface sends.
type Crossing struct {
	To       string `json:"to"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	Big      bool   `json:"big,omitempty"`
}

// Survey is a host's answer. Its lists are as long as those that were asked, and in their order.
type Survey struct {
	Heard time.Time `json:"heard"` // when the question came, by the host's clock
	Said  time.Time `json:"said"`  // when the answer left

	Opened  []string   `json:"opened,omitempty"` // for each port to listen on: open, taken, or why not
	Crossed []Crossed  `json:"crossed,omitempty"`
	Names   []Resolved `json:"names,omitempty"`
	Fsync   *Fsync     `json:"fsync,omitempty"`
	Pulled  []string   `json:"pulled,omitempty"` // for each manifest: ok, or why not
	Overlay string     `json:"overlay,omitempty"`
	Trial   string     `json:"trial,omitempty"` // ok, or why not
}

// The ways in which a try ends.
const (
	CrossOK          = "ok"          // the survey's listener answered
	CrossOther       = "other"       // somebody answered, but not the survey's listener
	CrossRefused     = "refused"     // by the host: nobody listens, or a firewall says so
	CrossUnreachable = "unreachable" // a router or a firewall says so
	CrossTimeout     = "timeout"     // no answer
	CrossFailed      = "failed"      // the host could not even try
)

// Crossed is how a try ended.
type Crossed struct {
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
	MTU    int    `json:"mtu,omitempty"`    // of the interface it went out by
	Passed int    `json:"passed,omitempty"` // the largest packet that came through, headers included
}

// Resolved is what a name leads to.
type Resolved struct {
	Addresses []string `json:"addresses,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// What one survey may ask for.
const (
	maxWindow    = 10 * time.Second
	maxFsync     = 10 * time.Second
	maxOpenings  = 64
	maxCrossings = 20000
	maxNames     = 64
	maxPulls     = 200
)

func (a SurveyAsk) check() error {
	if a.Window > maxWindow || a.FsyncFor > maxFsync || len(a.Listen) > maxOpenings || len(a.Try) > maxCrossings || len(a.Names) > maxNames ||
		a.Registry != nil && len(a.Registry.Manifests) > maxPulls {
		return errors.New("the survey asks for more than a host does")
	}
	return nil
}

// survey does what was asked, each part beside the others.
func (s *server) survey(ctx context.Context, ask SurveyAsk) (*Survey, error) {
	out := &Survey{Heard: s.m.Now()}
	if err := ask.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxWindow+maxFsync)
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { out.Opened, out.Crossed = crossings(ctx, ask) })
	parts.Go(func() { out.Names = resolve(ctx, ask.Names) })
	if ask.Fsync != "" {
		parts.Go(func() { out.Fsync = timeFsync(ctx, s.m.Path(ask.Fsync), ask.FsyncFor) })
	}
	if ask.Registry != nil {
		parts.Go(func() { out.Pulled = tryPulls(ctx, s.m, *ask.Registry) })
	}
	if ask.Mounts {
		parts.Go(func() { out.Overlay = tryOverlay(s.m) })
	}
	if ask.Trial != "" {
		parts.Go(func() { out.Trial = tryContainer(ctx, s.m, ask.Trial) })
	}
	parts.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	out.Said = s.m.Now()
	return out, nil
}

// Survey has the host try what can only be known by trying. It changes nothing and needs no lock. When the question was sent and the answer came, by
// this side's clock, is told as well: what the host's clock says in between tells how far apart the two are.
func (s *Session) Survey(ctx context.Context, ask SurveyAsk) (answer *Survey, sent, came time.Time, err error) {
	if err := ask.check(); err != nil {
		return nil, sent, came, err
	}
	sent = time.Now()
	r, err := s.call(ctx, call{Do: doSurvey, Survey: &ask}, nil)
	came = time.Now()
	if err != nil {
		return nil, sent, came, err
	}
	if r.Survey == nil {
		return nil, sent, came, errors.New("the agent answered the survey with nothing")
	}
	return r.Survey, sent, came, r.Survey.believe(ask)
}

// believe takes an answer for what it is: something that a host says. What does not fit the question is refused, and what is shown is bounded and
// cleaned.
func (v *Survey) believe(ask SurveyAsk) error {
	pulls := 0
	if ask.Registry != nil {
		pulls = len(ask.Registry.Manifests)
	}
	for _, x := range []struct {
		what       string
		want, have int
	}{
		{"ports to listen on", len(ask.Listen), len(v.Opened)}, {"ports to reach", len(ask.Try), len(v.Crossed)},
		{"names", len(ask.Names), len(v.Names)}, {"manifests", pulls, len(v.Pulled)},
	} {
		if x.want != x.have {
			return fmt.Errorf("the agent was asked about %d %s and answered about %d", x.want, x.what, x.have)
		}
	}
	if v.Heard.IsZero() || v.Said.Before(v.Heard) {
		return errors.New("the agent says that it answered before it was asked")
	}
	for i := range v.Opened {
		v.Opened[i] = clean(v.Opened[i], maxName)
	}
	for i := range v.Crossed {
		c := &v.Crossed[i]
		c.State, c.Detail = clean(c.State, maxName), clean(c.Detail, maxName)
	}
	for i := range v.Names {
		n := &v.Names[i]
		n.Addresses, n.Error = n.Addresses[:min(len(n.Addresses), maxNames)], clean(n.Error, maxName)
		for j := range n.Addresses {
			n.Addresses[j] = clean(n.Addresses[j], maxName)
		}
	}
	for i := range v.Pulled {
		v.Pulled[i] = clean(v.Pulled[i], maxMessage)
	}
	if v.Fsync != nil {
		v.Fsync.Error = clean(v.Fsync.Error, maxName)
	}
	v.Overlay, v.Trial = clean(v.Overlay, maxMessage), clean(v.Trial, maxMessage)
	return nil
}
