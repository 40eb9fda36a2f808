package main

import (
	"fmt"
	"os"

	"github.com/kubewright/kubewright/report"
	"golang.org/x/term"
)

// view is the live view on a terminal, and one line for each change of state elsewhere.
func view() report.View {
	if os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stderr.Fd())) {
		return report.Terminal(os.Stderr, func() (int, int) {
			w, h, _ := term.GetSize(int(os.Stderr.Fd()))
			return w, h
		})
	}
	return report.Plain(os.Stderr)
}

func colorful(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return usageError{fmt.Errorf("%s %q: want one of %v", flag, value, allowed)}
}
