package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/spf13/cobra"
)

func resetCommand() *cobra.Command {
	var file, yes string
	var only []string
	cmd := &cobra.Command{
		Use: "reset", Short: "Take the cluster off the hosts and put them back as they were", Args: cobra.NoArgs,
		Long: "Stops everything that up started and restores on every host what was there before, from what the host itself\n" +
			"remembers. It asks for the cluster's name, which --yes gives beforehand. A host that cannot be reached does not keep the\n" +
			"others from being reset; repeat the command when it is back.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := inventory.Load(file)
			if err != nil {
				return err
			}
			hosts, err := theseHosts(c, only)
			if err != nil {
				return err
			}
			about := fmt.Sprintf("this takes cluster %s off %s, with all that is stored in it", c.Metadata.Name, strings.Join(namesOf(hosts), ", "))
			if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), c, yes, "reset takes the cluster off its hosts", about); err != nil {
				return err
			}
			f, unreached := connectTo(cmd.Context(), c, nil, hosts, false)
			defer f.close()
			names, foreign := f.ours()
			if err := f.lock(cmd.Context(), *newHolder(c), names); err != nil {
				return errors.Join(unreached, foreign, err)
			}
			err = f.putBack(cmd, "reset", names, func(ctx context.Context, m *member, emit func(ops.Progress)) error { return m.Reset(ctx, emit) })
			return errors.Join(unreached, foreign, err)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "f", "cluster.yaml", "the inventory file")
	cmd.Flags().StringVar(&yes, "yes", "", "the cluster's name, instead of being asked for it")
	cmd.Flags().StringSliceVar(&only, "host", nil, "reset these hosts only")
	return cmd
}

// theseHosts are the inventory's hosts with these names, or all of them.
func theseHosts(c *inventory.Cluster, only []string) ([]inventory.Host, error) {
	if len(only) == 0 {
		return c.Spec.Hosts, nil
	}
	var out []inventory.Host
	for _, name := range only {
		h, ok := c.Host(name)
		if !ok {
			return nil, usageError{fmt.Errorf("the inventory has no host %q", name)}
		}
		out = append(out, h)
	}
	return out, nil
}

func namesOf(hosts []inventory.Host) []string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names
}
