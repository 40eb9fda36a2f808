package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

func imagesCheckCommand() *cobra.Command {
	var flags lockFlags
	var reg registryFlags
	var address, output string
	cmd := &cobra.Command{
		Use: "check [NAME...]", Short: "Look whether a registry has every image, and whether every node gets it",
		Long: "Looks for the lock's images and host programs in the cluster's registry, and has every node ask for them itself; with --registry in another\n" +
			"registry, from this machine alone. Nothing is fetched but manifests. Ends with 3 when something lacks.",
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			if address == "" && reg.used() {
				return usageError{errors.New("--auth-file, --ca and --plain-http are for the registry of --registry")}
			}
			var r bundle.Registry
			if address != "" {
				var err error
				if r, err = reg.at("--registry", address, only); err != nil {
					return err
				}
			}
			c, lock, err := flags.open(cmd, address == "")
			if err != nil {
				return err
			}
			chosen, err := lock.Choose(names)
			if err != nil {
				return usageError{err}
			}
			lock.Components = chosen
			if address != "" {
				found, err := bundle.Check(cmd.Context(), r, lock, nil)
				if err != nil {
					return err
				}
				return showCheck(cmd.OutOrStdout(), output, r.String(), found, nil, nil)
			}
			return checkCluster(cmd.Context(), cmd.OutOrStdout(), output, c, lock)
		},
	}
	flags.add(cmd)
	reg.add(cmd)
	cmd.Flags().StringVar(&address, "registry", "", "[http://]HOST:PORT[/PREFIX], a registry that this machine reaches (default: the cluster's own)")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func checkCluster(ctx context.Context, w io.Writer, output string, c *inventory.Cluster, lock bundle.Lock) error {
	f, unreached := connectSome(ctx, c, nil)
	defer f.close()
	if len(f.hosts) == 0 {
		return unreached
	}
	if err := f.foreign(); err != nil {
		return errors.Join(err, unreached)
	}
	r, err := f.registry(ctx)
	if err != nil {
		return errors.Join(err, unreached)
	}
	found, err := bundle.Check(ctx, r, lock, nil)
	if err != nil {
		return errors.Join(err, unreached)
	}
	lacks, asked, err := f.lacking(ctx, lock.Components)
	if err != nil {
		return errors.Join(err, unreached)
	}
	err = showCheck(w, output, c.Registry(), found, lacks, asked)
	if err != nil && unreached != nil {
		finish(unreached)
	}
	return errors.Join(err, unreached)
}

// lack is an image that a host does not get.
type lack struct {
	Host  string `json:"host"`
	Image string `json:"image"`
	Why   string `json:"why"`
}

// maxAsked is how many manifests an agent asks for at once.
const maxAsked = 200

// lacking has every node ask the cluster's registry itself for the components, verified as its runtime does, and names what each does not get. It is for
// registries that are there: one that up fills itself lacks nothing by then.
func (f *fleet) lacking(ctx context.Context, all []bundle.Component) (lacks []lack, asked []string, err error) {
	ask := agent.RegistryAsk{Address: f.cluster.Registry()}
	facts := f.facts()
	for _, r := range f.cluster.With(inventory.Registry) {
		ask.Authority = facts[r.Name].Authorities["registry"]
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	for _, h := range f.cluster.Nodes() {
		m := f.hosts[h.Name]
		if m == nil {
			continue
		}
		asked = append(asked, h.Name)
		wg.Go(func() {
			for part := range slices.Chunk(all, maxAsked) {
				got, err := askFor(ctx, m, ask, part)
				mu.Lock()
				lacks = append(lacks, got...)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", h.Name, err))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.SortFunc(lacks, func(a, b lack) int { return strings.Compare(a.Host+" "+a.Image, b.Host+" "+b.Image) })
	return lacks, asked, errors.Join(errs...)
}

func askFor(ctx context.Context, m *member, ask agent.RegistryAsk, part []bundle.Component) (lacks []lack, err error) {
	for _, c := range part {
		ask.Manifests = append(ask.Manifests, agent.Manifest{Repository: c.Repository, Digest: c.ManifestDigest()})
	}
	answer, _, _, err := m.Survey(ctx, agent.SurveyAsk{Registry: &ask})
	if err != nil {
		return nil, err
	}
	if len(answer.Pulled) != len(part) {
		return nil, errors.New("its agent did not answer for every image")
	}
	for i, c := range part {
		if why := answer.Pulled[i]; why != "ok" {
			lacks = append(lacks, lack{Host: m.name, Image: c.Repository + ":" + c.Version, Why: why})
		}
	}
	return lacks, nil
}

func showCheck(w io.Writer, output, registry string, found []bundle.Checked, lacks []lack, asked []string) error {
	type row struct {
		Image  string `json:"image"`
		Digest string `json:"digest"`
		State  string `json:"state"`
		Detail string `json:"detail,omitempty"`
	}
	var rows []row
	missing := 0
	for _, x := range found {
		r := row{x.Component.Repository + ":" + x.Component.Version, x.Component.ManifestDigest(), x.State, report.Escape(x.Detail)}
		rows = append(rows, r)
		if x.State == bundle.StatePresent {
			continue
		}
		missing++
		if output == "text" {
			fmt.Fprintf(w, "%s: %s: %s\n", r.Image, r.State, r.Detail)
		}
	}
	for i := range lacks {
		lacks[i].Why = report.Escape(lacks[i].Why)
	}
	if output == "json" {
		if lacks == nil {
			lacks = []lack{}
		}
		if err := writeJSON(w, map[string]any{"version": 1, "registry": registry, "images": rows, "asked": asked, "lacking": lacks}); err != nil {
			return err
		}
	} else {
		for _, l := range lacks {
			fmt.Fprintf(w, "%s: %s: %s (%s)\n", l.Host, l.Image, l.Why, registry)
		}
		fmt.Fprintf(w, "%d of %d components are in %s", len(found)-missing, len(found), registry)
		if len(asked) > 0 {
			fmt.Fprintf(w, "; %s asked for them too", strings.Join(asked, ", "))
		}
		fmt.Fprintln(w)
	}
	if missing == 0 && len(lacks) == 0 {
		return nil
	}
	return coded{exitPreflight, told{errors.New("images are missing")}}
}
