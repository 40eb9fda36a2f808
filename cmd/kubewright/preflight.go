package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/preflight"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

// caution is what is checked of hosts before anything else, and what stands in nobody's way.
type caution struct {
	ignore []string
	scope  *preflight.Scope // nil: only what hosts say of themselves unasked
}

func (c *caution) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&c.ignore, "ignore-preflight", nil, "checks whose findings stop nothing, by their names")
}

// check refuses names that no check has, before a connection is made.
func (c *caution) check() error {
	for _, name := range c.ignore {
		if wrong, remedy := inventory.CheckName(name); wrong != "" {
			return usageError{fmt.Errorf("--ignore-preflight %s %s: %s", report.Escape(name), wrong, remedy)}
		}
	}
	return nil
}

func preflightCommand() *cobra.Command {
	var flags clusterFlags
	var care caution
	var output string
	var more []string
	var all, trial bool
	cmd := &cobra.Command{
		Use: "preflight", Short: "Check whether the hosts can become the cluster, and change nothing", Args: cobra.NoArgs,
		Long: "Checks whether the hosts can become what the inventory says, or still are what they were: what they say of\n" +
			"themselves, and what they find out together by trying (which ports reach which host, how far their clocks are\n" +
			"apart, how fast etcd's disk is). Nothing is changed and nothing is written that a directory would show.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--output", output, "table", "json"); err != nil {
				return err
			}
			care.ignore = append(care.ignore, more...)
			if err := care.check(); err != nil {
				return err
			}
			c, err := inventory.Load(flags.file)
			if err != nil {
				return err
			}
			b, err := openBundle(flags.bundle)
			if err != nil {
				if flags.bundle != "" {
					return err
				}
				fmt.Fprintf(os.Stderr, "warning: %s: what a bundle needs of the hosts is not checked\n", report.Escape(err.Error()))
			}
			began := time.Now()
			scope := preflight.Full
			scope.Trial = trial
			care.scope = &scope
			f, unreached := connectSome(cmd.Context(), c, b)
			defer f.close()
			if len(f.hosts) == 0 {
				return unreached
			}
			if err := f.foreign(); err != nil {
				return errors.Join(err, unreached)
			}
			found, err := f.preflight(cmd.Context(), care)
			if err != nil {
				return errors.Join(err, unreached)
			}
			show := showFindings
			if output == "json" {
				show = showFindingsJSON
			}
			if err := show(cmd.OutOrStdout(), found, all, time.Since(began)); err != nil {
				return err
			}
			if err := found.Err(); err != nil {
				// What was found has been shown; which hosts were not reached has not.
				if unreached != nil {
					finish(unreached)
				}
				return coded{exitPreflight, told{err}}
			}
			return unreached
		},
	}
	flags.add(cmd)
	care.add(cmd)
	cmd.Flags().StringSliceVar(&more, "ignore", nil, "the same as --ignore-preflight")
	cmd.Flags().BoolVar(&all, "all", false, "list also what is well, and what could not be looked at")
	cmd.Flags().BoolVar(&trial, "trial", false, "have every node's runtime run a container for a moment, where there is one (it writes in its own store)")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// preflight makes the checks on the hosts that were reached.
func (f *fleet) preflight(ctx context.Context, care caution) (preflight.Report, error) {
	c := f.reachedCluster()
	in := preflight.Input{
		Cluster: c, Facts: f.facts(), Skews: f.skews(), Now: time.Now(),
		Ignore: slices.Concat(care.ignore, f.cluster.Spec.Preflight.Ignore),
	}
	if f.bundle != nil {
		in.Needs = phases.Needs(c, f.bundle.Lock)
	}
	if care.scope == nil {
		return preflight.Run(in), nil
	}
	if err := f.survey(ctx, &in, *care.scope); err != nil {
		return preflight.Report{}, err
	}
	found := preflight.Run(in)
	if care.scope.Window < preflight.Full.Window && slices.ContainsFunc(found.Findings, func(x preflight.Finding) bool { return x.Check == "reach" }) {
		// A slow host may have come too late for a short window: nobody is refused before a long one.
		again := *care.scope
		again.Window = preflight.Full.Window
		if err := f.survey(ctx, &in, again); err != nil {
			return preflight.Report{}, err
		}
		found = preflight.Run(in)
	}
	return found, nil
}

// survey asks all hosts at once, each one question. A host without an answer that can be used is a finding, and does not hide what the others say. One
// that is lost meanwhile is an error.
func (f *fleet) survey(ctx context.Context, in *preflight.Input, scope preflight.Scope) error {
	in.Asked, in.Surveys, in.Mute = preflight.Survey(*in, scope), map[string]*agent.Survey{}, map[string]string{}
	asking, cancel := context.WithTimeoutCause(ctx, scope.Window+scope.Fsync+30*time.Second, errors.New("it did not come in time"))
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var away []error
	for name, m := range f.hosts {
		wg.Go(func() {
			answer, sent, came, err := m.Survey(asking, in.Asked[name])
			mu.Lock()
			defer mu.Unlock()
			var lost *agent.LostError
			switch {
			case errors.As(err, &lost):
				away = append(away, fmt.Errorf("%s: %w", name, err))
			case err != nil:
				in.Mute[name] = err.Error()
			default:
				in.Surveys[name], in.Skews[name] = answer, preflight.Measured(answer, sent, came)
			}
		})
	}
	wg.Wait()
	return errors.Join(context.Cause(ctx), errors.Join(away...))
}

