package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kubewright/kubewright/convert"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
)

// maxManifests bounds a file of manifests.
const maxManifests = 64 << 20

func convertCommand() *cobra.Command {
	var files []string
	var out string
	var check bool
	cmd := &cobra.Command{
		Use: "convert -f FILE", Short: "Rewrite old manifests to what Kubernetes 1.36 takes", Args: cobra.NoArgs,
		Long: "Rewrites manifests of Kubernetes' early years to what 1.36 takes, and says on stderr what changed and why. What has no equal is\n" +
			"refused with its reason, and nothing is written then. Touches no cluster.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case len(files) == 0 || files[0] == "":
				return usageError{errors.New("-f says which file; - is stdin")}
			case len(files) > 1:
				return usageError{errors.New("one file at a time: -f is there more than once")}
			case check && out != "":
				return usageError{errors.New("--check writes nothing; leave out -o")}
			}
			in := files[0]
			text, err := readManifests(cmd.InOrStdin(), in)
			if err != nil {
				return usageError{err}
			}
			r, err := convert.Convert(text)
			var problems convert.Problems
			if errors.As(err, &problems) {
				all := make([]error, len(problems))
				for i, p := range problems {
					all[i] = p
				}
				return coded{exitUsage, errors.Join(all...)}
			}
			if err != nil {
				return usageError{fmt.Errorf("%s: %w", in, err)}
			}
			if r.Objects == 0 {
				return usageError{fmt.Errorf("%s: there is no object in it", in)}
			}
			for _, n := range r.Notes {
				fmt.Fprintln(cmd.ErrOrStderr(), report.Escape(n.String()))
			}
			switch {
			case check && r.Changed:
				return coded{exitChanges, told{errors.New("something would change")}}
			case check:
				return nil
			case out == "" || out == "-":
				_, err = cmd.OutOrStdout().Write(r.Output)
				return err
			}
			return writeNew(out, r.Output)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "the old manifests, YAML or JSON; - is stdin")
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write, which must not be there (default: stdout)")
	cmd.Flags().BoolVar(&check, "check", false, "write nothing, and end with 20 when something would change")
	return cmd
}

func readManifests(stdin io.Reader, name string) ([]byte, error) {
	from := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if i, err := f.Stat(); err == nil && i.IsDir() {
			return nil, fmt.Errorf("%s is a directory; name its files, one at a time", name)
		}
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxManifests+1))
	if err == nil && len(text) > maxManifests {
		err = fmt.Errorf("%s is larger than %d MiB", name, maxManifests>>20)
	}
	return text, err
}

// writeNew writes a file that is not there yet.
func writeNew(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return coded{exitRefused, fmt.Errorf("%s exists already; name another file with -o", name)}
	}
	if err != nil {
		return usageError{err}
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
