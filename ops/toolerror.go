package ops

import "errors"

// OutputError is a failure of a tool or a unit that wrote something about it: one sentence as the error, and the last lines for whoever wants them.
type OutputError struct {
	Err  error
	Last string
}

func (e *OutputError) Error() string { return e.Err.Error() }

func (e *OutputError) Unwrap() error { return e.Err }

// LastLines is what a tool or unit wrote last before err, "" where it wrote nothing.
func LastLines(err error) string {
	var out *OutputError
	if errors.As(err, &out) {
		return out.Last
	}
	return ""
}