// bare says that nothing has been changed on any host.
func (f *fleet) bare() bool {
	for _, m := range f.hosts {
		if m.Facts().Changes > 0 {
			return false
		}
	}
	return true
}

// reachedCluster is the cluster without the hosts that could not be reached, for what is said of the others.
func (f *fleet) reachedCluster() *inventory.Cluster {
	if len(f.hosts) == len(f.cluster.Spec.Hosts) {
		return f.cluster
	}
	c := *f.cluster
	c.Spec.Hosts = slices.DeleteFunc(slices.Clone(c.Spec.Hosts), func(h inventory.Host) bool { return f.hosts[h.Name] == nil })
	return &c
}

// decision is kube-proxy's mode, as far as the hosts that were reached tell; nil where none was.
func (f *fleet) decision() *preflight.Decision {
	c := f.reachedCluster()
	if len(c.Nodes()) == 0 {
		return nil
	}
	d := preflight.ProxyMode(c, f.facts())
	return &d
}

// notes are the decisions that a plan stands on.
func (f *fleet) notes() []report.Note {
	d := f.decision()
	return []report.Note{{About: "kube-proxy", Text: d.String(), Value: d}}
}

// finding is a row of the table, or an object in JSON.
type finding struct {
	Check    string   `json:"check"`
	Status   string   `json:"status"` // failed, ignored, passed, skipped
	Severity string   `json:"severity,omitempty"`
	Hosts    []string `json:"hosts,omitempty"` // none: all of them together
	Observed string   `json:"observed,omitempty"`
	Needed   string   `json:"needed,omitempty"`
	Remedy   string   `json:"remedy,omitempty"`
}

// rows are the findings, what is the same of several hosts together, and with all also what is well and what was not looked at.
func rows(r preflight.Report, all bool) (out []finding) {
	for _, f := range r.Findings {
		row := finding{Check: f.Check, Status: "failed", Severity: string(f.Severity), Hosts: escapeAll(f.Hosts),
			Observed: report.Escape(f.Found), Needed: report.Escape(f.Need), Remedy: report.Escape(f.Remedy)}
		if f.Ignored {
			row.Status = "ignored"
		}
		i := slices.IndexFunc(out, func(o finding) bool {
			return o.Check == row.Check && o.Status == row.Status && o.Severity == row.Severity && o.Observed == row.Observed && o.Needed == row.Needed &&
				o.Remedy == row.Remedy && len(f.Hosts) == 1
		})
		if i >= 0 {
			out[i].Hosts = append(out[i].Hosts, row.Hosts...)
			continue
		}
		out = append(out, row)
	}
	if !all {
		return out
	}
	for _, x := range []struct {
		status string
		of     []preflight.Outcome
	}{{"passed", r.Passed}, {"skipped", r.Skipped}} {
		for _, o := range x.of {
			row := finding{Check: o.Check, Status: x.status, Observed: report.Escape(o.Text)}
			if o.Host != "" {
				row.Hosts = []string{o.Host}
			}
			out = append(out, row)
		}
	}
	return out
}

func escapeAll(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = report.Escape(s)
	}
	return out
}

func showFindings(w io.Writer, r preflight.Report, all bool, took time.Duration) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, f := range rows(r, all) {
		what, hosts := f.Severity, strings.Join(f.Hosts, ", ")
		if f.Status != "failed" {
			what = f.Status
		}
		if hosts == "" {
			hosts = "all hosts"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", what, f.Check, hosts, f.Observed)
		if f.Needed != "" {
			fmt.Fprintf(out, "\t\t\t  needed: %s\n\t\t\t  what to do: %s\n", f.Needed, f.Remedy)
		}
	}
	failed := map[string]bool{}
	for _, f := range r.Findings {
		failed[f.Check] = true
	}
	fmt.Fprintf(out, "%d checks on %d hosts passed (%s)\n", r.Checks-len(failed), r.Hosts, took.Round(10*time.Millisecond))
	return out.Flush()
}

func showFindingsJSON(w io.Writer, r preflight.Report, _ bool, took time.Duration) error {
	count := func(s preflight.Severity, ignored bool) (n int) {
		for _, f := range r.Findings {
			if f.Ignored == ignored && (ignored || f.Severity == s) {
				n++
			}
		}
		return n
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{
		"version": 1, "checks": r.Checks, "hosts": r.Hosts, "seconds": took.Seconds(),
		"errors": count(preflight.Error, false), "warnings": count(preflight.Warning, false), "ignored": count("", true), "results": rows(r, true),
	})
}
