package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

func undoCommand() *cobra.Command {
	var file, yes string
	var short bool
	cmd := &cobra.Command{
		Use: "undo", Short: "Put back what the last run changed", Args: cobra.NoArgs,
		Long: "Puts every host back to how it was before the last run of up that changed it, from what the hosts themselves remember: what reset\n" +
			"does for all runs. A run that was cut off and the one that continued it are undone together. It shows what it will do and asks for the\n" +
			"cluster's name, which --yes gives beforehand. Only the last run can be undone; undoing the first one is a reset.\n" +
			"The cluster's own objects that the run changed are put back through the API, if that answers.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := inventory.Load(file)
			if err != nil {
				return err
			}
			if yes != "" {
				if err := rightName(c, yes); err != nil {
					return err
				}
			}
			ctx := cmd.Context()
			f, unreached := connectSome(ctx, c, nil)
			defer f.close()
			names, foreign := f.ours()
			aside := errors.Join(unreached, foreign)
			pasts, err := f.pasts(ctx)
			if err != nil {
				return errors.Join(aside, err)
			}
			last := lastRun(names, pasts)
			if len(last) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "there is no run to undo: of those before the last only what reset needs is remembered")
				return aside
			}
			plan := f.wayBack(ctx, last, pasts)
			objects, err := earlierObjects(last, pasts)
			if err != nil {
				return errors.Join(aside, err)
			}
			if len(objects) > 0 {
				plan.Works = append(plan.Works, f.objectsBack(ctx, objects))
			}
			if err := report.Plan(cmd.OutOrStdout(), plan, report.Options{Name: "undo", Diffs: !short, Color: colorful(os.Stdout)}); err != nil {
				return err
			}
			for _, name := range last {
				if pasts[name].First {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: no earlier run is remembered: it is reset, with all that is stored on it\n", name)
				}
			}
			about := fmt.Sprintf("this takes back run %s on %s", pasts[last[0]].Run, strings.Join(last, ", "))
			if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), c, yes, "undo takes back the last run", about); err != nil {
				return errors.Join(aside, err)
			}
			if err := f.lock(ctx, *newHolder(c), last); err != nil {
				return errors.Join(aside, err)
			}
			// While the control plane is what the run made of it, it answers; what of the cluster cannot be put back does not keep the hosts from it.
			api := f.putObjectsBack(cmd, objects)
			err = f.putBack(cmd, "undo", last, func(ctx context.Context, m *member, emit func(ops.Progress)) error {
				return m.Undo(ctx, pasts[m.name].Run, emit)
			})
			return errors.Join(aside, api, err)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "f", "cluster.yaml", "the inventory file")
	cmd.Flags().StringVar(&yes, "yes", "", "the cluster's name, instead of being asked for it")
	cmd.Flags().BoolVar(&short, "short", false, "only list what is put back, without diffs")
	return cmd
}

// lastRun names the hosts that the last run changed and on which it was not undone yet. A run without an end is the last, wherever it is; of the others the
// newest, by the time in its name. A host that it did not change is left alone, and so is every host once it was undone: of what
// came before only reset knows.
func lastRun(names []string, pasts map[string]agent.Past) (last []string) {
	newest := ""
	for _, name := range names {
		p := pasts[name]
		if p.Open {
			last = append(last, name)
		}
		newest = max(newest, p.Run)
	}
	if len(last) > 0 {
		return last
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		p := pasts[name]
		return p.Run == "" || p.Run != newest || p.Undone
	})
}

// wayBack is the undo as a plan: of everything that the run changed, what is not as it was before it.
func (f *fleet) wayBack(ctx context.Context, hosts []string, pasts map[string]agent.Past) *engine.Plan {
	plan := &engine.Plan{}
	for _, name := range hosts {
		var wishes []ops.Op
		for _, c := range pasts[name].Changes {
			wishes = append(wishes, c.Wish)
		}
		w := engine.PlannedWork{Work: engine.Work{Target: name, Phase: "undo", Short: "as before run " + pasts[name].Run}}
		var seen []ops.Op
		seen, w.Err = f.hosts[name].Observe(ctx, wishes) // what cannot be looked at may still be put back
		for i, c := range pasts[name].Changes {
			if w.Err == nil && !ops.Equal(c.Was, seen[i]) {
				w.Changes = append(w.Changes, engine.Change{Step: engine.Step{Op: c.Was, Why: "was set because: " + c.Why}, Was: seen[i]})
			}
		}
		plan.Works = append(plan.Works, w)
	}
	return plan
}
