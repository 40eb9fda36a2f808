// Package addons applies objects to a cluster through its API: by server-side apply, awaited by watching. Objects are ops,
// like files on a host, so that plan, apply and drift read the same for both.
package addons

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// FieldManager is the name under which the API server remembers the fields that are ours.
const FieldManager = "kubewright"

// parallel is how many objects are looked at or written at a time.
const parallel = 8

// API is a cluster as a target of ops. It connects when it is first needed, because the cluster may not be there before.
type API struct {
	name    string
	connect func(context.Context) (*rest.Config, error)
	signer  Signer
	within  time.Duration // how long it may take to say that it is ready

	mu      sync.Mutex
	config  *rest.Config
	dynamic dynamic.Interface
	clients kubernetes.Interface
	mapper  meta.ResettableRESTMapper
}

// slowest is how long an API server on a host with too much to do takes to say that it is ready. One that is not there says so at once.
const slowest = 10 * time.Second

// ErrNoCluster is what a connect function returns while there is no cluster to connect to.
var ErrNoCluster = errors.New("there is no cluster yet")

// unanswered is an API server that should be there and is not, or not yet: a run that was cut off left it so, or somebody else did.
type unanswered struct{ error }

func (e *unanswered) Error() string        { return "the API does not answer: " + e.error.Error() }
func (e *unanswered) Unwrap() error        { return e.error }
func (e *unanswered) Is(target error) bool { return target == ErrNoCluster }

// Signer has the cluster's authority sign a request.
type Signer func(ctx context.Context, csr []byte, r pki.Request) ([]byte, error)

// NewAPI is the target with that name. connect returns ErrNoCluster while there is none.
func NewAPI(name string, connect func(context.Context) (*rest.Config, error)) *API {
	return &API{name: name, connect: connect, within: slowest}
}

// Signed is the target, able to have certificates signed.
func (a *API) Signed(by Signer) *API { a.signer = by; return a }

func (a *API) sign(ctx context.Context, csr []byte, r pki.Request) ([]byte, error) {
	if a.signer == nil {
		return nil, errors.New("nobody signs certificates here")
	}
	return a.signer(ctx, csr, r)
}

// Part is the same cluster as a target of its own, with a name of its own: what fails on it does not keep the rest from being done.
func (a *API) Part(name string) *Part { return &Part{a, name} }

// Part is a cluster by another name.
type Part struct {
	*API
	name string
}

// Name is the part's name.
func (p *Part) Name() string { return p.name }

// Name is the target's name.
func (a *API) Name() string { return a.name }

// Client is the typed client, connected.
func (a *API) Client(ctx context.Context) (kubernetes.Interface, error) {
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	return a.clients, nil
}

func (a *API) open(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.config != nil {
		return nil
	}
	config, err := a.connect(ctx)
	if err != nil {
		return err
	}
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, -1 // the API server's own flow control is enough
	config.Timeout = 0
	config.WarningHandler = rest.NoWarnings{}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ask, cancel := context.WithTimeout(ctx, a.within)
	defer cancel()
	if err := clients.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ask).Error(); err != nil {
		return &unanswered{err}
	}
	if a.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	a.clients = clients
	a.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(clients.Discovery()))
	a.config = config
	return nil
}

// Observe looks at every object. While there is no cluster everything is absent.
func (a *API) Observe(ctx context.Context, wishes []ops.Op) ([]ops.Op, error) {
	seen := make([]ops.Op, len(wishes))
	err := a.open(ctx)
	if errors.Is(err, ErrNoCluster) {
		for i, w := range wishes {
			seen[i] = w.(object).absent()
		}
		return seen, nil
	}
	if err != nil {
		return nil, err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, w := range wishes {
		group.Go(func() error {
			var err error
			if seen[i], err = w.Observe(gctx, machine{a}); err != nil {
				return &StepError{Key: w.Key(), Cause: err}
			}
			return nil
		})
	}
	return seen, group.Wait()
}

// Apply sets the steps in order, and the objects between two waits side by side.
func (a *API) Apply(ctx context.Context, _, phase string, steps []ops.Step, emit func(ops.Progress)) error {
	if err := persist(ctx, func() error { return a.open(ctx) }); err != nil {
		return err
	}
	var mu sync.Mutex
	tell := func(p ops.Progress) { mu.Lock(); defer mu.Unlock(); emit(p) }
	for len(steps) > 0 {
		n := 1
		if !isWait(steps[0].Op) {
			for n < len(steps) && !isWait(steps[n].Op) && rank(steps[n].Op) == rank(steps[0].Op) {
				n++
			}
		}
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for _, s := range steps[:n] {
			group.Go(func() error { return a.applyOne(gctx, s, tell) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		steps = steps[n:]
	}
	return nil
}

func (a *API) applyOne(ctx context.Context, s ops.Step, tell func(ops.Progress)) error {
	key, begin := s.Op.Key(), time.Now()
	tell(ops.Progress{Key: key, State: ops.Began})
	fail := func(err error) error {
		tell(ops.Progress{Key: key, State: ops.Failed, Took: time.Since(begin), Error: err.Error()})
		return &StepError{Key: key, Why: s.Why, Cause: err}
	}
	was, err := s.Op.Observe(ctx, machine{a})
	if err != nil {
		return fail(err)
	}
	state := ops.Same
	if !ops.Equal(s.Op, was) {
		if err := s.Op.Set(ctx, machine{a}, was); err != nil {
			return fail(err)
		}
		state = ops.Changed
	}
	tell(ops.Progress{Key: key, State: state, Took: time.Since(begin)})
	return nil
}

// StepError is the failure of one step on the cluster.
type StepError struct {
	Key   ops.Key
	Why   string
	Cause error
}

func (e *StepError) Error() string { return fmt.Sprintf("%s: %v", e.Key, e.Cause) }
func (e *StepError) Unwrap() error { return e.Cause }

// Fault implements ops.Fault.
func (e *StepError) Fault() (ops.Key, string, error) { return e.Key, "", e.Cause }

// machine lets ops reach the API: a cluster has no paths, no units and no programs to run.
type machine struct{ *API }

func (machine) Path(p string) string { return p }
func (machine) Units() ops.Units     { return nil }
func (machine) Now() time.Time       { return time.Now() }
func (machine) Run(context.Context, ...string) ([]byte, error) {
	return nil, errors.New("a cluster runs no programs")
}
func (machine) Ask(context.Context, ops.Question) ([]byte, error) {
	return nil, errors.New("a cluster asks nothing")
}

// api is the cluster behind a machine; ops of this package make sense nowhere else.
func api(m ops.Machine) (*API, error) {
	c, ok := m.(machine)
	if !ok {
		return nil, errors.New("this op speaks about a cluster, not a host")
	}
	return c.API, nil
}

// object is an op of this package.
type object interface {
	ops.Op
	absent() ops.Op
}
