package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/preflight"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// clusterFlags are what every command about a cluster has.
type clusterFlags struct{ file, bundle string }

func (f *clusterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "config", "f", "cluster.yaml", "the inventory file")
	cmd.Flags().StringVar(&f.bundle, "bundle", "", "the bundle's folder (default: the last one built)")
}

// load reads the inventory and opens the bundle: all that can be wrong before a connection is made.
func (f *clusterFlags) load() (*inventory.Cluster, *bundle.Bundle, error) {
	c, err := inventory.Load(f.file)
	if err != nil {
		return nil, nil, err
	}
	b, err := openBundle(f.bundle)
	return c, b, err
}

// work computes what there is to do once the hosts have told their facts.
func (f *fleet) work() ([]engine.Work, error) {
	if err := f.foreign(); err != nil {
		return nil, err
	}
	in := phases.Inputs(f.cluster, f.facts(), f.bundle.Lock)
	if findings := preflight.Run(f.cluster, f.facts(), f.skews()); len(findings) > 0 {
		if err := findings.Fatal(); err != nil {
			return nil, coded{exitPreflight, err}
		}
		for _, w := range findings {
			fmt.Fprintf(os.Stderr, "warning: %s\n", report.Escape(w.String()))
		}
	}
	if _, why := phases.ProxyMode(f.cluster, f.facts()); why != "" {
		fmt.Fprintf(os.Stderr, "warning: %s\n", report.Escape(why))
	}
	works, err := engine.Expand(phases.Up(), in)
	if err != nil {
		return nil, err
	}
	f.answers = phases.NewAnswers(f.cluster, works, f)
	return works, nil
}

// foreign refuses hosts that belong to another cluster.
func (f *fleet) foreign() error {
	var errs []error
	for _, h := range f.cluster.Spec.Hosts {
		if other := f.facts()[h.Name].Cluster; other != "" && other != f.cluster.Metadata.Name {
			errs = append(errs, coded{exitConflict, fmt.Errorf("%s belongs to cluster %s; reset it with that cluster's inventory first", h.Name, report.Escape(other))})
		}
	}
	return errors.Join(errs...)
}

func planCommand() *cobra.Command {
	var flags clusterFlags
	var diffs, exitCode bool
	var output string
	cmd := &cobra.Command{
		Use: "plan", Short: "Show every change that up would make, and make none", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			f, err := connect(ctx, c, b, nil)
			if err != nil {
				return err
			}
			defer f.close()
			works, err := f.work()
			if err != nil {
				return err
			}
			plan, err := engine.Observe(ctx, works, f.targets())
			if err != nil {
				return err
			}
			show := report.Plan
			if output == "json" {
				show = report.PlanJSON
			}
			o := report.Options{Diffs: diffs, Color: colorful(os.Stdout)}
			if err := show(cmd.OutOrStdout(), plan, o); err != nil {
				return err
			}
			if exitCode && !plan.Empty() {
				return coded{exitChanges, fmt.Errorf("there is something to do")}
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&diffs, "diff", false, "show what each change changes, as a unified diff")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 20 when there is something to do")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func upCommand() *cobra.Command {
	var flags clusterFlags
	var events, kubeconfig string
	var timing bool
	var only []string
	cmd := &cobra.Command{
		Use: "up", Short: "Bring the cluster up, or mend what is not as the inventory says", Args: cobra.NoArgs,
		Long: "Brings the cluster up, or mends what is not as the inventory says. A run that was cut off, by whatever, is\n" +
			"continued by running the same command again. When everything is as it should be, nothing is changed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := knownPhases(only); err != nil {
				return err
			}
			var stream io.Writer
			if events != "" { // a file that cannot be written is told before anything is done
				file, err := os.OpenFile(events, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
				if err != nil {
					return usageError{err}
				}
				defer file.Close()
				stream = file
			}
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			return up(cmd.Context(), upOptions{
				cluster: c, bundle: b, out: cmd.OutOrStdout(), events: stream, timing: timing, only: only,
				kubeconfig: kubeconfigPath(kubeconfig, flags.file),
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&events, "events", "", "write every event as a line of JSON to this file")
	cmd.Flags().BoolVar(&timing, "timing", false, "show where the time went")
	cmd.Flags().StringSliceVar(&only, "phase", nil, "carry out these phases only (see phase list)")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "where to write the kubeconfig (default: kubeconfig beside the inventory)")
	return cmd
}

type upOptions struct {
	cluster    *inventory.Cluster
	bundle     *bundle.Bundle
	out        io.Writer
	events     io.Writer // nil: nobody reads them
	kubeconfig string
	timing     bool
	only       []string
}

func up(ctx context.Context, o upOptions) error {
	if _, err := ownKubeconfig(o.kubeconfig, o.cluster.Metadata.Name); err != nil {
		return err
	}
	began := time.Now()
	holder := newHolder(o.cluster)
	f, err := connect(ctx, o.cluster, o.bundle, holder)
	if err != nil {
		return err
	}
	defer f.close()
	works, err := f.work()
	if err != nil {
		return err
	}
	works = choose(works, o.only)
	targets := f.targets()
	plan, err := engine.Observe(ctx, works, targets)
	if err != nil {
		return err
	}
	if plan.Empty() {
		fmt.Fprintf(o.out, "nothing to do: %s is as %d steps on %d hosts say (%s)\n",
			o.cluster.Metadata.Name, steps(works), len(o.cluster.Spec.Hosts), time.Since(began).Round(10*time.Millisecond))
	} else if err := run(ctx, plan, targets, holder.Run, o); err != nil {
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

func run(ctx context.Context, plan *engine.Plan, targets []engine.Target, name string, o upOptions) error {
	var all []engine.Event
	views := []report.View{view()}
	if o.events != nil {
		views = append(views, report.JSONLines(o.events))
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
		return told{err} // the views have shown every failure in full
	}
	return nil
}

// view is the live view on a terminal, and one line for each change of state elsewhere.
func view() report.View {
	if os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stderr.Fd())) {
		return report.Terminal(os.Stderr, func() (int, int) {
			w, h, _ := term.GetSize(int(os.Stderr.Fd()))
			return w, h
		})
	}
	return report.Plain(os.Stderr)
}

func colorful(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// knownPhases refuses names that no phase has, before a connection is made.
func knownPhases(names []string) error {
	for _, name := range names {
		if !isPhase(name) {
			return usageError{fmt.Errorf("there is no phase %q; see kubewright phase list", name)}
		}
	}
	return nil
}

// choose keeps the works of the named phases; what they wait for is then taken to be there.
func choose(works []engine.Work, only []string) []engine.Work {
	if len(only) == 0 {
		return works
	}
	var out []engine.Work
	for _, w := range works {
		if slices.Contains(only, w.Phase) {
			out = append(out, w)
		}
	}
	return out
}

func isPhase(name string) bool {
	for _, p := range phases.Up() {
		if p.Name == name {
			return true
		}
	}
	return false
}

func steps(works []engine.Work) int {
	n := 0
	for _, w := range works {
		n += len(w.Steps)
	}
	return n
}

func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return usageError{fmt.Errorf("%s %q: want one of %v", flag, value, allowed)}
}

// kubeconfigPath is where a cluster's kubeconfig lies: beside its inventory unless said otherwise.
func kubeconfigPath(flag, inventory string) string {
	if flag != "" {
		return flag
	}
	return filepath.Join(filepath.Dir(inventory), "kubeconfig")
}

var _ engine.Target = (*member)(nil)
