package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"text/tabwriter"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/lab"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
)

func labCommand() *cobra.Command {
	var dir, file string
	var packages []string
	var vms []string
	var selinux bool
	cmd := &cobra.Command{
		Use: "lab", Short: "Real systemd hosts on this machine, for trying, teaching and testing",
		Long: "Makes real systemd hosts with sshd on this machine, in network namespaces without a way out. The bridge between\n" +
			"them is in the namespace kwlab; what talks to the hosts is run there, with lab exec.",
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", ".lab", "where the lab's inventory, SSH key and kubeconfig are")
	options := func(c *cobra.Command) lab.Options {
		return lab.Options{Dir: dir, Log: func(s string) { fmt.Fprintln(c.ErrOrStderr(), s) }}
	}
	up := &cobra.Command{
		Use: "up", Short: "Make the lab's hosts, or finish a half-made lab", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := options(cmd)
			if file != "" {
				c, err := inventory.Load(file)
				if err != nil {
					return err
				}
				o.Cluster = c
			}
			o.Packages = packages
			o.VMs = vms
			o.SELinux = selinux
			return lab.Up(cmd.Context(), o)
		},
	}
	up.Flags().StringVarP(&file, "config", "f", "", "an inventory whose hosts to make (default: master, two nodes and a registry)")
	up.Flags().StringSliceVar(&packages, "packages", nil, "Debian packages that apt on the hosts shall be able to install, such as docker.io")
	up.Flags().StringSliceVar(&vms, "vm", nil, "the hosts that are virtual machines with a kernel of their own (--vm alone: all)")
	up.Flags().Lookup("vm").NoOptDefVal = "*"
	up.Flags().BoolVar(&selinux, "selinux", false, "virtual machines have SELinux: Debian's policy, permissive at first")
	cmd.AddCommand(up,
		&cobra.Command{
			Use: "down", Short: "Take the lab away, leaving nothing", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return lab.Down(cmd.Context(), options(cmd)) },
		},
		&cobra.Command{
			Use: "restart HOST", Short: "Pull a host's plug and switch it on again", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return lab.Restart(cmd.Context(), args[0]) },
		},
		&cobra.Command{
			Use: "list", Short: "List the lab's hosts", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				all, err := lab.List()
				if err != nil {
					return err
				}
				return labTable(cmd.OutOrStdout(), all)
			},
		},
		&cobra.Command{
			Use: "ssh HOST [-- COMMAND...]", Short: "Log in to a host, or run a command there", Args: cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return spoken(lab.SSH(cmd.Context(), args[0], args[1:]))
			},
		},
		&cobra.Command{
			Use: "kubeconfig", Short: "Print the path of the lab's kubeconfig", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				path, err := filepath.Abs(filepath.Join(dir, "kubeconfig"))
				if err != nil {
					return err
				}
				if _, err := os.Stat(path); err != nil {
					return fmt.Errorf("there is none yet: %w; make the cluster with kubewright lab exec -- kubewright up -f %s", err, filepath.Join(dir, "cluster.yaml"))
				}
				fmt.Fprintln(cmd.OutOrStdout(), path)
				return nil
			},
		},
		&cobra.Command{
			Use: "exec -- COMMAND...", Short: "Run a command where the lab's hosts can be reached", Args: cobra.MinimumNArgs(1),
			Long: "Runs a command in the lab's network namespace, with the lab's kubeconfig, kubectl from the bundle and kubewright itself in its path.",
			RunE: func(cmd *cobra.Command, args []string) error {
				if _, err := lab.List(); err != nil {
					return err
				}
				if err := labEnvironment(dir); err != nil {
					return err
				}
				return spoken(lab.Exec(cmd.Context(), args))
			},
		})
	return cmd
}

func labTable(w io.Writer, all []lab.HostStatus) error {
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "HOST\tADDRESS\tROLES\tKIND\tSTATE\tPID")
	for _, h := range all {
		state := "stopped"
		if h.Running {
			state = "running"
		}
		kind := "container"
		if h.VM {
			kind = "vm"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%d\n", h.Name, h.Address, roles(h.Roles), kind, state, h.PID)
	}
	return out.Flush()
}

// labEnvironment gives what is run in the lab its tools: kubectl from the bundle, this program, the lab's kubeconfig.
func labEnvironment(dir string) error {
	bin, err := filepath.Abs(filepath.Join(dir, "bin"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := pointTo(filepath.Join(bin, "kubewright"), self); err != nil {
		return err
	}
	if b, err := openBundle(""); err == nil {
		if err := extract(b, "kubectl", filepath.Join(bin, "kubectl")); err != nil {
			return err
		}
	}
	if err := os.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		return err
	}
	config, err := filepath.Abs(filepath.Join(dir, "kubeconfig"))
	if err != nil {
		return err
	}
	return os.Setenv("KUBECONFIG", config)
}

// spokenFor is the failure of a command that was run on the user's behalf: it has said what was wrong itself, and its status is ours.
type spokenFor struct {
	error
	status int
}

func spoken(err error) error {
	var local *exec.ExitError
	var remote *ssh.ExitError
	switch {
	case errors.As(err, &local):
		if w, ok := local.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			return spokenFor{err, 128 + int(w.Signal())} // as a shell says it
		}
		return spokenFor{err, local.ExitCode()}
	case errors.As(err, &remote):
		return spokenFor{err, remote.ExitStatus()}
	}
	return err
}
