package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kubewright/kubewright/bundle"
	"github.com/spf13/cobra"
)

func imagesPullCommand() *cobra.Command {
	var flags lockFlags
	var reg registryFlags
	var from, out string
	var platforms []string
	cmd := &cobra.Command{
		Use: "pull -o FILE.tar|DIR [NAME...]", Short: "Bring images and host programs from a registry or a bundle into an archive or a folder",
		Long: "Brings the lock's images and host programs, by digest, into a bundle: one archive if the name ends with .tar, a folder otherwise. With --from they\n" +
			"come from a registry, and the bundle or --lock says which they are; without, from the bundle itself. Whatever takes a bundle takes the archive.\n" +
			"What is there in full is not fetched again; an archive is called FILE.tar.part until it is complete.",
		RunE: func(cmd *cobra.Command, names []string) error {
			if out == "" {
				return usageError{errors.New("-o says where to: FILE.tar or a folder")}
			}
			chosen, err := bundle.ParsePlatforms(platforms)
			if err != nil {
				return usageError{err}
			}
			if from == "" && (reg.used() || flags.lock != "") {
				return usageError{errors.New("--lock, --auth-file, --ca and --plain-http go with --from")}
			}
			var r bundle.Registry
			if from != "" {
				if r, err = reg.at("--from", from, only); err != nil {
					return err
				}
			}
			verb := "packed"
			if from != "" {
				verb = "fetched"
			}
			m := moved{w: cmd.OutOrStdout(), word: verb, there: "there", name: func(c bundle.Component) string { return c.Repository + ":" + c.Version }}
			_, lock, err := flags.open(cmd, false)
			if err != nil {
				return err
			}
			if len(names) == 0 {
				for _, c := range lock.Components {
					names = append(names, c.Repository)
				}
			} else if _, err := lock.Choose(names); err != nil {
				return usageError{err}
			}
			if from != "" {
				err = bundle.Pull(cmd.Context(), r, lock, names, chosen, out, m.tell)
			} else {
				var b *bundle.Bundle
				if b, err = openBundle(flags.bundle); err != nil {
					return err
				}
				err = bundle.Pack(cmd.Context(), b, names, chosen, out, m.tell)
			}
			if errors.Is(err, bundle.ErrTaken) {
				return coded{exitRefused, err}
			}
			if err == nil || m.parts > 0 {
				m.sum(verb, out)
			}
			return placed(out, err)
		},
	}
	flags.add(cmd)
	reg.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "[http://]HOST:PORT[/PREFIX], the registry that has them")
	cmd.Flags().StringVarP(&out, "output", "o", "", "where to: FILE.tar or a folder")
	cmd.Flags().StringSliceVar(&platforms, "platform", nil, "only what is for these, as linux/amd64,linux/arm64 (default: as the lock has it)")
	return cmd
}

// placed puts an error of the place that is written to into its class: one that cannot be written to is a mistake of the command line, one that is full or broken ends a
// run that can go on.
func placed(out string, err error) error {
	var of *fs.PathError
	if !errors.As(err, &of) || !within(of.Path, out) {
		return err
	}
	for _, wrong := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.EROFS} {
		if errors.Is(of.Err, wrong) {
			return usageError{fmt.Errorf("-o %s cannot be written: %w", out, err)}
		}
	}
	return coded{exitStep, fmt.Errorf("%w; make room and run the same command again: what is there is kept", err)}
}

// within says whether a path is another one, something in it, or its unfinished form.
func within(p, out string) bool {
	rest, ok := strings.CutPrefix(filepath.Clean(p), filepath.Clean(out))
	return ok && (rest == "" || rest == ".part" || strings.HasPrefix(rest, "/"))
}
