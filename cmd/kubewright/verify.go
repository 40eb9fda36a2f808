package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/report"
	"github.com/kubewright/kubewright/verify"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
)

func verifyCommand() *cobra.Command {
	var flags clusterFlags
	var output, junit string
	var list, quick bool
	var options verify.Options
	cmd := &cobra.Command{
		Use: "verify [NAME...]", Short: "Prove on the running cluster that it can do what a cluster does",
		Long: "Runs scenarios on the cluster, each a named check: what it proves, what it saw, and where to look when it fails. Checks run side by side\n" +
			"in namespaces of their own, which are removed afterwards, also after Ctrl-C. What the cluster does not have is skipped, with the reason.\n" +
			"It ends with 5 when a check failed.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			if options.Parallel < 1 || options.Timeout < 0 {
				return usageError{errors.New("--parallel has to be at least 1, and --timeout not less than 0")}
			}
			checks, err := verify.Select(verify.All(), args, quick)
			if err != nil {
				return usageError{err}
			}
			if list {
				return listChecks(cmd.OutOrStdout(), checks)
			}
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			f, unreached := connectSome(ctx, c, b)
			defer f.close()
			target, err := f.verifiable(ctx)
			if err != nil {
				return errors.Join(err, unreached)
			}
			options.Ended = func(x verify.Result) { fmt.Fprintln(cmd.ErrOrStderr(), ended(x)) }
			if output == "text" {
				options.Ended = func(x verify.Result) { fmt.Fprintln(cmd.OutOrStdout(), ended(x)) }
			}
			found, failed := verify.Run(ctx, target, checks, options)
			if output == "json" {
				err = found.JSON(cmd.OutOrStdout())
			} else {
				err = summary(cmd.OutOrStdout(), found)
			}
			if junit != "" {
				err = errors.Join(err, writeJUnit(junit, found))
			}
			if failed != nil && ctx.Err() == nil {
				failed = coded{exitStep, failed}
			}
			if err := errors.Join(err, failed); err != nil {
				return err
			}
			if found.Failed > 0 {
				return coded{exitStep, told{fmt.Errorf("%d checks failed", found.Failed)}}
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.Flags().StringVar(&junit, "junit", "", "also write the results as JUnit's XML to this file")
	cmd.Flags().BoolVar(&list, "list", false, "only list the checks")
	cmd.Flags().BoolVar(&quick, "quick", false, "leave out what waits for minutes by its nature")
	cmd.Flags().IntVar(&options.Parallel, "parallel", 6, "how many checks run at a time")
	cmd.Flags().DurationVar(&options.Timeout, "timeout", 0, "how long each check may take (default: each its own)")
	return cmd
}

// verifiable is the cluster as checks see it.
func (f *fleet) verifiable(ctx context.Context) (verify.Cluster, error) {
	config, err := f.rest(ctx)
	if err != nil {
		return verify.Cluster{}, coded{exitConnect, fmt.Errorf("%s: %w", phases.ClusterTarget, err)}
	}
	asking, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	if _, err := addons.NewAPI(phases.ClusterTarget, f.rest).Client(asking); err != nil {
		return verify.Cluster{}, coded{exitConnect, fmt.Errorf("%s: %w", phases.ClusterTarget, err)}
	}
	config.QPS, config.Burst = -1, -1 // the API server's own flow control is enough
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return verify.Cluster{}, err
	}
	var queries []verify.Query
	if f.cluster.Spec.Addons.Monitoring.Enabled {
		for _, q := range addons.DashboardQueries(phases.Env(f.cluster, f.bundle.Lock, f.texts)) {
			queries = append(queries, verify.Query{Name: q.Dashboard + ": " + q.Panel, Expr: q.Expr})
		}
	}
	return verify.Cluster{
		Config: config, Client: client, Domain: f.cluster.Spec.Network.DNSDomain,
		Image: f.checksImage, NFS: f.nfs(), Dial: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		Queries: queries,
	}, nil
}

