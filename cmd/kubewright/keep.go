package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/report"
)

// kept is a saved plan beside what the hosts say now.
type kept struct {
	*savedPlan
	pasts map[string]agent.Past // what each host remembers of its last run
}

// promised computes the works of a saved plan and refuses where hosts would have it otherwise by now. The steps are computed from what the hosts said when
// the plan was made: a run of it that was cut off has changed what they say.
func (f *fleet) promised(ctx context.Context, s *savedPlan) (*kept, []engine.Work, error) {
	k := &kept{savedPlan: s}
	var err error
	if k.pasts, err = f.pasts(ctx); err != nil {
		return nil, nil, err
	}
	var breaches []engine.Breach
	for _, h := range f.cluster.Spec.Hosts {
		then, known := s.Facts[h.Name]
		if now := f.hosts[h.Name].Facts(); known && then.MachineID != now.MachineID {
			breaches = append(breaches, engine.Breach{Target: h.Name, Says: fmt.Sprintf("is another machine: its identity was %s, is %s now", then.MachineID, now.MachineID)})
		}
	}
	if len(breaches) > 0 {
		return nil, nil, broken(breaches)
	}
	works, err := engine.Expand(phases.Up(), phases.Inputs(f.cluster, s.Facts, f.bundle.Lock, f.texts))
	if err != nil {
		return nil, nil, err
	}
	if breaches := engine.Steps(s.Targets, works); len(breaches) > 0 {
		return nil, nil, broken(breaches)
	}
	fresh, err := engine.Expand(phases.Up(), phases.Inputs(f.cluster, f.facts(), f.bundle.Lock, f.texts))
	if err != nil {
		return nil, nil, err
	}
	if !k.begun() {
		if breaches := engine.Steps(s.Targets, fresh); len(breaches) > 0 {
			return nil, nil, broken(breaches)
		}
		return k, works, nil
	}
	return k, fillIn(works, fresh), nil
}

// begun says whether a run of this very plan has changed anything already.
func (k *kept) begun() bool {
	for _, p := range k.pasts {
		for _, c := range p.Changes {
			if strings.HasSuffix(c.Run, k.mark()) {
				return true
			}
		}
	}
	return false
}

// half says whether a run of this plan was cut off in the middle of a step. Whether something answers or is ready may be otherwise after any such run.
func (k *kept) half(target string, key ops.Key) bool {
	if kind := key.Kind(); (kind == "probe" || kind == "ready") && k.begun() {
		return true
	}
	for _, c := range k.pasts[target].Changes {
		if c.Key == key {
			return !c.Seen && strings.HasSuffix(c.Run, k.mark())
		}
	}
	return false
}

// fillIn fills in what could not be known when a plan was made and is known since its run was cut off: the certificates of authorities that the run has made.
func fillIn(works, fresh []engine.Work) []engine.Work {
	known := map[engine.Ref]map[ops.Key]ops.Trust{}
	for _, w := range fresh {
		known[w.Ref()] = map[ops.Key]ops.Trust{}
		for _, s := range w.Steps {
			if t, ok := s.Op.(ops.Trust); ok {
				known[w.Ref()][t.Key()] = t
			}
		}
	}
	for _, w := range works {
		for i, s := range w.Steps {
			if t, ok := s.Op.(ops.Trust); ok && len(t.PEM) == 0 {
				if now, ok := known[w.Ref()][t.Key()]; ok {
					w.Steps[i].Op = now
				}
			}
		}
	}
	return works
}

// check refuses what is neither as the plan saw it nor as it should become. The API may be away after a run that was cut off; then what is in the
// cluster cannot be compared.
func (k *kept) check(ctx context.Context, plan *engine.Plan, api *addons.API, warn io.Writer) error {
	breaches := plan.Breaches(k.Targets, k.half)
	if _, err := api.Client(ctx); err != nil && k.sawCluster() {
		inCluster := func(b engine.Breach) bool { return phases.OfCluster(b.Target) }
		breaches = slices.DeleteFunc(breaches, inCluster)
		why := fmt.Sprintf("the API answered when the plan was made, and does not now: %v", err)
		if k.begun() {
			fmt.Fprintf(warn, "warning: what is in the cluster is not compared with the plan: %s\n", report.Escape(why))
		} else {
			breaches = append(breaches, engine.Breach{Target: api.Name(), Says: why})
		}
	}
	if len(breaches) > 0 {
		return broken(breaches)
	}
	return nil
}

// sawCluster says whether the plan saw anything in the cluster that was as it should be.
func (k *kept) sawCluster() bool {
	return slices.ContainsFunc(k.Targets, func(p engine.Promise) bool {
		return phases.OfCluster(p.Target) && slices.ContainsFunc(p.Steps, func(s engine.PromisedStep) bool { return s.Was == nil })
	})
}

// pasts asks every host at once what its last run changed.
func (f *fleet) pasts(ctx context.Context) (map[string]agent.Past, error) {
	out := map[string]agent.Past{}
	var errs []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, m := range f.hosts {
		wg.Go(func() {
			p, err := m.Past(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				return
			}
			out[name] = p
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// brokenPlan is a saved plan that cannot be carried out as it stands.
type brokenPlan struct{ breaches []engine.Breach }

func (e *brokenPlan) Error() string {
	return fmt.Sprintf("%s not as the plan says; nothing was changed: look at it, and make the plan anew with kubewright plan", count(len(e.breaches), "thing is", "things are"))
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func broken(breaches []engine.Breach) error {
	return coded{exitConflict, &brokenPlan{breaches}}
}

// explain tells everything that is not as the plan says, each with its difference.
func (e *brokenPlan) explain(w io.Writer) {
	for _, b := range e.breaches {
		fmt.Fprintln(w, report.Escape(b.Error()))
		for i, line := range strings.Split(strings.TrimSuffix(b.Diff, "\n"), "\n") {
			if i >= 2 && i < maxDiff { // the first two name the sides
				fmt.Fprintf(w, "    %s\n", report.Escape(line))
			}
		}
	}
}

// maxDiff is how many lines of one difference are told.
const maxDiff = 30
