package preflight

import (
	"fmt"
	"slices"
	"time"

	"github.com/kubewright/kubewright/inventory"
)

// maxSkew is how far two hosts' clocks may be apart: certificates begin five minutes before they are made, leases live forty seconds.
const maxSkew = 30 * time.Second

// How far the workstation's clock may be from the hosts': a certificate that begins in its future, or that is over in it, is refused by it.
const (
	maxBehind = 4 * time.Minute
	maxBefore = 23 * time.Hour
)

// timePackages bring a time service.
var timePackages = []string{"chrony", "systemd-timesyncd", "ntpsec", "openntpd"}

// sane is a time before which nobody runs this.
var sane = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// clockChecks are about hosts' clocks. What is measured is given with how far it may be wrong: half of the time that asking took.
var clockChecks = []check{
	{"clock", Error, nil, func(l *look) {
		median, ok := l.median()
		if !ok {
			l.skip("no host's clock was compared")
			return
		}
		var most time.Duration
		for _, h := range l.Cluster.Spec.Hosts {
			s, known := l.Skews[h.Name]
			if !known {
				continue
			}
			apart := s.Ahead - median
			most = max(most, apart.Abs())
			if apart.Abs()-s.Within > maxSkew {
				l.add(fmt.Sprintf("its clock is %s (give or take %s) from the middle of all hosts'", apart.Round(time.Second), within(s.Within)),
					"at most "+maxSkew.String(), "set the clock, best by a time service on every host")
				l.at(h.Name)
			}
		}
		l.see("at most %s from the middle of all", most.Round(time.Millisecond))
	}},
	{"clock-year", Error, every, func(l *look) {
		if l.f.Now.IsZero() {
			l.skip("the host does not say what time it is")
			return
		}
		if l.see("it is %s there", l.f.Now.UTC().Format(time.RFC3339)); l.f.Now.Before(sane) {
			l.add(l.saw, "a time after "+sane.Format("2006"), "set the clock; a host without a battery for it needs a time service that starts before anything else")
		}
	}},
	{"clock-workstation", Warning, nil, func(l *look) {
		median, ok := l.median()
		if !ok {
			l.skip("no host's clock was compared")
			return
		}
		l.see("%s from the hosts'", median.Round(time.Millisecond))
		if median.Abs() <= maxSkew {
			return
		}
		s := Warning
		if median > maxBehind || median < -maxBefore {
			s = Error
		}
		word := "behind"
		if median < 0 {
			word = "ahead of"
		}
		l.as(s, fmt.Sprintf("the clock of this workstation is %s %s the hosts'", median.Abs().Round(time.Second), word), "at most "+maxSkew.String()+": certificates are made by the hosts' clocks and checked by this one",
			"set the clock of the workstation")
	}},
	{"time-service", Warning, every, func(l *look) {
		if l.f.Container != "" {
			l.skip("the clock is that of the machine that this container is on")
			return
		}
		var runs []string
		installed := slices.ContainsFunc(l.Cluster.Spec.Packages, func(p inventory.Package) bool { return slices.Contains(timePackages, p.Name) })
		for _, name := range timeServices {
			if l.f.Units[name].Active {
				runs = append(runs, name)
			}
			installed = installed || l.f.Units[name].Exists
		}
		l.see("%s", list(runs))
		switch {
		case l.Cluster.Spec.TimeService == inventory.TimeServiceEnable && !installed:
			l.as(Error, "no time service is installed, and spec.timeService is enable", "one of "+list(timePackages), "add chrony to spec.packages")
		case len(runs) == 0 && l.f.Clock.Known && !l.f.Clock.Synced:
			l.add("nobody keeps the clock right", "a time service", "install chrony, or run systemctl enable --now systemd-timesyncd")
		case l.f.Clock.Known && !l.f.Clock.Synced:
			l.add(list(runs)+" runs, and the clock is not synchronised", "a clock that is", "see whether its time servers answer (chronyc sources, timedatectl timesync-status)")
		}
	}},
}

func within(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// median is how far the middle one of all hosts' clocks is before the workstation's.
func (l *look) median() (time.Duration, bool) {
	var all []time.Duration
	for _, s := range l.Skews {
		all = append(all, s.Ahead)
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return all[(len(all)-1)/2], true
}