// checksImage is where nodes get an image from that checks use: the private registry has what the bundle has.
func (f *fleet) checksImage(name string) (string, error) {
	find := f.bundle.Lock.Image
	if f.cluster.UsesDocker() {
		find = f.bundle.Lock.Gzip
	}
	c, err := find(name)
	if err != nil || !slices.ContainsFunc(phases.Stocked(f.cluster, f.bundle.Lock), func(x bundle.Component) bool { return x.Repository == c.Repository }) {
		return "", fmt.Errorf("the registry has no image %s: the bundle does not have it", name)
	}
	return c.Reference(f.cluster.Registry()), nil
}

// nfs is where the cluster's NFS volumes are, nil where it has none.
func (f *fleet) nfs() *verify.NFSExport {
	n := f.cluster.Spec.Addons.Storage.NFS
	if !n.Enabled || len(n.Exports) == 0 {
		return nil
	}
	server := n.Server
	if at := f.cluster.With(inventory.Registry); server == "" && len(at) > 0 {
		server = at[0].Address.String()
	}
	return &verify.NFSExport{Server: server, Path: n.Exports[0].Path}
}

func listChecks(w io.Writer, checks []verify.Check) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "CHECK\tNEEDS\tWHAT IT PROVES")
	for _, c := range checks {
		var needs []string
		for _, n := range c.Needs {
			needs = append(needs, string(n))
		}
		for _, i := range c.Images {
			needs = append(needs, "image "+i)
		}
		short := c.Short
		if c.Slow {
			short += " (slow)"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\n", c.Name, dash(strings.Join(needs, ", ")), short)
	}
	return out.Flush()
}

// ended is one line about a check.
func ended(x verify.Result) string {
	word, about := "ok", ""
	switch x.Result {
	case verify.Failed:
		word, about = "FAIL", x.Error
	case verify.Skipped, verify.Interrupted:
		word, about = x.Result, x.Error
	default:
		if len(x.Evidence) > 0 {
			about = x.Evidence[0]
		}
	}
	about, _, _ = strings.Cut(about, "\n")
	return fmt.Sprintf("%-11s  %-20s  %5.1fs  %s", word, x.Name, x.Seconds, report.Escape(about))
}

// slowest is how many checks the summary names.
const slowest = 5

func summary(w io.Writer, r verify.Report) error {
	fmt.Fprintln(w)
	for _, x := range r.Results {
		if x.Result != verify.Failed {
			continue
		}
		fmt.Fprintf(w, "%s: %s\n", x.Name, x.Short)
		for _, line := range x.Evidence {
			fmt.Fprintf(w, "  seen: %s\n", report.Escape(line))
		}
		for line := range strings.Lines(x.Error) {
			fmt.Fprintf(w, "  failed: %s\n", report.Escape(strings.TrimRight(line, "\n")))
		}
		if x.Remedy != "" {
			fmt.Fprintf(w, "  where to look: %s\n", x.Remedy)
		}
	}
	took := slices.Clone(r.Results)
	slices.SortStableFunc(took, func(a, b verify.Result) int { return int(1000 * (b.Seconds - a.Seconds)) })
	var longest []string
	for _, x := range took[:min(slowest, len(took))] {
		if x.Seconds > 0 {
			longest = append(longest, fmt.Sprintf("%s %.1fs", x.Name, x.Seconds))
		}
	}
	ended := len(r.Results) - r.Passed - r.Failed - r.Skipped
	if ended > 0 {
		fmt.Fprintf(w, "%d had not ended when the run was interrupted\n", ended)
	}
	_, err := fmt.Fprintf(w, "%d passed, %d failed, %d skipped in %.1fs; the slowest: %s\n", r.Passed, r.Failed, r.Skipped, r.Seconds, dash(strings.Join(longest, ", ")))
	return err
}

func writeJUnit(path string, r verify.Report) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(r.JUnit(file), file.Close())
}
