package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/spf13/cobra"
)

// noteObjects has the host that holds the cluster's authority remember the objects that a run will change as they are before it, for undo. While there is no
// cluster that answers there is nothing to remember: what is then made goes with the cluster.
func (f *fleet) noteObjects(ctx context.Context, plan *engine.Plan, run string) error {
	var wishes []ops.Op
	for _, w := range plan.Works {
		for _, c := range w.Changes {
			if phases.OfCluster(w.Target) {
				wishes = append(wishes, c.Op)
			}
		}
	}
	holder, ok := phases.AuthorityHost(f.cluster, phases.KubernetesCA)
	if _, err := f.api().Client(ctx); err != nil || len(wishes) == 0 || !ok {
		return nil
	}
	was, err := f.api().Earlier(ctx, wishes)
	if err != nil || len(was) == 0 {
		return err
	}
	raw, err := json.Marshal(was)
	if err != nil {
		return err
	}
	if err := f.hosts[holder.Name].Note(ctx, run, raw); err != nil {
		return fmt.Errorf("%s: remember the cluster's objects: %w", holder.Name, err)
	}
	return nil
}

// earlierObjects are steps to the objects as they were before the last run; where there is nothing to put back to, none.
func earlierObjects(last []string, pasts map[string]agent.Past) ([]engine.Step, error) {
	var steps []engine.Step
	seen := map[ops.Key]bool{}
	for _, name := range last {
		if pasts[name].First {
			continue
		}
		for _, raw := range pasts[name].Notes {
			var was []addons.Object
			if err := json.Unmarshal(raw, &was); err != nil {
				return nil, fmt.Errorf("%s: what it remembers of the cluster's objects: %w", name, err)
			}
			for _, o := range was {
				if !seen[o.Key()] { // a run that was continued has noted what it had changed itself
					seen[o.Key()] = true
					steps = append(steps, engine.Step{Op: o, Why: "as before run " + pasts[name].Run})
				}
			}
		}
	}
	return addons.Back(steps), nil
}

// objectsBack is the undo of the cluster's objects as a plan.
func (f *fleet) objectsBack(ctx context.Context, steps []engine.Step) engine.PlannedWork {
	w := engine.PlannedWork{Work: engine.Work{Target: phases.ClusterTarget, Phase: "undo", Short: "the objects as before", Steps: steps}}
	var wishes []ops.Op
	for _, s := range steps {
		wishes = append(wishes, s.Op)
	}
	if _, w.Err = f.api().Client(ctx); w.Err != nil {
		return w
	}
	w.Seen, w.Err = f.api().Observe(ctx, wishes)
	for i, s := range steps {
		if w.Err == nil && !ops.Equal(s.Op, w.Seen[i]) {
			w.Changes = append(w.Changes, engine.Change{Step: s, Was: w.Seen[i]})
		}
	}
	return w
}

// putObjectsBack applies the earlier objects.
func (f *fleet) putObjectsBack(cmd *cobra.Command, steps []engine.Step) error {
	if len(steps) == 0 {
		return nil
	}
	n := 0
	_, err := f.api().Client(cmd.Context())
	if err == nil {
		err = f.api().Apply(cmd.Context(), "", "undo", steps, func(p ops.Progress) {
			if p.State == ops.Changed {
				n++
			}
		})
	}
	if err != nil {
		return coded{exitStep, fmt.Errorf("undo: %s: what the run changed through the API stays (%w); up with the earlier inventory puts it right", phases.ClusterTarget, err)}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: put back %d things\n", phases.ClusterTarget, n)
	return nil
}
