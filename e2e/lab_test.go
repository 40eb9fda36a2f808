//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/inventory"
)

// patience bounds every command; the slowest, a first up, takes well under a minute.
const patience = 5 * time.Minute

var (
	program string // the kubewright under test
	labDir  string

	cluster *inventory.Cluster // as the lab's inventory has it
	hosts   []string           // all of its hosts
	nodes   []string           // those that are nodes

	labRegistry string // as images name it
)

// inventoryVar names an inventory for the lab instead of the default one: a test that asks for many runs asks for few hosts.
const inventoryVar = "KUBEWRIGHT_E2E_INVENTORY"

func TestMain(m *testing.M) {
	os.Exit(func() int { // a function, so that what is deferred runs before the exit
		root, err := filepath.Abs("..")
		if err != nil {
			panic(err)
		}
		program, labDir = filepath.Join(root, "bin/kubewright"), filepath.Join(root, ".lab")
		if os.Getenv(inLabVar) != "" {
			if err := learnHosts(); err != nil {
				panic(err)
			}
			return m.Run()
		}
		if out, err := command("lab", "down").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "lab down: %v\n%s", err, out)
			return 1
		}
		defer func() {
			if os.Getenv("KUBEWRIGHT_KEEP_LAB") == "" {
				_ = command("lab", "down").Run()
			}
		}()
		up := command("lab", "up", "--packages", offered)
		if file := os.Getenv(inventoryVar); file != "" {
			up.Args = append(up.Args, "-f", file)
		}
		if out, err := up.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "lab up: %v\n%s", err, out)
			return 1
		}
		if err := learnHosts(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// learnHosts reads which hosts the lab has.
func learnHosts() (err error) {
	if cluster, err = inventory.Load(filepath.Join(labDir, "cluster.yaml")); err != nil {
		return err
	}
	labRegistry = cluster.Registry()
	for _, h := range cluster.Spec.Hosts {
		hosts = append(hosts, h.Name)
	}
	for _, h := range cluster.Nodes() {
		nodes = append(nodes, h.Name)
	}
	return nil
}

// command is a command line of the program, run on the machine.
func command(args ...string) *exec.Cmd {
	return exec.Command(program, append(args, labFlag(args)...)...)
}

func labFlag(args []string) []string {
	if args[0] == "lab" && (len(args) == 2 || args[1] == "up") {
		return []string{"--dir", labDir}
	}
	return nil
}

// inLab is a command run where the lab's hosts can be reached.
func inLab(ctx context.Context, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, program, append([]string{"lab", "--dir", labDir, "exec", "--"}, argv...)...)
}

// kubewright is a command line of the program about the lab's cluster.
func kubewright(ctx context.Context, args ...string) *exec.Cmd {
	return inLab(ctx, append(append([]string{"kubewright"}, args...), "-f", inventoryFile())...)
}

// inventoryFile is the lab's own inventory.
func inventoryFile() string { return filepath.Join(labDir, "cluster.yaml") }

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
	r := result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	t.Logf("%s: exit %d after %s", brief(cmd.Args[1:]), r.code, time.Since(began).Round(10*time.Millisecond))
	if err != nil && r.code < 0 {
		t.Logf("%v", err)
	}
	return r
}

// must runs a command that has to succeed.
func must(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	r := run(t, cmd)
	if r.code != 0 {
		t.Fatalf("%s: exit %d\n%s\n%s", strings.Join(cmd.Args[1:], " "), r.code, r.stdout, r.stderr)
	}
	return r
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return must(t, inLab(bounded(t), append([]string{"kubectl"}, args...)...)).stdout
}

// apply applies a manifest.
func apply(t *testing.T, manifest string) {
	t.Helper()
	cmd := inLab(bounded(t), "kubectl", "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	must(t, cmd)
}

// decode runs kubectl get and reads its answer.
func decode[T any](t *testing.T, args ...string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(kubectl(t, append([]string{"get", "-o", "json"}, args...)...)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// onHost runs a command on a host and returns what it wrote.
func onHost(t *testing.T, host string, argv ...string) result {
	t.Helper()
	return run(t, exec.Command(program, append([]string{"lab", "--dir", labDir, "ssh", host, "--"}, argv...)...))
}

// brief is a command line, of a script its first line.
func brief(args []string) string {
	line, _, more := strings.Cut(strings.TrimSpace(strings.Join(args, " ")), "\n")
	if more {
		line += " ..."
	}
	return line
}
