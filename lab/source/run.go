package source

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// CommandError is a tool that failed, with everything it said.
type CommandError struct {
	Argv   []string
	Output string
	Err    error
}

// Error is one line: the tool, how it ended, and the last thing it said.
func (e *CommandError) Error() string {
	said := strings.TrimSpace(e.Output)
	if i := strings.LastIndexByte(said, '\n'); i >= 0 {
		said = said[i+1:]
	}
	name := strings.Join(e.Argv[:min(2, len(e.Argv))], " ")
	if said == "" {
		return fmt.Sprintf("%s: %v", name, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", name, e.Err, said)
}

// Unwrap returns how it ended.
func (e *CommandError) Unwrap() error { return e.Err }

// run runs a tool and returns its standard output. Its environment is env; ours, if that is nil.
func run(ctx context.Context, dir string, env []string, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = env
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &CommandError{Argv: argv, Output: said.String() + out.String(), Err: err}
	}
	return out.Bytes(), nil
}
