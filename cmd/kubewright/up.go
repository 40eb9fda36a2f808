package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/preflight"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

func upCommand() *cobra.Command {
	var flags clusterFlags
	var care caution
	var events, kubeconfig, plan string
	var timing bool
	var only []string
	cmd := &cobra.Command{
		Use: "up", Short: "Bring the cluster up, or mend what is not as the inventory says", Args: cobra.NoArgs,
		Long: "Brings the cluster up, or mends what is not as the inventory says. A run that was cut off, by whatever, is\n" +
			"continued by running the same command again. When everything is as it should be, nothing is changed.\n\n" +
			"With --plan it makes exactly the changes of a saved plan. If anything is otherwise than when the plan was made, it says what,\n" +
			"changes nothing and ends with 7. A run that was cut off is continued with the same plan.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := knownPhases(only); err != nil {
				return err
			}
			if cmd.Flags().Changed("phase") && len(only) == 0 {
				return usageError{errors.New("--phase names no phase; see kubewright phase list")}
			}
			if err := care.check(); err != nil {
				return err
			}
			var saved *savedPlan
			if plan != "" {
				if len(only) > 0 {
					return usageError{errors.New("--plan carries out a plan as a whole, so --phase has no place beside it")}
				}
				var err error
				if saved, err = readPlan(plan); err != nil {
					return err
				}
			}
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			if saved != nil {
				if err := saved.madeFrom(c, b); err != nil {
					return err
				}
			}
			kubeconfig := kubeconfigPath(kubeconfig, flags.file)
			if err := writable(events, flags.file, kubeconfig, plan); err != nil {
				return err
			}
			return up(cmd.Context(), upOptions{
				cluster: c, bundle: b, out: cmd.OutOrStdout(), events: events, timing: timing, only: only, kubeconfig: kubeconfig,
				saved: saved, care: care, warn: cmd.ErrOrStderr(),
			})
		},
	}
	flags.add(cmd)
	care.add(cmd)
	cmd.Flags().StringVar(&events, "events", "", "write every event as a line of JSON to this file")
	cmd.Flags().BoolVar(&timing, "timing", false, "show where the time went")
	cmd.Flags().StringSliceVar(&only, "phase", nil, "carry out these phases only (see phase list)")
	cmd.Flags().StringVar(&plan, "plan", "", "carry out the plan in this file, which plan -o has made, and nothing else")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "where to write the kubeconfig (default: kubeconfig beside the inventory)")
	return cmd
}

type upOptions struct {
	cluster    *inventory.Cluster
	bundle     *bundle.Bundle
	out        io.Writer
	events     string // a file; empty: nobody reads them
	kubeconfig string
	timing     bool
	only       []string
	care       caution
	saved      *savedPlan // nil: whatever there is to do is done
	warn       io.Writer
}

func up(ctx context.Context, o upOptions) error {
	if _, err := ownKubeconfig(o.kubeconfig, o.cluster.Metadata.Name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return usageError{err} // of the folder
		}
		return err
	}
	began := time.Now()
	holder := newHolder(o.cluster)
	if o.saved != nil {
		holder.Run += o.saved.mark()
	}
	f, err := connect(ctx, o.cluster, o.bundle, holder)
	if err != nil {
		return err
	}
	defer f.close()
	if f.bare() {
		o.care.scope = &preflight.Brief
	}
	works, plan, err := f.todo(ctx, o)
	if err != nil {
		return err
	}
	if plan.Empty() {
		fmt.Fprintf(o.out, "nothing to do: %s is as %d steps on %d hosts say (%s)\n",
			o.cluster.Metadata.Name, steps(works), len(o.cluster.Spec.Hosts), time.Since(began).Round(10*time.Millisecond))
	} else {
		if err := f.noteObjects(ctx, plan, holder.Run); err != nil {
			return err
		}
		if err := run(ctx, plan, f.targets(), holder.Run, o); err != nil {
			return err
		}
	}
	if err := f.end(ctx, holder.Run, !plan.Empty()); err != nil {
		return err
	}
	if len(o.only) > 0 {
		return nil
	}
	wrote, err := f.writeKubeconfig(ctx, o.kubeconfig)
	if err == nil && wrote {
		fmt.Fprintf(o.out, "the kubeconfig is in %s\n", o.kubeconfig)
	}
	return err
}

