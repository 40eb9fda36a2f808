package bundle

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table writes the lock as a table for people.
func (l Lock) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tKIND\tVERSION\tSIZE\tDIGEST\tSOURCE")
	var total int64
	for _, c := range l.Components {
		total += c.Size
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Repository, c.Kind, c.Version, Size(c.Size), c.Digest, c.Source)
	}
	fmt.Fprintf(t, "total\t\t\t%s\t\t%d components\n", Size(total), len(l.Components))
	return t.Flush()
}
