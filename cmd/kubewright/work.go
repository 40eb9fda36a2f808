package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/preflight"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

// clusterFlags are what every command about a cluster has.
type clusterFlags struct{ file, bundle string }

func (f *clusterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "config", "f", "cluster.yaml", "the inventory file")
	cmd.Flags().StringVar(&f.bundle, "bundle", "", "the bundle's folder or archive (default: the last one built)")
}

// load reads the inventory and opens the bundle: all that can be wrong before a connection is made.
func (f *clusterFlags) load() (*inventory.Cluster, *bundle.Bundle, error) {
	c, err := checked(f.file)
	if err != nil {
		return nil, nil, err
	}
	b, err := openBundle(f.bundle)
	return c, b, err
}

// checked reads the inventory, with the manifests of the user's own addons.
func checked(file string) (*inventory.Cluster, error) {
	c, err := inventory.Load(file)
	if err != nil {
		return nil, err
	}
	if err := addons.Check(c); err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// work computes what there is to do once the hosts have told their facts, if nothing stands in the way.
func (f *fleet) work(ctx context.Context, care caution) ([]engine.Work, error) {
	if err := f.fit(ctx, care); err != nil {
		return nil, err
	}
	works, err := engine.Expand(phases.Up(), phases.Inputs(f.cluster, f.facts(), f.bundle.Lock, f.texts))
	if err != nil {
		return nil, err
	}
	f.answers = phases.NewAnswers(f.cluster, works, f)
	return works, nil
}

// fit refuses hosts that belong to another cluster or cannot be what they should, and warns of what is odd.
func (f *fleet) fit(ctx context.Context, care caution) error {
	if err := f.foreign(); err != nil {
		return err
	}
	found, err := f.preflight(ctx, care)
	if err != nil {
		return err
	}
	if err := found.Err(); err != nil {
		return coded{exitPreflight, err}
	}
	for _, w := range found.Findings {
		word := "warning"
		if w.Ignored {
			word = "ignored"
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", word, report.Escape(w.String()))
	}
	if err := f.ownImages(ctx); err != nil {
		return coded{exitPreflight, err}
	}
	if d := preflight.ProxyMode(f.cluster, f.facts()); d.Fell() {
		fmt.Fprintf(os.Stderr, "warning: kube-proxy: %s\n", report.Escape(d.String()))
	}
	return nil
}

// foreign refuses hosts that belong to another cluster, as far as they were reached.
func (f *fleet) foreign() error {
	var errs []error
	for _, h := range f.cluster.Spec.Hosts {
		if m := f.hosts[h.Name]; m == nil {
			continue
		} else if other, yes := m.foreign(f.cluster); yes {
			errs = append(errs, coded{exitConflict, fmt.Errorf("%s belongs to cluster %s; reset it with that cluster's inventory first", h.Name, report.Escape(other))})
		}
	}
	return errors.Join(errs...)
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
