//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	facts "github.com/kubewright/kubewright/e2e/fingerprint"
)

// ofCluster narrows a fingerprint to what stays as it is while a cluster runs.
var ofCluster = []string{
	"-only", "file,mtime,unit,unit-file,user,group,package",
	"-skip", "/run,/tmp,/var/log,/var/lib/containerd,/var/lib/kubelet,/var/lib/etcd,/var/lib/cni,/var/lib/registry",
}

// look takes the fingerprint of every host.
func look(t *testing.T, args ...string) map[string][]string {
	t.Helper()
	bin := fingerprinter(t)
	var mu sync.Mutex
	all := map[string][]string{}
	var wg sync.WaitGroup
	before := t.Failed()
	for _, h := range hosts {
		wg.Go(func() {
			lines := lookAt(t, bin, h, args...)
			mu.Lock()
			defer mu.Unlock()
			all[h] = lines
		})
	}
	wg.Wait()
	if len(all) < len(hosts) || t.Failed() && !before {
		t.FailNow()
	}
	return all
}

// fingerprint is that of one host while a cluster may run there, as one text.
func fingerprint(t *testing.T, host string) string {
	t.Helper()
	return strings.Join(lookAt(t, fingerprinter(t), host, ofCluster...), "\n")
}

// lookAt takes the fingerprint of one host. The program lies in the host's memory for as long as it runs.
func lookAt(t *testing.T, bin []byte, host string, args ...string) []string {
	t.Helper()
	const at = "/dev/shm/fingerprint"
	cmd := exec.CommandContext(bounded(t), program, "lab", "--dir", labDir, "ssh", host, "--",
		"cat > "+at+" && chmod 700 "+at+" && "+at+" "+strings.Join(args, " ")+"; s=$?; rm -f "+at+"; exit $s")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(bin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: fingerprint: %v\n%s", host, err, stderr.String())
	}
	return facts.Read(stdout.String())
}

var builtFingerprinter = sync.OnceValues(func() ([]byte, error) {
	at := filepath.Join(filepath.Dir(program), "fingerprint")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", at, "./fingerprint/cmd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return nil, err
	}
	return os.ReadFile(at)
})

func fingerprinter(t *testing.T) []byte {
	t.Helper()
	bin, err := builtFingerprinter()
	if err != nil {
		t.Fatalf("build the fingerprint program: %v", err)
	}
	return bin
}

// sameHosts holds that two looks at all hosts saw the same.
func sameHosts(t *testing.T, before, after map[string][]string, otherwise string) {
	t.Helper()
	for _, h := range hosts {
		if diff := facts.Diff(before[h], after[h]); len(diff) > 0 {
			t.Errorf("%s: %s:\n%s", h, otherwise, strings.Join(diff, "\n"))
		}
	}
}
