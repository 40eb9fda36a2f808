package phases

import (
	"context"
	"fmt"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// Reach is what the workstation can do for a host that asks: use the sessions with the others, and its bundle.
type Reach interface {
	// Sign has the host that holds an authority sign a request.
	Sign(ctx context.Context, host, authority string, csr []byte, r pki.Request) ([]byte, error)
	// Authority reads an authority's certificate from the host that holds it.
	Authority(ctx context.Context, host, authority string) ([]byte, error)
	// Send puts a blob of the bundle where the host's agent looks for it.
	Send(ctx context.Context, host, digest string) error
	// Push makes the registry on the host have a component of the bundle.
	Push(ctx context.Context, host, component string) error
}

// Answers answers what hosts ask while a plan is carried out, and only what the plan says they may: a host that asks for
// more than its own steps need gets nothing.
type Answers struct {
	cluster *inventory.Cluster
	reach   Reach
	steps   map[string]map[ops.Key]ops.Op
}

// NewAnswers answers for the work of one run.
func NewAnswers(c *inventory.Cluster, works []engine.Work, reach Reach) *Answers {
	a := &Answers{cluster: c, reach: reach, steps: map[string]map[ops.Key]ops.Op{}}
	for _, w := range works {
		if a.steps[w.Target] == nil {
			a.steps[w.Target] = map[ops.Key]ops.Op{}
		}
		for _, s := range w.Steps {
			a.steps[w.Target][s.Op.Key()] = s.Op
		}
	}
	return a
}

// Answer answers one question of one host.
func (a *Answers) Answer(ctx context.Context, host string, q ops.Question) ([]byte, error) {
	op, planned := a.steps[host][q.Key]
	if !planned {
		return nil, fmt.Errorf("%s asks for %s %q on behalf of %s, which is not in its plan", host, q.Kind, q.Name, q.Key)
	}
	refuse := fmt.Errorf("%s asks for %s %q, which %s does not need", host, q.Kind, q.Name, q.Key)
	switch op := op.(type) {
	case ops.Certificate:
		if q.Kind == ops.AskSign && q.Name == op.Authority {
			return a.sign(ctx, op.Authority, q.Data, op.Request)
		}
	case ops.Kubeconfig:
		if q.Kind == ops.AskSign && q.Name == op.Authority && op.ClientFile == "" {
			return a.sign(ctx, op.Authority, q.Data, op.Request)
		}
	case ops.Trust:
		if q.Kind == ops.AskCA && q.Name == op.Name {
			holder, ok := AuthorityHost(a.cluster, op.Name)
			if !ok {
				return nil, fmt.Errorf("no host holds the authority %s", op.Name)
			}
			return a.reach.Authority(ctx, holder.Name, op.Name)
		}
	case ops.File:
		if q.Kind == ops.AskBlob && q.Name == op.Digest && op.From == ops.FromWorkstation {
			return nil, a.reach.Send(ctx, host, op.Digest)
		}
	case ops.Stored:
		if q.Kind == ops.AskPush && q.Name == op.Component {
			return nil, a.reach.Push(ctx, host, op.Component)
		}
	}
	return nil, refuse
}

// sign lets the authority's host sign exactly what the plan says, and nothing that the CSR adds to it.
func (a *Answers) sign(ctx context.Context, authority string, csr []byte, r pki.Request) ([]byte, error) {
	if err := pki.CheckCSR(csr, r); err != nil {
		return nil, fmt.Errorf("the request to the authority %s is not the planned one: %w", authority, err)
	}
	holder, ok := AuthorityHost(a.cluster, authority)
	if !ok {
		return nil, fmt.Errorf("no host holds the authority %s", authority)
	}
	return a.reach.Sign(ctx, holder.Name, authority, csr, r)
}
