package main

import (
	"errors"
	"sort"
	"strings"

	"github.com/kubewright/kubewright/host"
	"github.com/kubewright/kubewright/inventory"
)

// unitsText names what runs, and after it what does not.
func (h hostStatus) unitsText() string {
	if h.Error != "" {
		return h.Error
	}
	var up, down []string
	for name, state := range h.Units {
		short := strings.TrimSuffix(name, ".service")
		if state == "active" {
			up = append(up, short)
		} else {
			down = append(down, short+" is "+state)
		}
	}
	sort.Strings(up)
	sort.Strings(down)
	return dash(strings.Join(append(up, down...), ", "))
}

func roles(all []inventory.Role) string {
	var out []string
	for _, r := range all {
		out = append(out, string(r))
	}
	return strings.Join(out, ",")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// hostOfError is the host that an error names, if it names one.
func hostOfError(err error) string {
	var e *host.Error
	if errors.As(err, &e) {
		return e.Host
	}
	return ""
}
