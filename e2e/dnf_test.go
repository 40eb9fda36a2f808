//go:build e2e

package e2e

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	whole "github.com/kubewright/kubewright/e2e/fingerprint"
	"github.com/kubewright/kubewright/ops"
)

// A host of dnf's, made of one of Debian's, and the way back.
var (
	//go:embed testdata/dnf.sh
	toDNF string
	//go:embed testdata/undnf.sh
	fromDNF string
)

// TestDNF is TestPackages with dnf and rpm themselves: Debian has both, and a repository of a few packages is made on the host. What cannot be as it was
// is left out: rpm's database is another file after each transaction, and dnf's history tells of each.
func TestDNF(t *testing.T) {
	if os.Getenv(inLabVar) != "" {
		dnfInLab(t)
		return
	}
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	debian := factsOf(t, packageHost, "package,user,group,unit")
	t.Cleanup(func() {
		ok(t, onHost(t, packageHost, fromDNF))
		if left := whole.Diff(debian, factsOf(t, packageHost, "package,user,group,unit")); len(left) > 0 {
			t.Errorf("the test has left:\n%s", strings.Join(left, "\n"))
		}
	})
	ok(t, onHost(t, packageHost, toDNF))
	facts := func() []string {
		return factsOf(t, packageHost, "file,user,group,package,unit,unit-file", "/var/lib/rpm", "/var/lib/dnf/history.sqlite", "/var/lib/dnf/history.sqlite-shm",
			"/var/lib/dnf/history.sqlite-wal")
	}
	before := facts()
	again(t)
	left := slices.DeleteFunc(whole.Diff(before, facts()), ofKilledDNF.MatchString)
	if len(left) > 0 {
		t.Errorf("%s is not as it was:\n%s", packageHost, strings.Join(left, "\n"))
	}
}

// ofKilledDNF is what dnf leaves when it is killed, under a name of chance: the scripts' output. Nobody can tell whose it is.
var ofKilledDNF = regexp.MustCompile(`^\+ file /tmp/tmp[a-z0-9_]{8} `)

