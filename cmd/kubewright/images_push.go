package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/spf13/cobra"
)

func imagesPushCommand() *cobra.Command {
	var flags clusterFlags
	var reg registryFlags
	var to, from string
	cmd := &cobra.Command{
		Use: "push [NAME...]", Short: "Fill a registry from a bundle or an archive, with what it lacks",
		RunE: func(cmd *cobra.Command, names []string) error {
			if from != "" {
				flags.bundle = from
			}
			if to == "" {
				if reg.used() {
					return usageError{errors.New("--auth-file, --ca and --plain-http are for the registry of --to; the cluster's own is reached through its host, and believed by its own authority")}
				}
				return pushToCluster(cmd.Context(), cmd.OutOrStdout(), &flags, names)
			}
			r, err := reg.at("--to", to, only)
			if err != nil {
				return err
			}
			b, err := openBundle(flags.bundle)
			if err != nil {
				return err
			}
			return pushTo(cmd.Context(), cmd.OutOrStdout(), b, r, names)
		},
	}
	flags.add(cmd)
	reg.add(cmd)
	cmd.Flags().StringVar(&to, "to", "", "[http://]HOST:PORT[/PREFIX], a registry that this machine reaches (default: the cluster's own)")
	cmd.Flags().StringVar(&from, "archive", "", "an archive that images pull made (the same as --bundle FILE)")
	cmd.MarkFlagsMutuallyExclusive("bundle", "archive")
	return cmd
}

// pushToCluster fills the cluster's own registry, over the SSH connection to its host.
func pushToCluster(ctx context.Context, w io.Writer, flags *clusterFlags, names []string) error {
	c, b, err := flags.load()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		for _, x := range phases.Stocked(c, b.Lock) {
			names = append(names, x.Repository)
		}
	} else if _, err := b.Lock.Choose(names); err != nil {
		return usageError{err}
	}
	f, err := connect(ctx, c, b, nil)
	if err != nil {
		return err
	}
	defer f.close()
	if err := f.foreign(); err != nil {
		return err
	}
	at, err := f.registry(ctx)
	if err != nil {
		return err
	}
	return pushTo(ctx, w, b, at, names)
}

func pushTo(ctx context.Context, w io.Writer, b *bundle.Bundle, to bundle.Registry, names []string) error {
	if _, err := b.Lock.Choose(names); err != nil {
		return usageError{err}
	}
	m := moved{w: w, word: "pushed", there: "there", name: func(c bundle.Component) string { return c.Tagged(to.String()) }}
	err := bundle.Push(ctx, b, to, names, m.tell)
	if err == nil || m.parts > 0 {
		m.sum("sent", to.String())
	}
	return err
}

// registry is the cluster's own registry, reached from its host.
func (f *fleet) registry(ctx context.Context) (bundle.Registry, error) {
	m, err := f.member(f.cluster.With(inventory.Registry)[0].Name)
	if err != nil {
		return bundle.Registry{}, err
	}
	if m.Facts().Authorities["registry"] == "" {
		return bundle.Registry{}, coded{exitConnect, fmt.Errorf("%s has no registry yet: kubewright up starts it and fills it", m.name)}
	}
	transport, err := f.registryTransport(ctx, m)
	if err != nil {
		return bundle.Registry{}, err
	}
	return bundle.Registry{Address: f.cluster.Registry(), Transport: transport, Trust: "the registry's own authority on " + m.name}, nil
}

func imagesMirrorCommand() *cobra.Command {
	var flags lockFlags
	var reg registryFlags
	var from, to string
	cmd := &cobra.Command{
		Use: "mirror --from REGISTRY --to REGISTRY [NAME...]", Short: "Bring what a registry lacks over from another one",
		Long: "Brings the lock's images and host programs from one registry to another, by digest. Blobs pass through this machine and are kept nowhere.\n" +
			"A config.json has credentials for each; those of one line or of the environment are for --to.",
		RunE: func(cmd *cobra.Command, names []string) error {
			if from == "" || to == "" {
				return usageError{errors.New("--from and --to are both needed")}
			}
			a, err := reg.at("--from", from, giver)
			if err != nil {
				return err
			}
			b, err := reg.at("--to", to, taker)
			if err != nil {
				return err
			}
			if strings.EqualFold(a.String(), b.String()) {
				return usageError{errors.New("--from and --to are the same")}
			}
			_, lock, err := flags.open(cmd, false)
			if err != nil {
				return err
			}
			if _, err := lock.Choose(names); err != nil {
				return usageError{err}
			}
			m := moved{w: cmd.OutOrStdout(), word: "mirrored", there: "there", name: func(c bundle.Component) string { return c.Tagged(b.String()) }}
			err = bundle.Mirror(cmd.Context(), a, b, lock, names, m.tell)
			if err == nil || m.parts > 0 {
				m.sum("brought over", b.String())
			}
			return err
		},
	}
	flags.add(cmd)
	reg.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "the registry that has them")
	cmd.Flags().StringVar(&to, "to", "", "the registry that is to have them")
	return cmd
}
