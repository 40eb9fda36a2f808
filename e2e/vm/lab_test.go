//go:build e2e

package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/fingerprint"
)

// The hosts: a container that is the control plane and the registry, and a virtual machine.
const (
	vm    = "node-0001"
	hosts = `
apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  hosts:
  - {name: master, address: 192.168.1.21, roles: [control-plane, registry]}
  - {name: node-0001, address: 192.168.1.31, roles: [worker]}
`
)

// patience bounds every command. A first up takes a minute or two where the machine has nothing else to do.
const patience = 20 * time.Minute

var program, labDir, inventory string

func TestMain(m *testing.M) {
	os.Exit(func() int { // a function, so that what is deferred runs before the exit
		root, err := filepath.Abs("../..")
		if err != nil {
			panic(err)
		}
		program, labDir = filepath.Join(root, "bin/kubewright"), filepath.Join(root, ".lab")
		inventory = filepath.Join(labDir, "cluster.yaml")
		made, err := os.MkdirTemp("", "kubewright-vm-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(made)
		file := filepath.Join(made, "hosts.yaml")
		if err := os.WriteFile(file, []byte(hosts), 0o600); err != nil {
			panic(err)
		}
		for _, args := range [][]string{{"down"}, {"up", "-f", file, "--vm=" + vm}} {
			if out, err := lab(args...).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "lab %s: %v\n%s", args[0], err, out)
				return 1
			}
		}
		defer func() {
			if os.Getenv("KUBEWRIGHT_KEEP_LAB") == "" {
				_ = lab("down").Run()
			}
		}()
		return m.Run()
	}())
}

func lab(args ...string) *exec.Cmd {
	return exec.Command(program, append([]string{"lab", "--dir", labDir}, args...)...)
}

// inLab is a command run where the hosts can be reached.
func inLab(t *testing.T, argv ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, program, append([]string{"lab", "--dir", labDir, "exec", "--"}, argv...)...)
}

// kubewright is a command line of the program about the cluster of the file.
func kubewright(t *testing.T, file string, args ...string) *exec.Cmd {
	return inLab(t, append(append([]string{"kubewright"}, args...), "-f", file)...)
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Errorf("%s: %v", cmd.Args, err)
		return result{code: -1}
	}
	line, _, _ := strings.Cut(strings.Join(cmd.Args[1:], " "), "\n")
	t.Logf("%s: exit %d after %s", line, cmd.ProcessState.ExitCode(), time.Since(began).Round(10*time.Millisecond))
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that has to succeed.
func must(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	r := run(t, cmd)
	if r.code != 0 {
		t.Fatalf("exit %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	return r
}

// onVM runs a command on the virtual machine.
func onVM(t *testing.T, argv ...string) result {
	t.Helper()
	return run(t, lab(append([]string{"ssh", vm, "--"}, argv...)...))
}

// told is what a command on the virtual machine writes, which has to succeed.
func told(t *testing.T, argv ...string) string {
	t.Helper()
	return strings.TrimSpace(must(t, lab(append([]string{"ssh", vm, "--"}, argv...)...)).stdout)
}

func kubectl(t *testing.T, args ...string) *exec.Cmd {
	return inLab(t, append([]string{"kubectl"}, args...)...)
}

// decode runs kubectl get and reads its answer.
func decode[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, kubectl(t, append([]string{"get", "-o", "json"}, args...)...)).stdout), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("it is not so that %s", what)
		}
	}
}

// look takes the virtual machine's fingerprint.
func look(t *testing.T) []string {
	t.Helper()
	return lookAt(t, vm)
}

// lookAt takes the fingerprint of one that is told. The program lies in its memory for as long as it runs.
func lookAt(t *testing.T, vm string) []string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "fingerprint")
	build := exec.Command("go", "build", "-trimpath", "-o", tool, "../fingerprint/cmd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	must(t, build)
	bin, err := os.Open(tool)
	if err != nil {
		t.Fatal(err)
	}
	defer bin.Close()
	const at = "/dev/shm/fingerprint"
	cmd := lab("ssh", vm, "--", "cat > "+at+" && chmod 700 "+at+" && "+at+"; s=$?; rm -f "+at+"; exit $s")
	cmd.Stdin = bin
	return slices.DeleteFunc(fingerprint.Read(must(t, cmd).stdout), ofThisStart.MatchString)
}

// ofThisStart is what the kernel and systemd set by the memory that they found, which is not the same at every start of this kernel.
var ofThisStart = regexp.MustCompile(`^sysctl (user/max_|fs/(epoll|fanotify|inotify)/max_user_|kernel/threads-max |net/ipv4/(tcp|udp)_mem |vm/(min_free|user_reserve)_kbytes )|` +
	`^mount \S+ tmpfs .*size=`)

// same holds that the virtual machine is as it was.
func same(t *testing.T, before []string, otherwise string) {
	t.Helper()
	if diff := fingerprint.Diff(before, look(t)); len(diff) > 0 {
		t.Errorf("%s:\n%s", otherwise, strings.Join(diff, "\n"))
	}
}
