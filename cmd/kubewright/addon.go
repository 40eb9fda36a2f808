package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

func addonCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "addon", Short: "What runs in the cluster besides what makes it one"}
	cmd.AddCommand(addonListCommand(), addonSwitchCommand("enable", true), addonSwitchCommand("disable", false), addonDiffCommand(), addonValuesCommand())
	return cmd
}

// addonRow is what is known of one addon.
type addonRow struct {
	Name    string        `json:"name"`
	Short   string        `json:"short"`
	Enabled bool          `json:"enabled"`
	State   string        `json:"state"` // off, ready, "4 changes", or why it is not known
	Doors   []addons.Door `json:"doors,omitempty"`
}

func addonListCommand() *cobra.Command {
	var flags clusterFlags
	var output string
	cmd := &cobra.Command{
		Use: "list", Short: "List the addons, how they are, and where they are reached", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--output", output, "table", "json"); err != nil {
				return err
			}
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			f, unreached := connectSome(cmd.Context(), c, b)
			defer f.close()
			rows, err := f.addons(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(rows)
			} else {
				err = addonTable(cmd.OutOrStdout(), rows)
			}
			return errors.Join(err, unreached)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// addons are all addons that kubewright or the inventory knows, and what the cluster has besides.
func (f *fleet) addons(ctx context.Context) ([]addonRow, error) {
	works, err := engine.Expand(phases.Up(), phases.Inputs(f.cluster, f.allFacts(), f.bundle.Lock, f.texts))
	if err != nil {
		return nil, err
	}
	works = slices.DeleteFunc(works, func(w engine.Work) bool { return !phases.OfCluster(w.Target) })
	plan, _ := engine.Observe(ctx, works, f.targets()) // what could not be looked at says so
	flannel := addonRow{Name: inventory.AddonFlannel, Short: "pods on different nodes reach each other (" + f.cluster.Spec.Addons.Flannel.Backend + ")", Enabled: true}
	flannel.State = stateOf(plan, phases.ClusterTarget, "flannel")
	rows := []addonRow{flannel}
	enabled := addons.Of(f.cluster)
	for _, a := range enabled {
		row := addonRow{Name: a.Name, Short: a.Short, Enabled: true, State: stateOf(plan, phases.AddonTarget(a.Name), "")}
		if parts, err := a.Make(phases.Env(f.cluster, f.bundle.Lock, f.texts)); err == nil {
			row.Doors = parts.Doors
		}
		rows = append(rows, row)
	}
	for _, a := range addons.Catalogue() {
		if !f.cluster.Spec.Addons.Has(a.Name) {
			rows = append(rows, addonRow{Name: a.Name, Short: a.Short, State: "off"})
		}
	}
	if _, err := f.api().Client(ctx); err != nil {
		return rows, nil
	}
	sets, err := f.api().Sets(ctx)
	for name := range sets {
		if f.cluster.Spec.Addons.Has(name) {
			continue
		}
		i := slices.IndexFunc(rows, func(r addonRow) bool { return r.Name == name })
		if i < 0 {
			rows = append(rows, addonRow{Name: name})
			i = len(rows) - 1
		}
		rows[i].State = "is there; the next up removes it"
	}
	return rows, err
}

// stateOf says how the objects of one target are, or those of one part of it.
func stateOf(plan *engine.Plan, target, part string) string {
	n := 0
	for _, w := range plan.Works {
		if w.Target != target {
			continue
		}
		if w.Err != nil {
			if errors.Is(w.Err, addons.ErrNoCluster) {
				return "there is no cluster yet"
			}
			return "unknown: " + w.Err.Error()
		}
		for _, c := range w.Changes {
			if strings.Contains(string(c.Op.Key()), part) {
				n++
			}
		}
	}
	if n == 0 {
		return "ready"
	}
	return "differs: " + count(n, "change", "changes") + " to make"
}

func addonTable(w io.Writer, rows []addonRow) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "ADDON\tSTATE\tWHAT FOR\tWHERE")
	for _, r := range rows {
		var doors []string
		for _, d := range r.Doors {
			doors = append(doors, d.Name+" "+d.URL)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", r.Name, report.Escape(r.State), r.Short, strings.Join(doors, ", "))
	}
	return out.Flush()
}

// addonSwitchCommand writes into the inventory whether an addon is enabled, and brings the cluster there.
func addonSwitchCommand(verb string, on bool) *cobra.Command {
	var flags clusterFlags
	var care caution
	var only, timing bool
	var kubeconfig string
	word := "Enable"
	if !on {
		word = "Disable"
	}
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: word + " an addon in the inventory, and bring the cluster there", Args: cobra.ExactArgs(1),
		Long: word + " an addon in the inventory, of which every other byte stays as it is, and then do what up does. With --inventory-only\n" +
			"the cluster stays as it is until the next up.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := care.check(); err != nil {
				return err
			}
			changed, err := switchAddon(flags.file, args[0], on)
			if err != nil {
				return err
			}
			if changed {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s says now that %s is %sd\n", flags.file, args[0], verb)
			}
			if only {
				return nil
			}
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			return up(cmd.Context(), upOptions{cluster: c, bundle: b, out: cmd.OutOrStdout(), timing: timing, kubeconfig: kubeconfigPath(kubeconfig, flags.file), care: care, warn: cmd.ErrOrStderr()})
		},
	}
	flags.add(cmd)
	care.add(cmd)
	cmd.Flags().BoolVar(&only, "inventory-only", false, "write the inventory and leave the cluster alone")
	cmd.Flags().BoolVar(&timing, "timing", false, "show where the time went")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "where to write the kubeconfig (default: kubeconfig beside the inventory)")
	return cmd
}

