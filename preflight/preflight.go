// Package preflight checks, before anything is written, whether hosts can become what the inventory says: named checks over the
// hosts' facts, each with its remedy.
package preflight

import (
	"errors"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// Finding is something about a host that stands in the way, or is better known.
type Finding struct {
	Check, Host string
	Fatal       bool
	Found, Need string
	Remedy      string
}

func (f Finding) String() string {
	return fmt.Sprintf("preflight: %s: %s: %s; needed: %s; %s", f.Host, f.Check, f.Found, f.Need, f.Remedy)
}

// Findings are all that was found, in the order of checks and hosts.
type Findings []Finding

// Fatal joins the findings that stand in the way, or is nil.
func (all Findings) Fatal() error {
	var errs []error
	for _, f := range all {
		if f.Fatal {
			errs = append(errs, errors.New(f.String()))
		}
	}
	return errors.Join(errs...)
}

// check looks at one host.
type check struct {
	name string
	on   func(inventory.Host) bool
	find func(*inventory.Cluster, inventory.Host, agent.Facts) (Finding, bool)
}

func every(inventory.Host) bool      { return true }
func node(h inventory.Host) bool     { return h.Node() }
func controls(h inventory.Host) bool { return h.Has(inventory.ControlPlane) }

// Run makes every check on every host that it concerns. skews are how far each host's clock is before the workstation's.
func Run(c *inventory.Cluster, facts map[string]agent.Facts, skews map[string]time.Duration) Findings {
	var out Findings
	for _, k := range checks {
		for _, h := range c.Spec.Hosts {
			if !k.on(h) {
				continue
			}
			if f, found := k.find(c, h, facts[h.Name]); found {
				f.Check, f.Host = k.name, h.Name
				out = append(out, f)
			}
		}
	}
	return append(append(out, duplicates(c, facts)...), clocks(c, skews)...)
}
