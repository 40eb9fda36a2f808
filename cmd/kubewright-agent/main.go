// Command kubewright-agent is the part of kubewright that runs on a host. It is sent there, started and spoken to by kubewright; it listens on
// nothing and ends with the connection.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
)

const usage = `kubewright-agent runs on a host for kubewright, which starts it.

  kubewright-agent serve [--state DIR]   speak with kubewright over stdin and stdout
  kubewright-agent version               say the version`

func main() {
	log.SetFlags(0)
	log.SetPrefix("kubewright-agent: ")
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("kubewright-agent", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprintln(flags.Output(), usage) }
	state := flags.String("state", agent.StateDir, "")
	if len(args) == 0 {
		return fmt.Errorf("what to do is missing\n%s", usage)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "version":
		_, err := fmt.Fprintln(out, agent.Version)
		return err
	case "serve":
		if err := vanish(); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		// A closed pipe or terminal is for Serve to notice, at a safe point. The signals are caught, not ignored: what is
		// ignored here would be ignored by every program we start.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGHUP)
		syscall.Umask(0o022) // whatever login or sudo gave us
		return agent.Serve(ctx, pipes{in, out}, ops.NewHost(*state, nil), *state)
	}
	return fmt.Errorf("there is no %q\n%s", args[0], usage)
}

// inMemory is where kubewright puts an agent that shall leave nothing behind.
var inMemory = regexp.MustCompile(`^(/run|/dev/shm)/kubewright-[0-9a-f]{16}/kubewright-agent$`)

// vanish removes the program's file and its directory where they lie in memory: the process needs neither, and however it ends, nothing is left.
func vanish() error {
	path, err := os.Executable()
	if err != nil || !inMemory.MatchString(path) {
		return nil
	}
	return errors.Join(os.Remove(path), os.Remove(filepath.Dir(path)))
}

// pipes are the two ends as one connection.
type pipes struct {
	io.Reader
	io.Writer
}
