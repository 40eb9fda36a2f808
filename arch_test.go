package kubewright_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kubewright/kubewright"

// may says what each package may import: of this module, and from elsewhere by the beginning of the path. Imports go down this list only,
// as docs/design.md has it; whoever needs another one argues for it here. An empty list is the standard library.
var may = []struct {
	pkg       string
	own       string
	elsewhere string
}{
	{"pki", "", "sigs.k8s.io/yaml"},
	{"edit", "", "github.com/pelletier/go-toml"},
	{"ops", "edit pki", "golang.org/x/sys github.com/coreos/go-systemd github.com/godbus/dbus"},
	{"agent", "ops pki", "golang.org/x/sys"},
	{"agent/conformance", "agent ops pki", ""},
	{"host", "agent ops", "golang.org/x/crypto github.com/pkg/sftp github.com/skeema/knownhosts"},
	{"host/sshtest", "host agent ops", "golang.org/x/crypto github.com/pkg/sftp"},
	{"engine", "ops", "github.com/aymanbagabas/go-udiff"},
	{"engine/laws", "engine agent ops pki", ""},
	{"inventory", "", "github.com/goccy/go-yaml sigs.k8s.io/yaml"},
	{"templates", "", ""},
	{"preflight", "host agent inventory ops", ""},
	{"bundle", "pki", "github.com/google/go-containerregistry golang.org/x/sync sigs.k8s.io/yaml"},
	{"addons", "ops pki inventory templates", "github.com/google/go-containerregistry k8s.io/api k8s.io/apimachinery k8s.io/client-go golang.org/x/sync sigs.k8s.io/yaml"},
	{"verify", "", "k8s.io/api k8s.io/apimachinery k8s.io/client-go k8s.io/streaming github.com/gorilla/websocket"},
	{"convert", "", "k8s.io/apimachinery k8s.io/client-go sigs.k8s.io/yaml"},
	{"phases", "addons bundle preflight templates inventory engine host agent ops pki",
		"k8s.io/api k8s.io/apimachinery k8s.io/kubelet k8s.io/kube-proxy sigs.k8s.io/yaml github.com/coreos/go-systemd github.com/pelletier/go-toml"},
	{"report", "engine ops", "golang.org/x/term"},
	{"lab", "bundle inventory", "golang.org/x github.com/goccy/go-yaml"},
	{"lab/source", "bundle", "github.com/google/go-containerregistry github.com/klauspost/compress"},
	{"lab/source/iptables", "", ""},
	{"lab/source/headlamp", "", ""},
	{"cmd/kubewright-agent", "agent ops pki", ""},
	{"cmd/kubewright", "lab lab/source report phases convert verify addons bundle preflight inventory engine host agent ops pki",
		"k8s.io/api k8s.io/apimachinery k8s.io/client-go sigs.k8s.io/yaml golang.org/x github.com/spf13/cobra"},
	{"e2e", "", ""},
	{"e2e/browser", "", ""}, // empty without the tag e2e
	{"e2e/benchup", "bundle", ""},
	{"e2e/benchhosts", "bundle", ""},
	{"e2e/fingerprint", "", "golang.org/x/sys github.com/coreos/go-systemd"},
	{"e2e/fingerprint/cmd", "e2e/fingerprint", ""},
	{"e2e/images", "", ""},
	{"e2e/vm", "", ""},
}

// TestImportsGoDownTheList: a package is understood with what is above it only, and nothing imports a command.
func TestImportsGoDownTheList(t *testing.T) {
	above := map[string]bool{}
	allowed := map[string]func(string) bool{}
	for _, row := range may {
		own, elsewhere := strings.Fields(row.own), strings.Fields(row.elsewhere)
		for _, o := range own {
			if !above[o] {
				t.Errorf("the list lets %s import %s, which is not above it", row.pkg, o)
			}
		}
		above[row.pkg] = true
		allowed[row.pkg] = func(path string) bool {
			if rest, ok := strings.CutPrefix(path, module+"/"); ok {
				return slices.Contains(own, rest)
			}
			first, _, _ := strings.Cut(path, "/")
			return !strings.Contains(first, ".") || slices.ContainsFunc(elsewhere, func(e string) bool { return path == e || strings.HasPrefix(path, e+"/") })
		}
	}
	for _, line := range list(t, "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module+"/")
		if pkg == module {
			continue // these tests
		}
		ok := allowed[pkg]
		if ok == nil {
			t.Errorf("the list does not say what %s may import", pkg)
			continue
		}
		for _, path := range fields[1:] {
			if !ok(path) {
				t.Errorf("%s imports %s", pkg, path)
			}
		}
	}
}

// TestAgentIsSmall: it is sent to every host, and starts in milliseconds.
func TestAgentIsSmall(t *testing.T) {
	for _, path := range list(t, "-deps", "./cmd/kubewright-agent") {
		for _, heavy := range []string{"k8s.io/", "github.com/google/", "golang.org/x/crypto/ssh", "github.com/spf13/", module + "/engine", module + "/host"} {
			if strings.HasPrefix(path, heavy) {
				t.Errorf("the agent is built with %s", path)
			}
		}
	}
}

// TestCommandsAreBuiltWithoutTests: what only tests need is not in what users get.
func TestCommandsAreBuiltWithoutTests(t *testing.T) {
	for _, path := range list(t, "-deps", "./cmd/...") {
		if path == "testing" || strings.HasPrefix(path, "github.com/rogpeppe/") || path == module+"/host/sshtest" || path == module+"/engine/laws" || path == module+"/agent/conformance" {
			t.Errorf("a command is built with %s", path)
		}
	}
}

// list asks the go tool, as it builds for hosts.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if e, ok := err.(*exec.ExitError); ok {
			stderr = e.Stderr
		}
		t.Fatalf("go list: %v\n%s", err, stderr)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 2 {
		t.Fatalf("go list %v: %q", args, out)
	}
	return lines
}
