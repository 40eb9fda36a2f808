package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func resetCommand() *cobra.Command {
	var file, yes string
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
			if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), c, yes); err != nil {
				return err
			}
			f, unreached := connectSome(cmd.Context(), c, nil)
			defer f.close()
			if err := f.lock(cmd.Context(), *newHolder(c)); err != nil {
				return errors.Join(unreached, err)
			}
			began := time.Now()
			var mu sync.Mutex
			errs := []error{unreached}
			var wg sync.WaitGroup
			for name, m := range f.hosts {
				if other, yes := m.foreign(c); yes {
					mu.Lock()
					errs = append(errs, coded{exitConflict, fmt.Errorf("%s belongs to cluster %s; it was left alone", name, report.Escape(other))})
					mu.Unlock()
					continue
				}
				wg.Go(func() {
					n := 0
					err := m.Reset(cmd.Context(), func(p ops.Progress) {
						if p.State == ops.Changed {
							n++
						}
						mu.Lock()
						defer mu.Unlock()
						if p.State == ops.Waits {
							fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s: %s\n", name, report.Escape(string(p.Key)), report.Escape(p.Note))
						}
						if p.State == ops.Failed {
							fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s: %s\n", name, report.Escape(string(p.Key)), report.Escape(p.Error))
						}
					})
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						err = fmt.Errorf("reset: %s: %w", name, err)
						if cmd.Context().Err() == nil {
							err = coded{exitStep, err}
						}
						errs = append(errs, err)
						return
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s: put back %d things (%s)\n", name, n, time.Since(began).Round(10*time.Millisecond))
				})
			}
			wg.Wait()
			return errors.Join(errs...)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "f", "cluster.yaml", "the inventory file")
	cmd.Flags().StringVar(&yes, "yes", "", "the cluster's name, instead of being asked for it")
	return cmd
}

// confirm names the hosts and wants the cluster's name before anything is taken away.
func confirm(in io.Reader, out io.Writer, c *inventory.Cluster, yes string) error {
	if yes == "" {
		if file, ok := in.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
			return coded{exitRefused, fmt.Errorf("reset takes the cluster off its hosts; say --yes=%s if you mean it", c.Metadata.Name)}
		}
		var names []string
		for _, h := range c.Spec.Hosts {
			names = append(names, h.Name)
		}
		fmt.Fprintf(out, "this takes cluster %s off %s, with all that is stored in it\ntype the cluster's name to go on: ", c.Metadata.Name, strings.Join(names, ", "))
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			return coded{exitRefused, errors.New("no name was given; nothing was changed")}
		}
		yes = strings.TrimSpace(line)
	}
	if yes != c.Metadata.Name {
		return coded{exitRefused, fmt.Errorf("the cluster is called %s, not %s; nothing was changed", c.Metadata.Name, report.Escape(yes))}
	}
	return nil
}
