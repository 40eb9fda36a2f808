package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/spf13/cobra"
)

// neededBy says who needs a component of the lock.
var neededBy = phases.NeededBy

func imagesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "images", Short: "Images and host programs between bundles, archives and registries",
		Long: "Lists, checks and moves what clusters are made of: the images and host programs of one lock, by digest. A name is REPOSITORY as\n" +
			"the list shows it (kube-proxy, bin/kubelet); without names all are meant. What is there already is not sent again.",
	}
	cmd.AddCommand(imagesListCommand(), imagesCheckCommand(), imagesPushCommand(), imagesPullCommand(), imagesMirrorCommand())
	return cmd
}

// lockFlags say which lock is meant, and for which cluster.
type lockFlags struct {
	clusterFlags
	lock string
}

func (f *lockFlags) add(cmd *cobra.Command) {
	f.clusterFlags.add(cmd)
	cmd.Flags().StringVar(&f.lock, "lock", "", "a bundle's lock.json, in place of the bundle")
	cmd.MarkFlagsMutuallyExclusive("bundle", "lock")
}

// open reads the lock, and the inventory if there is one: named with -f, or cluster.yaml where it is wanted or lies.
func (f *lockFlags) open(cmd *cobra.Command, wantCluster bool) (*inventory.Cluster, bundle.Lock, error) {
	var c *inventory.Cluster
	_, absent := os.Stat(f.file)
	if wantCluster || cmd.Flags().Changed("config") || !errors.Is(absent, fs.ErrNotExist) {
		var err error
		if c, err = inventory.Load(f.file); err != nil {
			return nil, bundle.Lock{}, err
		}
	}
	lock, err := f.readLock()
	if err == nil && c != nil {
		lock.Components = phases.Stocked(c, lock)
	}
	return c, lock, err
}

func (f *lockFlags) readLock() (bundle.Lock, error) {
	if f.lock != "" {
		lock, err := bundle.ReadLock(f.lock)
		if err != nil {
			return lock, usageError{fmt.Errorf("--lock %s: %w", f.lock, err)}
		}
		return lock, nil
	}
	b, err := openBundle(f.bundle)
	if err != nil {
		return bundle.Lock{}, err
	}
	return b.Lock, nil
}

func imagesListCommand() *cobra.Command {
	var flags lockFlags
	var output string
	cmd := &cobra.Command{
		Use: "list [NAME...]", Short: "List images and host programs with their names in the cluster's registry",
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			c, lock, err := flags.open(cmd, false)
			if err != nil {
				return err
			}
			chosen, err := lock.Choose(names)
			if err != nil {
				return usageError{err}
			}
			registry := ""
			if c != nil {
				registry = c.Registry()
			}
			all := bundle.List(chosen, registry, neededBy)
			if output == "json" {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"version": 1, "registry": registry, "rule": bundle.RetagRule(registry), "components": all})
			}
			return bundle.Show(cmd.OutOrStdout(), all, registry)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
