package phases

import (
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

var packages = engine.Phase[Input]{
	Name:  "packages",
	Short: "install the packages that the inventory names",
	Long: "Installs spec.packages from the host's own repositories with what they need, in the version asked for, and holds those that are to " +
		"be held. While somebody else changes packages it waits, and tells for whom.",
	On: func(in Input) bool { return onEvery(in) && len(in.Cluster.Spec.Packages) > 0 },
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		l.claim()
		for _, p := range in.Cluster.Spec.Packages {
			l.add("the inventory wants it on every host", ops.Package{Name: p.Name, Version: p.Version, Held: p.Hold})
		}
		return l.done()
	},
}

// timeServices are what keeps a host's clock, and the package of which manager it comes in. A host has one of them.
var timeServices = []struct{ unit, pkg, manager string }{
	{"chrony.service", "chrony", "apt"}, {"chronyd.service", "chrony", "dnf"}, {"systemd-timesyncd.service", "systemd-timesyncd", "apt"},
	{"ntpsec.service", "ntpsec", "apt"}, {"ntpd.service", "ntpsec", "dnf"}, {"openntpd.service", "openntpd", "apt"},
}

func timeService(l *list) {
	facts := l.in.facts()
	if l.in.Cluster.Spec.TimeService != inventory.TimeServiceEnable || facts.Container != "" {
		return // the clock of a system container is the machine's below, whose service does not even start in it
	}
	for _, s := range timeServices {
		wanted := slices.ContainsFunc(l.in.Cluster.Spec.Packages, func(p inventory.Package) bool { return p.Name == s.pkg })
		if facts.Units[s.unit].Exists || wanted && facts.PackageManager == s.manager {
			l.add("certificates and leases go by the hosts' clocks", ops.Unit{Name: s.unit, Enabled: true, Active: true})
			return
		}
	}
	l.fail(fmt.Errorf("no time service is installed on %s, and spec.timeService is enable: add chrony to spec.packages", l.in.Host.Name))
}

// claim is the first thing that is written on a host.
func (l *list) claim() {
	l.add("another cluster's inventory must not take this host by mistake",
		private(agent.StateDir+"/cluster", []byte(l.in.Cluster.Metadata.Name+"\n")))
}