// todo is the work and the plan of a run: what there is to do, or what a saved plan says, if that still holds.
func (f *fleet) todo(ctx context.Context, o upOptions) ([]engine.Work, *engine.Plan, error) {
	if o.saved == nil {
		works, err := f.work(ctx, o.care)
		if err != nil {
			return nil, nil, err
		}
		works = choose(works, o.only)
		plan, err := engine.Observe(ctx, works, f.targets())
		if ofAddons(err) {
			err = nil // the run tells it of each, and does the rest
		}
		return works, plan, err
	}
	if err := f.fit(ctx, o.care); err != nil {
		return nil, nil, err
	}
	kept, works, err := f.promised(ctx, o.saved)
	if err != nil {
		return nil, nil, err
	}
	f.answers = phases.NewAnswers(f.cluster, works, f)
	plan, err := engine.Observe(ctx, works, f.targets())
	if err == nil {
		err = kept.check(ctx, plan, f.api(), o.warn)
	}
	return works, plan, err
}

// ofAddons says whether nothing but addons could not be looked at.
func ofAddons(err error) bool {
	for _, e := range flatten(err) {
		var step *engine.StepError
		if !errors.As(e, &step) || !phases.OfCluster(step.Target) || step.Target == phases.ClusterTarget {
			return false
		}
	}
	return true
}

// end tells the hosts that the run has come to its end, so that it can be undone alone: all of them, or those on which an earlier one had none.
func (f *fleet) end(ctx context.Context, run string, changed bool) error {
	var errs []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, m := range f.hosts {
		if !changed && !m.Hello().Open {
			continue
		}
		wg.Go(func() {
			if err := m.End(ctx, run); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: end the run: %w", name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// writable says before anything is done whether the events can be written, and keeps them from being written over what up reads.
func writable(events string, taken ...string) error {
	if events == "" {
		return nil
	}
	there, err := os.Stat(events)
	for _, path := range taken {
		if other, e := os.Stat(path); err == nil && e == nil && os.SameFile(there, other) {
			return usageError{fmt.Errorf("--events would write over %s", path)}
		}
	}
	file, err := os.OpenFile(events, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return usageError{err}
	}
	return file.Close()
}

func run(ctx context.Context, plan *engine.Plan, targets []engine.Target, name string, o upOptions) error {
	var all []engine.Event
	views := []report.View{view()}
	if o.events != "" {
		file, err := os.OpenFile(o.events, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		views = append(views, report.JSONLines(file))
	}
	err := engine.Run(ctx, plan, targets, engine.Options{Run: name, Emit: func(e engine.Event) {
		for _, v := range views {
			v.Emit(e)
		}
		all = append(all, e)
	}})
	for _, v := range views {
		_ = v.Close() // a view that could not be written does not undo what was done
	}
	if o.timing {
		if err := report.Timing(o.out, all); err != nil {
			return err
		}
	}
	if err != nil {
		fmt.Fprintf(o.warn, "what to do: %s\n", report.Escape(resumption(err)))
		return told{err} // the views have shown every failure in full
	}
	return nil
}

// resumption is what to do after a run that did not come to its end, in a line.
func resumption(err error) string {
	if exitCode(err) == exitStopped {
		return "run the same command again: it continues from there"
	}
	if lost := (*agent.LostError)(nil); errors.As(err, &lost) {
		return lost.Remedy()
	}
	return "mend the cause and run the same command again: it continues from there"
}

func steps(works []engine.Work) int {
	n := 0
	for _, w := range works {
		n += len(w.Steps)
	}
	return n
}

// kubeconfigPath is where a cluster's kubeconfig lies: beside its inventory unless said otherwise.
func kubeconfigPath(flag, inventory string) string {
	if flag != "" {
		return flag
	}
	return filepath.Join(filepath.Dir(inventory), "kubeconfig")
}

var _ engine.Target = (*member)(nil)