func dnfInLab(t *testing.T) {
	connect := open(t, "root")
	s := connect(t)
	if got := s.Facts().PackageManager; got != "dnf" {
		t.Fatalf("the host's package manager is %q", got)
	}
	holds := func(what, want string, argv ...string) {
		t.Helper()
		if got := strings.TrimSpace(onHost(t, packageHost, argv...).stdout); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	heardOf := func(heard []ops.Progress, state ops.State, note string) bool {
		return slices.ContainsFunc(heard, func(p ops.Progress) bool { return p.State == state && strings.Contains(p.Note, note) })
	}

	// A look at what is there, and at whether it could come back, leaves the disk alone, but for rpm's memory beside its database where dnf reads it.
	sample := ops.Package{Name: "sample", Version: "1:1.*", Held: true}
	theirs := ops.Package{Name: "theirs", Version: "2.0-1"}
	for _, wish := range []ops.Package{sample, theirs} {
		before := upperOf(t, packageHost)
		seen, err := s.Observe(t.Context(), []ops.Op{wish})
		if err != nil {
			t.Fatal(err)
		}
		if p := seen[0].(ops.Package); p.Absent != (wish.Name == "sample") || p.OneWay() {
			t.Errorf("%s is seen as %+v", wish.Name, p)
		}
		for _, p := range changed(before, upperOf(t, packageHost)) {
			if !ofLogins.MatchString(p) && (wish.Name == "sample" || !strings.HasPrefix(p, "/var/lib/rpm/rpmdb.sqlite-")) {
				t.Errorf("looking at %s wrote to %s", wish.Name, p)
			}
		}
	}

	// Somebody's dnf is at work.
	locked(t, s)
	ok(t, onHost(t, packageHost, "systemd-run", "--collect", "--unit=holder", "dnf", "-y", "-q", "--nogpgcheck", "install", "slow"))
	until(t, "test -s /var/lib/dnf/rpmdb_lock.pid")
	if got := connect(t).Facts().Upkeep.Holder; !strings.HasSuffix(got, "(dnf)") {
		t.Errorf("preflight hears of %q", got)
	}
	heard := apply1(t, s, sample)
	if !heardOf(heard, ops.Waits, "dnf -y -q --nogpgcheck install slow") {
		t.Errorf("the lock's holder was waited for like this: %+v", heard)
	}
	holds("the sample", "1.0", "cat", "/usr/bin/sample")
	holds("packages and the key that they are signed with", "1 sample-1.0-1.noarch sample-libs-1-1.x86_64 slow-1-1.noarch", "echo $(rpm -q gpg-pubkey | wc -l) $(rpm -q sample sample-libs slow)")
	ok(t, onHost(t, packageHost, "rpm", "-e", "slow"))
	holds("locks", "redhat-release-0:9.4-1.* sample-1:1.0-1.*", "echo $(dnf -q versionlock list)")
	ok(t, onHost(t, packageHost, "dnf", "-y", "-q", "upgrade", "sample", "--nobest"))
	if again := apply1(t, s, sample); again[len(again)-1].State != ops.Same {
		t.Errorf("a second time it is %+v", again)
	}

	// From one version to another, where it is held, and where somebody has changed its configuration.
	sample.Version = "1:2.0-1"
	apply1(t, s, sample)
	holds("locks", "redhat-release-0:9.4-1.* sample-1:2.0-1.*", "echo $(dnf -q versionlock list)")
	apply1(t, s, theirs)
	holds("two versions", "2.0 2.0", "echo $(cat /usr/bin/sample /usr/bin/theirs)")
	holds("a list with comments", "# mine", "head", "-n1", "/etc/dnf/plugins/versionlock.list")
	apply1(t, s, ops.Package{Name: "sample-module"})
	holds("kernels", "sample-kernel-1-1.noarch sample-kernel-2-1.noarch", "echo $(rpm -q sample-kernel)")

	// What cannot be done.
	refused := func(p ops.Package, want string) {
		t.Helper()
		err := s.Apply(t.Context(), "e2e", "packages", []ops.Step{{Op: p, Why: "a test"}}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %s: %v, want %s", p.Name, p.Version, err, want)
		}
	}
	refused(ops.Package{Name: "nosuch"}, "Unable to find a match: nosuch")
	refused(ops.Package{Name: "twice", Version: "3-1"}, "Unable to find a match: twice-3-1")
	ok(t, onHost(t, packageHost, `printf '[gone]\nname=gone\nbaseurl=file:///nowhere\n' > /etc/yum.repos.d/gone.repo`))
	refused(ops.Package{Name: "nosuch"}, "Failed to download metadata for repo 'gone'")
	ok(t, onHost(t, packageHost, "rm", "/etc/yum.repos.d/gone.repo"))

	// Everything that works on a package is killed: while it runs a script of what is to replace another version, which goes on by itself...
	kill := func(p ops.Package, when string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cut := make(chan error, 1)
		go func() { cut <- s.Apply(ctx, "e2e", "packages", []ops.Step{{Op: p, Why: "a test"}}, nil) }()
		until(t, "all=$(pgrep -x kubewright-agen && pgrep -x 'dnf|rpm') && "+when+" >/dev/null && kill -9 $all") // with nothing in between that takes time
		if err := <-cut; err == nil {
			t.Errorf("%s was not cut off", p.Name)
		}
		s = connect(t)
		locked(t, s)
	}
	twice := ops.Package{Name: "twice", Version: "2-1"}
	ok(t, onHost(t, packageHost, "touch", "/root/dnf/hang"))
	kill(twice, "pgrep -f '^/bin/sh /var/tmp/rpm-tmp'")
	holds("twice", "twice-1-1.noarch twice-2-1.noarch", "echo $(rpm -q twice)")
	ok(t, onHost(t, packageHost, "systemd-run", "--collect", "--on-active=2", "--timer-property=AccuracySec=100ms", "rm", "/root/dnf/hang"))
	if heard := apply1(t, s, twice); !heardOf(heard, ops.Waits, "/var/tmp/rpm-tmp.") {
		t.Errorf("its script was not waited for: %+v", heard)
	}
	holds("twice", "twice-2-1.noarch", "rpm", "-q", "twice")
	holds("dnf's own look", "", "dnf -q check; rpm -V twice; ls /var/tmp/rpm-tmp.* /var/lib/dnf/*.pid 2>/dev/null")
	// ...on the way back...
	ok(t, onHost(t, packageHost, "touch", "/root/dnf/hang"))
	kill(ops.Package{Name: "twice", Version: "1-1"}, "pgrep -f '^/bin/sh /var/tmp/rpm-tmp'")
	ok(t, onHost(t, packageHost, "rm", "/root/dnf/hang"))
	holds("twice", "twice-2-1.noarch twice-1-1.noarch", "echo $(rpm -q twice)")
	taken(t, s)
	holds("twice", "twice-1-1.noarch", "rpm", "-q", "twice")
	// ...and while it unpacks.
	s.Close()
	s = connect(t)
	locked(t, s)
	kill(ops.Package{Name: "big"}, "compgen -G '/usr/share/big/parts/*;*'")
	holds("big", "package big is not installed", "rpm", "-q", "big")
	ok(t, onHost(t, packageHost, "compgen", "-G", "'/usr/share/big/parts/*'"))

	taken(t, s)
}

// taken takes back everything.
func taken(t *testing.T, s *agent.Session) {
	t.Helper()
	if err := s.Reset(t.Context(), nil); err != nil {
		t.Fatal(err, ops.LastLines(err))
	}
}

// until waits for a command on the host to succeed.
func until(t *testing.T, command string) {
	t.Helper()
	ok(t, onHost(t, packageHost, "for i in $(seq 3000); do if "+command+"; then exit 0; fi; sleep 0.01; done; exit 1"))
}

// upperOf is what a host's disk has beyond what all hosts have.
func upperOf(t *testing.T, host string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := describeAll(all, filepath.Join(filepath.Dir(rootOf(host)), "upper"), ""); err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("%s: its disk is not where it should be", host)
	}
	return all
}
