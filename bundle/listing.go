package bundle

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Listed is a component as `images list` shows it.
type Listed struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Version    string   `json:"version"`
	Repository string   `json:"repository"`
	Reference  string   `json:"reference"` // as the cluster's objects name it
	Digest     string   `json:"digest"`
	Platform   string   `json:"platform"`
	Size       int64    `json:"size"`
	NeededBy   []string `json:"neededBy,omitempty"`
}

// List shows components as they are named in a registry. neededBy says who needs one, and may be nil.
func List(all []Component, registry string, neededBy func(Component) []string) []Listed {
	out := make([]Listed, 0, len(all))
	for _, c := range all {
		l := Listed{Name: c.Name, Kind: c.Kind, Version: c.Version, Repository: c.Repository, Reference: c.Reference(registry),
			Digest: c.ManifestDigest(), Platform: c.Platform, Size: c.Size}
		if neededBy != nil {
			l.NeededBy = neededBy(c)
		}
		out = append(out, l)
	}
	return out
}

// RetagRule says how a component's name becomes its name in a registry.
func RetagRule(registry string) string {
	if registry == "" {
		registry = "REGISTRY"
	}
	return "REPOSITORY -> " + registry + "/REPOSITORY:VERSION@DIGEST"
}

// Show writes a list as a table for people.
func Show(w io.Writer, all []Listed, registry string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REPOSITORY\tKIND\tVERSION\tPLATFORM\tSIZE\tDIGEST\tNEEDED BY")
	var total int64
	for _, l := range all {
		total += l.Size
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Repository, l.Kind, l.Version, l.Platform, Size(l.Size), l.Digest, strings.Join(l.NeededBy, ", "))
	}
	fmt.Fprintf(t, "total\t\t\t\t%s\t%d components\t\n", Size(total), len(all))
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "names: %s\n", RetagRule(registry))
	return err
}

// Size is a number of bytes for people.
func Size(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
