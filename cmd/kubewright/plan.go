package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

func planCommand() *cobra.Command {
	var flags clusterFlags
	var care caution
	var diffs, short, exitCode bool
	var output, out string
	cmd := &cobra.Command{
		Use: "plan", Short: "Show every change that up would make, and make none", Args: cobra.NoArgs,
		Long: "Shows every change that up would make, as a diff without secrets, and makes none. Saved with -o FILE it becomes a promise:\n" +
			"up --plan FILE makes exactly these changes, and refuses if anything is otherwise by then.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, file, err := planOutput(output, out)
			if err != nil {
				return err
			}
			if err := care.check(); err != nil {
				return err
			}
			c, b, err := flags.load()
			if err != nil {
				return err
			}
			if file != "" {
				if err := mayWritePlan(file); err != nil {
					return err
				}
			}
			ctx := cmd.Context()
			f, err := connect(ctx, c, b, nil)
			if err != nil {
				return err
			}
			defer f.close()
			works, err := f.work(ctx, care)
			if err != nil {
				return err
			}
			plan, unseen := engine.Observe(ctx, works, f.targets())
			if unseen != nil && (!ofAddons(unseen) || file != "") {
				return unseen
			}
			show := report.Plan
			if format == "json" {
				show = report.PlanJSON
			}
			o := report.Options{Diffs: diffs && !short, Color: colorful(os.Stdout), Notes: f.notes()}
			if err := show(cmd.OutOrStdout(), plan, o); err != nil {
				return err
			}
			if file != "" {
				saved, err := newSavedPlan(f, plan)
				if err != nil {
					return err
				}
				if err := saved.write(file); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "the plan is in %s; kubewright up --plan %s makes exactly these changes\n", file, file)
			}
			if unseen == nil && exitCode && !plan.Empty() {
				return coded{exitChanges, fmt.Errorf("there is something to do")}
			}
			return unseen
		},
	}
	flags.add(cmd)
	care.add(cmd)
	cmd.Flags().BoolVar(&diffs, "diff", true, "show what each change changes, as a unified diff")
	cmd.Flags().BoolVar(&short, "short", false, "only list the changes, without diffs")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 20 when there is something to do")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json; or a file to save the plan in, with a dot or a slash in its name")
	cmd.Flags().StringVar(&out, "out", "", "save the plan in this file, for up --plan")
	return cmd
}

// planOutput tells a format from a file: -o is a format for whoever knows kubectl, and a file for whoever knows terraform.
func planOutput(output, out string) (format, file string, err error) {
	switch {
	case output == "text" || output == "json":
		return output, out, nil
	case !strings.ContainsAny(output, "./"):
		return "", "", usageError{fmt.Errorf("--output %q: want text or json, or a file with a dot or a slash in its name", output)}
	case out != "":
		return "", "", usageError{fmt.Errorf("--output and --out both name a file")}
	}
	return "text", output, nil
}
