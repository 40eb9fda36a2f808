package main

import (
	"fmt"
	"os"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

func planCommand() *cobra.Command {
	var flags clusterFlags
	var care caution
	var diffs, exitCode bool
	var output string
	cmd := &cobra.Command{
		Use: "plan", Short: "Show every change that up would make, and make none", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--output", output, "text", "json"); err != nil {
				return err
			}
			if err := care.check(); err != nil {
				return err
			}
			c, b, err := flags.load()
			if err != nil {
				return err
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
			plan, err := engine.Observe(ctx, works, f.targets())
			if err != nil {
				return err
			}
			show := report.Plan
			if output == "json" {
				show = report.PlanJSON
			}
			o := report.Options{Diffs: diffs, Color: colorful(os.Stdout), Notes: f.notes()}
			if err := show(cmd.OutOrStdout(), plan, o); err != nil {
				return err
			}
			if exitCode && !plan.Empty() {
				return coded{exitChanges, fmt.Errorf("there is something to do")}
			}
			return nil
		},
	}
	flags.add(cmd)
	care.add(cmd)
	cmd.Flags().BoolVar(&diffs, "diff", false, "show what each change changes, as a unified diff")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 20 when there is something to do")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}
