// Command kubewright turns bare Linux hosts into a Kubernetes cluster over SSH.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

// The exit codes. They are documented in docs/cli.md and never renumbered.
const (
	exitBug       = 1   // unexpected
	exitUsage     = 2   // usage, or an invalid inventory
	exitPreflight = 3   // a host cannot be what it should
	exitConnect   = 4   // connection, login or host key
	exitStep      = 5   // a step failed; the run can be continued
	exitLocked    = 6   // another run holds the lock
	exitConflict  = 7   // the host belongs to another cluster
	exitRefused   = 8   // refused for safety
	exitTimeout   = 9   // timed out waiting
	exitChanges   = 20  // plan --exit-code: there is something to do
	exitStopped   = 130 // interrupted
)

// garbage is how much the heap may grow, in percent, before it is collected. A workstation has more to do than this, and a run waits for
// its hosts anyway.
const garbage = 40

func main() {
	debug.SetGCPercent(garbage)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(finish(root().ExecuteContext(ctx)))
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubewright",
		Short: "Turn bare Linux hosts into a Kubernetes cluster over SSH",
		Long: "kubewright reads one inventory file and, over SSH alone, turns bare Linux hosts into a Kubernetes cluster.\n" +
			"It shows every change before it makes it, continues after any crash, and takes the cluster off the hosts again.",
		SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.AddCommand(initCommand(), configCommand(), trustCommand(), preflightCommand(), planCommand(), upCommand(), statusCommand(), verifyCommand(), driftCommand(), undoCommand(), resetCommand(),
		kubeconfigCommand(), addonCommand(), dashboardCommand(), phaseCommand(), bundleCommand(), imagesCommand(), convertCommand(), labCommand(), versionCommand())
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultCompletionCmd()
	strict(cmd)
	return cmd
}

// strict makes arguments that a command does not know a mistake of usage, also where cobra would only show the help.
func strict(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if allowed := cmd.Args; allowed != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := allowed(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		strict(c)
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// coded is an error whose exit code is known where it is made.
type coded struct {
	code int
	error
}

func (e coded) Unwrap() error { return e.error }

// told is an error that the user has been shown already.
type told struct{ error }

func (e told) Unwrap() error { return e.error }

// finish tells what went wrong and says which exit code that is. Of several failures the most telling one decides.
func finish(err error) int {
	if err == nil {
		return 0
	}
	if ran := (spokenFor{}); errors.As(err, &ran) {
		return ran.status
	}
	code := exitCode(err)
	if shown := (told{}); code == exitChanges || errors.As(err, &shown) {
		return code
	}
	var problems inventory.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(os.Stderr, problems.Error())
		return code
	}
	if other := (*brokenPlan)(nil); errors.As(err, &other) {
		other.explain(os.Stderr)
	}
	for _, e := range flatten(err) {
		fmt.Fprintf(os.Stderr, "error: %s\n", report.Escape(e.Error()))
		var step *engine.StepError
		if errors.As(e, &step) && step.Why != "" {
			fmt.Fprintf(os.Stderr, "  the step: %s\n", report.Escape(step.Why))
		}
		if step != nil && step.Last != "" {
			fmt.Fprintf(os.Stderr, "  its last lines:\n%s\n", indent(step.Last))
		}
		if remedy := remedyOf(e); remedy != "" {
			fmt.Fprintf(os.Stderr, "  what to do: %s\n", report.Escape(remedy))
		}
	}
	return code
}

// indent sets a host's lines apart, each fit for a terminal.
func indent(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, "    "+report.Escape(strings.TrimRight(line, "\n")))
	}
	return strings.Join(out, "\n")
}

func exitCode(err error) int {
	var (
		known    coded
		usage    usageError
		problems inventory.Problems
		locked   *agent.LockedError
		unreach  *host.Error
		step     *engine.StepError
		waited   *engine.WaitError
		registry *bundle.Trouble
	)
	switch {
	case errors.As(err, &known):
		return known.code
	case slices.ContainsFunc(flatten(err), unseen):
		return exitPreflight
	case errors.As(err, &usage), errors.As(err, &problems):
		return exitUsage
	case errors.As(err, &locked):
		return exitLocked
	case errors.Is(err, context.Canceled):
		return exitStopped
	case errors.As(err, &waited):
		return exitTimeout
	case errors.As(err, &step):
		return exitStep
	case errors.As(err, &unreach):
		return exitConnect
	case errors.As(err, &registry):
		return registryCode(registry.Class)
	}
	return exitBug
}

// registryCode tells a registry that cannot be spoken with from one that does not do what it is asked.
func registryCode(class bundle.Class) int {
	switch class {
	case bundle.Unreachable, bundle.TLS, bundle.Scheme, bundle.Unauthorized, bundle.Forbidden:
		return exitConnect
	}
	return exitStep
}

// unseen tells whether something on a host could not be looked at, as a file that cannot be parsed: up ends before it begins.
func unseen(err error) bool {
	var step *engine.StepError
	return errors.As(err, &step) && step.Unseen
}

// flatten takes joined errors apart, so that each is told on a line of its own.
func flatten(err error) []error {
	if c, ok := err.(coded); ok {
		err = c.error
	}
	if u, ok := err.(usageError); ok {
		err = u.error
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range many.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	return []error{err}
}

func remedyOf(err error) string {
	var h *host.Error
	if errors.As(err, &h) {
		return h.Remedy
	}
	var locked *agent.LockedError
	if errors.As(err, &locked) {
		return "wait until it is done; the lock goes with the process that holds it"
	}
	var reset *agent.ResetError
	if errors.As(err, &reset) {
		return "mend the cause and repeat the command; until then the journal stays in " + agent.StateDir + " on the host"
	}
	var registry *bundle.Trouble
	if errors.As(err, &registry) {
		return registry.Remedy()
	}
	var lacking *lackingError
	if errors.As(err, &lacking) {
		return lacking.Remedy()
	}
	var step *engine.StepError
	if errors.As(err, &step) {
		if step.Remedy != "" {
			return step.Remedy
		}
		return "mend the cause and run the same command again: it continues from there"
	}
	return ""
}
