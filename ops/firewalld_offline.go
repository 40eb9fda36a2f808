package ops

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// errNoFirewalld is that nobody answers on the bus.
var errNoFirewalld = errors.New("firewalld does not run")

// What follows is firewalld while it does not run: somebody has stopped it since, and what it will start with must be put back all the same. It has a command of its
// own for that.

func (f *firewalld) offline(ctx context.Context, zone string, args ...string) (string, error) {
	argv := append([]string{"firewall-offline-cmd"}, args...)
	if zone != "" { // else the default zone
		argv = append(argv, "--zone="+zone)
	}
	out, err := f.host.Run(ctx, argv...)
	if err != nil {
		return "", fmt.Errorf("%w, and %s: %w", errNoFirewalld, argv[0], err)
	}
	return string(out), nil
}

func (f *firewalld) offlineEntry(ctx context.Context, e FirewallEntry, verb string, answer *bool) error {
	option := "source=" + e.Source
	switch {
	case e.Port != "":
		option = "port=" + e.Port
	case e.Rule != "":
		option = "rich-rule=" + e.Rule
	}
	if !e.Permanent {
		return nil // nothing is in force
	}
	_, err := f.offline(ctx, e.Zone, "--"+verb+"-"+option)
	var status *exec.ExitError
	switch {
	case verb != "query":
		return err
	case errors.As(err, &status) && status.ExitCode() == 1:
		return nil
	}
	*answer = err == nil
	return err
}

func (f *firewalld) offlineRules(ctx context.Context, zone string, permanent bool) ([]string, error) {
	if !permanent {
		return nil, nil
	}
	out, err := f.offline(ctx, zone, "--list-rich-rules")
	if err != nil {
		return nil, err
	}
	var rules []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); line != "" {
			rules = append(rules, line)
		}
	}
	return rules, nil
}
