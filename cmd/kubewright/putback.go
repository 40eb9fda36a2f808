package main

import (
	"bufio"
	"context"
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

// putBack has hosts put back what was changed on them and tells how that went on each. What cannot be put back on one does not keep the others from it. All are at
// it at the same time but an NFS server: nodes that let go of its volumes need it until they have.
func (f *fleet) putBack(cmd *cobra.Command, verb string, hosts []string, do func(context.Context, *member, func(ops.Progress)) error) error {
	server, _ := f.cluster.NFSHost()
	var clients, last []string
	for _, name := range hosts {
		if name == server.Name {
			last = append(last, name)
		} else {
			clients = append(clients, name)
		}
	}
	return errors.Join(f.putBackTogether(cmd, verb, clients, do), f.putBackTogether(cmd, verb, last, do))
}

func (f *fleet) putBackTogether(cmd *cobra.Command, verb string, hosts []string, do func(context.Context, *member, func(ops.Progress)) error) error {
	ctx, began := cmd.Context(), time.Now()
	errs := make([]error, len(hosts))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, name := range hosts {
		m := f.hosts[name]
		wg.Go(func() {
			n := 0
			err := do(ctx, m, func(p ops.Progress) {
				mu.Lock()
				defer mu.Unlock()
				switch p.State {
				case ops.Changed:
					n++
				case ops.Waits:
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s: %s\n", name, report.Escape(string(p.Key)), report.Escape(p.Note))
				case ops.Failed:
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s: %s\n", name, report.Escape(string(p.Key)), report.Escape(p.Error))
				}
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: put back %d things (%s)\n", name, n, time.Since(began).Round(10*time.Millisecond))
				return
			}
			errs[i] = fmt.Errorf("%s: %s: %w", verb, name, err)
			if ctx.Err() == nil {
				errs[i] = coded{exitStep, errs[i]}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// ours are the hosts that may be put back, in the inventory's order; the error names those of other clusters.
func (f *fleet) ours() (names []string, err error) {
	var errs []error
	for _, h := range f.cluster.Spec.Hosts {
		m := f.hosts[h.Name]
		if m == nil {
			continue
		}
		if other, yes := m.foreign(f.cluster); yes {
			errs = append(errs, coded{exitConflict, fmt.Errorf("%s belongs to cluster %s; it was left alone", h.Name, report.Escape(other))})
			continue
		}
		names = append(names, h.Name)
	}
	return names, errors.Join(errs...)
}

// confirm says what is about to be done and wants the cluster's name for it, from the flag or from a person. does is what the command does, in a
// word or two.
func confirm(in io.Reader, out io.Writer, c *inventory.Cluster, yes, does, about string) error {
	if yes == "" {
		if file, ok := in.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
			return coded{exitRefused, fmt.Errorf("%s; say --yes=%s if you mean it", does, c.Metadata.Name)}
		}
		fmt.Fprintf(out, "%s\ntype the cluster's name to go on: ", about)
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			return coded{exitRefused, errors.New("no name was given; nothing was changed")}
		}
		if yes = strings.TrimSpace(line); yes == "" {
			return coded{exitRefused, errors.New("no name was given; nothing was changed")}
		}
	}
	return rightName(c, yes)
}

// rightName refuses another name than the cluster's.
func rightName(c *inventory.Cluster, yes string) error {
	if yes != c.Metadata.Name {
		return coded{exitRefused, fmt.Errorf("the cluster is called %s, not %s; nothing was changed", c.Metadata.Name, report.Escape(yes))}
	}
	return nil
}
