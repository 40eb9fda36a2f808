package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/spf13/cobra"
)

func initCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "init", Short: "Write an inventory to start from", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if os.IsExist(err) {
				return coded{exitRefused, fmt.Errorf("%s exists already; name another file with -f", path)}
			}
			if err != nil {
				return usageError{err}
			}
			if _, err := file.Write(inventory.Example()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: set its hosts, then run kubewright trust and kubewright plan\n", path)
			return file.Close()
		},
	}
	cmd.Flags().StringVarP(&path, "config", "f", "cluster.yaml", "the file to write")
	return cmd
}

func configCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "config", Short: "Check or print the inventory"}
	cmd.PersistentFlags().StringVarP(&path, "config", "f", "cluster.yaml", "the inventory file")
	cmd.AddCommand(&cobra.Command{
		Use: "validate", Short: "Name every mistake in the inventory", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := checked(path)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %d hosts\n", path, c.Metadata.Name, len(c.Spec.Hosts))
			}
			return err
		},
	}, &cobra.Command{
		Use: "print", Short: "Print the inventory with every default filled in", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := inventory.Load(path)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(inventory.Render(addons.Masked(c)))
			return err
		},
	})
	return cmd
}

func trustCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "trust [HOST...]", Short: "Learn the hosts' SSH keys and print them",
		Long: "Learns the SSH host keys of the inventory's hosts, prints their fingerprints and adds them to known_hosts. Compare the\n" +
			"fingerprints with those on the hosts' consoles. A key that differs from a known one is refused.",
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := inventory.Load(path)
			if err != nil {
				return err
			}
			hosts, err := named(c, names)
			if err != nil {
				return err
			}
			var errs []error
			for _, h := range hosts {
				errs = append(errs, learn(cmd.Context(), cmd.OutOrStdout(), h))
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "f", "cluster.yaml", "the inventory file")
	return cmd
}

// learn prints a host's keys before it believes them.
func learn(ctx context.Context, w io.Writer, h inventory.Host) error {
	keys, err := host.Trust(ctx, address(h))
	if err != nil {
		return err
	}
	file, err := knownHosts(h)
	if err != nil {
		return err
	}
	for _, k := range keys {
		fmt.Fprintf(w, "%s  %s  %s  %s\n", h.Name, k.Type, k.Fingerprint, file)
	}
	if err := host.AppendKnownHosts(file, keys); err != nil {
		return coded{exitConnect, err}
	}
	return nil
}

// named are the hosts of those names, or all.
func named(c *inventory.Cluster, names []string) ([]inventory.Host, error) {
	if len(names) == 0 {
		return c.Spec.Hosts, nil
	}
	var out []inventory.Host
	for _, n := range names {
		h, ok := c.Host(n)
		if !ok {
			return nil, usageError{fmt.Errorf("the inventory has no host %q", n)}
		}
		out = append(out, h)
	}
	return out, nil
}

func knownHosts(h inventory.Host) (string, error) {
	if h.SSH.KnownHostsFile != "" {
		return h.SSH.KnownHostsFile, nil
	}
	home, err := os.UserHomeDir()
	return home + "/.ssh/known_hosts", err
}

func phaseCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "phase", Short: "What up is made of"}
	var long bool
	list := &cobra.Command{
		Use: "list", Short: "List the phases, in their order", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, p := range phases.Up() {
				after := ""
				for i, need := range p.After {
					if i == 0 {
						after = "after "
					} else {
						after += ", "
					}
					after += need
				}
				fmt.Fprintf(out, "%s\t%s\t%s\n", p.Name, p.Short, after)
				if long {
					fmt.Fprintf(out, "\t%s\t\n", p.Long)
				}
			}
			return out.Flush()
		},
	}
	list.Flags().BoolVar(&long, "long", false, "with what each does")
	cmd.AddCommand(list)
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "kubewright %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
