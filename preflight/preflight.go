// Package preflight checks, before anything is written, whether hosts can become what the inventory says: named checks over the
// hosts' facts, and over what they find out together by trying (a survey), each with its remedy. The other files are the checks, by theme.
package preflight

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// Severity says what a finding means for a run.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // nothing is begun
	Warning Severity = "warning" // better known
)

// Finding is something about hosts that stands in the way, or is better known.
type Finding struct {
	Check    string
	Severity Severity
	Hosts    []string // the first is the one to be mended
	Found    string   // what was observed
	Need     string
	Remedy   string
	Ignored  bool // the inventory or the command line says so
}

// Host names the hosts for a line of text.
func (f Finding) Host() string {
	if len(f.Hosts) == 0 {
		return "all hosts"
	}
	return strings.Join(f.Hosts, ", ")
}

func (f Finding) String() string {
	return fmt.Sprintf("preflight: %s: %s: %s; needed: %s; %s", f.Host(), f.Check, f.Found, f.Need, f.Remedy)
}

// Outcome is a check that found nothing wrong with a host, or that could not be made.
type Outcome struct {
	Check string
	Host  string // empty: all together
	Text  string // what was observed, or why nothing was
}

// Report is the outcome of all checks, in the order of checks and hosts; errors come first among the findings.
type Report struct {
	Findings []Finding
	Passed   []Outcome
	Skipped  []Outcome
	Checks   int // how many different ones were made
	Hosts    int
}

// Err joins the errors that are not ignored, or is nil.
func (r Report) Err() error {
	var errs []error
	for _, f := range r.Findings {
		if f.Severity == Error && !f.Ignored {
			errs = append(errs, errors.New(f.String()))
		}
	}
	return errors.Join(errs...)
}

// Skew is how far a host's clock is before the workstation's, and how far that may be wrong either way.
type Skew struct{ Ahead, Within time.Duration }

// Input is all that is checked.
type Input struct {
	Cluster *inventory.Cluster
	Facts   map[string]agent.Facts // what each host said of itself, by its name
	Skews   map[string]Skew
	Needs   map[string]Needs // what a run will put on each host
	Asked   map[string]agent.SurveyAsk
	Surveys map[string]*agent.Survey // empty where none was made
	Mute    map[string]string        // the hosts that were asked and gave no answer that can be used, and why
	Ignore  []string                 // checks whose findings stand in nobody's way
	Now     time.Time                // by the workstation's clock
}

// Needs is what a run will put on one host, and what it will get from the registry.
type Needs struct {
	Platform string // of the programs: linux/amd64
	Room     []Room
	Pulls    []agent.Manifest
	Pause    string // the reference of the image that does nothing
}

// Room is what will be written at a path.
type Room struct {
	Path, What string
	Bytes      uint64
}

// check is one named thing that is looked at: at each host that it is on, or, where on is nil, at all of them together.
type check struct {
	name     string
	severity Severity
	on       func(inventory.Host) bool
	look     func(*look)
}

func every(inventory.Host) bool          { return true }
func node(h inventory.Host) bool         { return h.Node() }
func controls(h inventory.Host) bool     { return h.Has(inventory.ControlPlane) }
func registryHost(h inventory.Host) bool { return h.Has(inventory.Registry) }

// look is one check at work on one host.
type look struct {
	Input
	check
	host    inventory.Host
	f       agent.Facts
	survey  *agent.Survey
	ask     agent.SurveyAsk
	found   []Finding
	saw     string
	skipped string
}

// add finds something at the check's own severity.
func (l *look) add(found, need, remedy string) { l.as(l.severity, found, need, remedy) }

// as finds something at a severity of its own.
func (l *look) as(s Severity, found, need, remedy string) {
	f := Finding{Check: l.name, Severity: s, Found: found, Need: need, Remedy: remedy}
	if l.host.Name != "" {
		f.Hosts = []string{l.host.Name}
	}
	l.found = append(l.found, f)
}

// at says which hosts the last finding is about, where that is not the one that is looked at.
func (l *look) at(hosts ...string) {
	l.found[len(l.found)-1].Hosts = hosts
}

// see keeps what was observed, for those who want to read also what is well.
func (l *look) see(format string, args ...any) { l.saw = fmt.Sprintf(format, args...) }

// skip says why nothing could be observed.
func (l *look) skip(why string) { l.skipped = why }

// ours says that the host carries our work already, so that what lies on it may be our own.
func (l *look) ours() bool { return l.f.Changes > 0 }

// all are the checks in the order in which they are told.
func all() []check {
	return slices.Concat(machineChecks, kernelChecks, identityChecks, remainsChecks, serviceChecks, softwareChecks, clockChecks,
		networkChecks, resolverChecks, diskChecks, portChecks, firewallChecks, reachChecks, proxyChecks, nfsChecks, clusterChecks)
}

// Names are the names of all checks.
func Names() []string {
	var out []string
	for _, c := range all() {
		out = append(out, c.name)
	}
	return out
}

// Run makes every check on every host that it concerns.
func Run(in Input) Report {
	r := Report{Hosts: len(in.Cluster.Spec.Hosts)}
	for _, c := range all() {
		made := false
		for _, l := range looks(in, c) {
			c.look(l)
			switch {
			case len(l.found) > 0:
				r.Findings = append(r.Findings, l.found...)
			case l.skipped != "":
				r.Skipped = append(r.Skipped, Outcome{Check: c.name, Host: l.host.Name, Text: l.skipped})
				continue
			default:
				r.Passed = append(r.Passed, Outcome{Check: c.name, Host: l.host.Name, Text: l.saw})
			}
			made = true
		}
		if made {
			r.Checks++
		}
	}
	for i := range r.Findings {
		r.Findings[i].Ignored = slices.Contains(in.Ignore, r.Findings[i].Check)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return rank(a) - rank(b) })
	return r
}

func rank(f Finding) int {
	switch {
	case f.Ignored:
		return 2
	case f.Severity == Warning:
		return 1
	}
	return 0
}

func looks(in Input, c check) (out []*look) {
	if c.on == nil {
		return []*look{{Input: in, check: c}}
	}
	for _, h := range in.Cluster.Spec.Hosts {
		if c.on(h) {
			out = append(out, &look{Input: in, check: c, host: h, f: in.Facts[h.Name], survey: in.Surveys[h.Name], ask: in.Asked[h.Name]})
		}
	}
	return out
}

// size writes an amount of bytes for a person.
func size(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func list(words []string) string { return strings.Join(words, ", ") }
