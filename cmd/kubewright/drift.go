package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

func driftCommand() *cobra.Command {
	var flags clusterFlags
	var diffs, short bool
	var output string
	cmd := &cobra.Command{
		Use: "drift", Short: "Say what is not as the inventory says any more, and since when", Args: cobra.NoArgs,
		Long: "Compares a running cluster with the inventory and tells every difference: what was changed by hand since kubewright set it, and what\n" +
			"the inventory wants otherwise now. It changes nothing. It ends with 20 when there is a difference, and with 0 when there is none. A host\n" +
			"that cannot be looked at is named and does not hide the others.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			f, unreached := connectSome(ctx, c, b)
			defer f.close()
			plan, err := f.drift(ctx, unreached)
			if plan == nil {
				return err
			}
			show := report.Plan
			if output == "json" {
				show = report.PlanJSON
			}
			if err := show(cmd.OutOrStdout(), plan, report.Options{Name: "drift", Diffs: diffs && !short, Color: colorful(os.Stdout)}); err != nil {
				return err
			}
			if err == nil && plan.Count("", "") > 0 {
				return coded{exitChanges, errors.New("something is not as the inventory says")}
			}
			return err
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&diffs, "diff", true, "show what would put each difference right, as a unified diff")
	cmd.Flags().BoolVar(&short, "short", false, "only list the differences, without diffs")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// drift looks at everything that can be looked at. The error names the rest, which the plan holds as not looked at.
func (f *fleet) drift(ctx context.Context, unreached error) (*engine.Plan, error) {
	away := map[string]error{}
	for _, e := range flatten(unreached) {
		if name := hostOfError(e); name != "" {
			away[name] = e
		} else if e != nil {
			return nil, e // of the workstation itself
		}
	}
	names, foreign := f.ours()
	for _, h := range f.cluster.Spec.Hosts {
		if f.hosts[h.Name] != nil && !slices.Contains(names, h.Name) {
			away[h.Name] = errors.New("belongs to another cluster")
		}
	}
	works, err := engine.Expand(phases.Up(), phases.Inputs(f.cluster, f.allFacts(), f.bundle.Lock, f.texts))
	if err != nil {
		return nil, err
	}
	var apart error
	if _, err := f.api().Client(ctx); err != nil {
		away[phases.ClusterTarget] = err
		for _, a := range addons.Of(f.cluster) {
			away[phases.AddonTarget(a.Name)] = err
		}
		if !errors.Is(err, addons.ErrNoCluster) || f.installed() {
			apart = coded{exitConnect, fmt.Errorf("%s: %w", phases.ClusterTarget, err)}
		}
	}
	var seen []engine.Work
	for _, w := range works {
		if away[w.Target] == nil {
			seen = append(seen, known(w))
		}
	}
	looked, failed := engine.Observe(ctx, seen, f.targets())
	plan := &engine.Plan{}
	for _, w := range works {
		if err := away[w.Target]; err != nil {
			plan.Works = append(plan.Works, engine.PlannedWork{Work: w, Err: err})
			continue
		}
		plan.Works = append(plan.Works, looked.Works[0])
		looked.Works = looked.Works[1:]
	}
	f.trace(ctx, plan)
	return plan, errors.Join(unreached, foreign, apart, failed)
}

// installed says whether some host was made part of the cluster.
func (f *fleet) installed() bool {
	for _, m := range f.hosts {
		if m.Facts().Cluster != "" {
			return true
		}
	}
	return false
}

// allFacts are what the hosts said; one that is away is taken to be like another node, since some steps depend on what all nodes can do.
func (f *fleet) allFacts() map[string]agent.Facts {
	facts := f.facts()
	var like agent.Facts
	for _, h := range f.cluster.Nodes() {
		if m := f.hosts[h.Name]; m != nil {
			like = m.Facts()
			break
		}
	}
	like.Authorities, like.Cluster = nil, ""
	for _, h := range f.cluster.Spec.Hosts {
		if f.hosts[h.Name] == nil {
			facts[h.Name] = like
		}
	}
	return facts
}

// known leaves out what cannot be judged: the certificate of an authority whose host did not tell it.
func known(w engine.Work) engine.Work {
	w.Steps = slices.DeleteFunc(slices.Clone(w.Steps), func(s engine.Step) bool {
		t, ok := s.Op.(ops.Trust)
		return ok && len(t.PEM) == 0
	})
	return w
}

// trace notes at each difference how it came about, as far as the host remembers.
func (f *fleet) trace(ctx context.Context, plan *engine.Plan) {
	var wg sync.WaitGroup
	for name, m := range f.hosts {
		var changes []*engine.Change
		var keys []ops.Key
		for i, w := range plan.Works {
			for k := range w.Changes {
				if w.Target == name {
					changes = append(changes, &plan.Works[i].Changes[k])
					keys = append(keys, w.Changes[k].Op.Key())
				}
			}
		}
		if len(keys) == 0 {
			continue
		}
		wg.Go(func() {
			memories, err := m.Memories(ctx, keys)
			if err != nil {
				return // the differences are told without it
			}
			for i, c := range changes {
				c.Note = origin(memories[i], *c)
			}
		})
	}
	wg.Wait()
}

// origin says what a host's memory tells of a difference.
func origin(m agent.Memory, c engine.Change) string {
	at := fmt.Sprintf("run %s of %s", m.Run, m.Time.Format(time.RFC3339))
	switch {
	case m.Wish == nil:
		return "kubewright has not set it yet"
	case ops.Equal(m.Wish, c.Was):
		return "as " + at + " set it; what is wanted has changed since"
	case ops.Equal(m.Wish, ops.Masked(c.Op)):
		return "changed since " + at + " set it, and not by kubewright"
	}
	return "changed since " + at + " set it, and not by kubewright; what is wanted has changed as well"
}