// switchAddon changes the inventory, as a whole or not at all, and says whether it had to.
func switchAddon(file, name string, on bool) (bool, error) {
	c, err := inventory.Load(file)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(c.Spec.Addons.Own, func(o inventory.Own) bool { return o.Name == name }) {
		return false, usageError{fmt.Errorf("%s is an addon of your own: it is enabled as long as it is listed under spec.addons.own", name)}
	}
	if _, known := inventory.AddonKey(name); known && c.Spec.Addons.Has(name) == on {
		return false, nil
	}
	if name == inventory.AddonFlannel {
		return false, usageError{errors.New("flannel is the pod network: without it there is no cluster")}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return false, usageError{err}
	}
	out, err := inventory.Enable(file, data, name, on)
	if err != nil {
		return false, usageError{err}
	}
	return true, replaceFile(file, out)
}

// replaceFile writes a file's new content in one step, with the mode and the owner that it has. What a link leads to is written, not the link. A file that nobody may
// write is not.
func replaceFile(path string, content []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o222 == 0 {
		return usageError{fmt.Errorf("%s is read-only; make it writable, or write it yourself", path)}
	}
	uid, gid := os.Getuid(), os.Getgid()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		uid, gid = int(stat.Uid), int(stat.Gid)
	}
	return writeAs(path, content, info.Mode().Perm(), uid, gid)
}

func addonDiffCommand() *cobra.Command {
	var flags clusterFlags
	var exitCode bool
	cmd := &cobra.Command{
		Use: "diff [NAME]", Short: "Show what up would change of an addon, or of all", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			if len(args) == 1 && (!c.Spec.Addons.Has(args[0]) || args[0] == inventory.AddonFlannel) {
				return usageError{fmt.Errorf("%q is not an addon that the inventory enables, besides the pod network; see kubewright addon list", args[0])}
			}
			f, err := connect(cmd.Context(), c, b, nil)
			if err != nil {
				return err
			}
			defer f.close()
			works, err := engine.Expand(phases.Up(), phases.Inputs(c, f.facts(), b.Lock, f.texts))
			if err != nil {
				return err
			}
			works = slices.DeleteFunc(works, func(w engine.Work) bool {
				return !phases.OfCluster(w.Target) || w.Target == phases.ClusterTarget || len(args) == 1 && w.Target != phases.AddonTarget(args[0])
			})
			plan, err := engine.Observe(cmd.Context(), works, f.targets())
			if err != nil {
				return err
			}
			if err := report.Plan(cmd.OutOrStdout(), plan, report.Options{Name: "diff", Diffs: true, Color: colorful(os.Stdout)}); err != nil {
				return err
			}
			if exitCode && !plan.Empty() {
				return coded{exitChanges, errors.New("there is something to do")}
			}
			return nil
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 20 when there is something to do")
	return cmd
}

func addonValuesCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "values [NAME]", Short: "Print an addon's settings with every default, or those of all", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := inventory.Load(file)
			if err != nil {
				return err
			}
			all, err := addonValues(c)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if all, err = valuesOf(c, all, args[0]); err != nil {
					return usageError{err}
				}
			}
			raw, err := yaml.Marshal(all)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(raw)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "config", "f", "cluster.yaml", "the inventory file")
	return cmd
}

// valuesOf are the settings of one addon among all.
func valuesOf(c *inventory.Cluster, all map[string]any, name string) (map[string]any, error) {
	if key, ok := inventory.AddonKey(name); ok {
		return map[string]any{key: all[key]}, nil
	}
	for i, o := range c.Spec.Addons.Own {
		if o.Name == name {
			return map[string]any{"own": all["own"].([]any)[i : i+1]}, nil
		}
	}
	return nil, fmt.Errorf("there is no addon %q with settings; see kubewright addon list", name)
}

// addonValues are the settings of all addons as they stand in an inventory, with what is left out there because it is the default.
func addonValues(c *inventory.Cluster) (map[string]any, error) {
	raw, err := yaml.Marshal(addons.Masked(c).Spec.Addons)
	if err != nil {
		return nil, err
	}
	all := map[string]any{}
	if err := yaml.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	for _, a := range addons.Catalogue() {
		key, _ := inventory.AddonKey(a.Name)
		section, ok := all[key].(map[string]any)
		if !ok {
			section = map[string]any{}
		}
		section["enabled"] = c.Spec.Addons.Has(a.Name)
		all[key] = section
	}
	return all, nil
}
