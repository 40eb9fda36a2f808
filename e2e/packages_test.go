//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	whole "github.com/kubewright/kubewright/e2e/fingerprint"
	"github.com/kubewright/kubewright/ops"
)

// offered are the packages that apt on the lab's hosts can install.
const offered = "docker.io,chrony,ntpsec,dnf,dnf-plugins-core,createrepo-c,rpm"

const packageHost = "node-0001"

// TestPackages installs packages with daemons, users and dependencies on a bare host, waits for whoever holds the package manager's lock, is killed in
// the middle, and leaves the host as it was.
func TestPackages(t *testing.T) {
	if os.Getenv(inLabVar) != "" {
		packagesInLab(t)
		return
	}
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	// A package that the user has in one version, of a repository that has two.
	ok(t, onHost(t, packageHost, sampleRepository))
	before := everything(t)
	again(t)
	if left := whole.Diff(before, everything(t)); len(left) > 0 {
		t.Errorf("%s is not as it was:\n%s", packageHost, strings.Join(left, "\n"))
	}
	ok(t, onHost(t, packageHost, "apt-get purge -q -y sample; rm -rf /root/repo /etc/apt/sources.list.d/sample.list; ip link delete docker0; nft flush ruleset"))
}

const sampleRepository = `set -e
for v in 1.0 2.0; do
	mkdir -p /root/repo/tree/DEBIAN /root/repo/tree/etc /root/repo/tree/usr/bin
	printf 'Package: sample\nVersion: %s\nArchitecture: all\nMaintainer: nobody <n@example>\nDescription: a sample\n' $v > /root/repo/tree/DEBIAN/control
	echo /etc/sample.conf > /root/repo/tree/DEBIAN/conffiles
	echo "from $v" > /root/repo/tree/etc/sample.conf
	echo "$v" > /root/repo/tree/usr/bin/sample
	dpkg-deb --root-owner-group --build /root/repo/tree /root/repo/sample_${v}_all.deb >/dev/null
	(dpkg-deb --field /root/repo/sample_${v}_all.deb; echo "Filename: ./sample_${v}_all.deb"; stat -c "Size: %s" /root/repo/sample_${v}_all.deb
		echo "SHA256: $(sha256sum < /root/repo/sample_${v}_all.deb | cut -d" " -f1)"; echo) >> /root/repo/Packages
done
rm -r /root/repo/tree
echo "deb [trusted=yes] file:/root/repo ./" > /etc/apt/sources.list.d/sample.list
apt-get -q update && apt-get -q install -y sample=1.0`

// everything is a host's fingerprint, without its logs. What Docker's daemon makes of the network is not the package's.
func everything(t *testing.T) []string {
	t.Helper()
	return factsOf(t, packageHost, "file,user,group,package,unit,unit-file")
}

// factsOf are facts of some kinds about a host, without its logs, what the test itself leaves, and other paths.
func factsOf(t *testing.T, host, kinds string, without ...string) []string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "fingerprint")
	build := exec.Command("go", "build", "-o", tool, "./fingerprint/cmd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	must(t, build)
	bytes, err := os.Open(tool)
	if err != nil {
		t.Fatal(err)
	}
	defer bytes.Close()
	send := exec.Command(program, "lab", "--dir", labDir, "ssh", host, "--", "cat > /root/fingerprint; chmod 700 /root/fingerprint")
	send.Stdin = bytes
	must(t, send)
	r := onHost(t, host, "/root/fingerprint -skip="+strings.Join(append(without, "/var/log", "/root", "/run/xtables.lock"), ",")+" -only="+kinds)
	ok(t, r)
	ok(t, onHost(t, host, "rm", "/root/fingerprint"))
	return strings.Split(strings.TrimSpace(r.stdout), "\n")
}

func packagesInLab(t *testing.T) {
	connect := open(t, "root")
	s := connect(t)
	locked(t, s)
	docker := ops.Package{Name: "docker.io", Version: "20.10.*", Held: true}

	holder := "import fcntl,time; f=open('/var/lib/dpkg/lock-frontend','w'); fcntl.lockf(f,fcntl.LOCK_EX); time.sleep(6)"
	ok(t, onHost(t, packageHost, "systemd-run", "--collect", "--unit=holder", "python3", "-c", `"`+holder+`"`))
	time.Sleep(time.Second)
	began := time.Now()
	heard := apply1(t, s, docker)
	if took := time.Since(began); took < 4*time.Second || len(heard) < 3 || heard[1].State != ops.Waits || !strings.Contains(heard[1].Note, "python3 -c") {
		t.Errorf("the lock's holder was waited for like this (%s): %+v", took, heard)
	}
	if got := onHost(t, packageHost, "dpkg-query", "-W", "-f", `'${Status} ${Version}'`, "docker.io").stdout; !strings.HasPrefix(got, "hold ok installed 20.10.") {
		t.Errorf("docker.io is %q", got)
	}
	ok(t, onHost(t, packageHost, "docker", "version"))
	if again := apply1(t, s, docker); again[len(again)-1].State != ops.Same {
		t.Errorf("a second time it is %+v", again)
	}

	apply1(t, s, ops.Package{Name: "sample", Version: "2.0", Held: true})
	if got := onHost(t, packageHost, "cat", "/usr/bin/sample").stdout; got != "2.0\n" {
		t.Errorf("the sample is %q", got)
	}

	// Everything that works on the package is killed while it does.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cut := make(chan error, 1)
	go func() {
		cut <- s.Apply(ctx, "e2e", "packages", []ops.Step{{Op: ops.Package{Name: "chrony"}, Why: "a test"}}, nil)
	}()
	killed := onHost(t, packageHost, `for i in $(seq 2000); do if grep -qs "" /var/lib/dpkg/updates/0* && pgrep -x dpkg >/dev/null; then
kill -9 $(pgrep -x kubewright-agen) $(pgrep -x apt-get) $(pgrep -x dpkg); exit 0; fi; sleep 0.01; done; exit 1`)
	if err := <-cut; err == nil || killed.code != 0 {
		t.Errorf("nothing was cut off: %v, %+v", err, killed)
	}
	s = connect(t)
	locked(t, s)
	apply1(t, s, ops.Package{Name: "chrony"})
	ok(t, onHost(t, packageHost, "systemctl", "is-enabled", "chrony.service"))
	if left := onHost(t, packageHost, "dpkg", "--audit").stdout; left != "" {
		t.Errorf("dpkg has something to say: %s", left)
	}

	if err := s.Reset(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func locked(t *testing.T, s *agent.Session) {
	t.Helper()
	if err := s.Lock(t.Context(), agent.Holder{User: "e2e", Run: "packages"}); err != nil {
		t.Fatal(err)
	}
}

func apply1(t *testing.T, s *agent.Session, op ops.Op) (heard []ops.Progress) {
	t.Helper()
	began := time.Now()
	err := s.Apply(t.Context(), "e2e", "packages", []ops.Step{{Op: op, Why: "a test"}}, func(p ops.Progress) { heard = append(heard, p) })
	t.Logf("%s: %s", op.Key(), time.Since(began).Round(10*time.Millisecond))
	if err != nil {
		t.Fatalf("%v\n%s", err, ops.LastLines(err))
	}
	return heard
}
