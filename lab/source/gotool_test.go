package source

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wrote stands in for what go env -w has kept.
func wrote(t *testing.T, settings string) {
	t.Helper()
	config := t.TempDir()
	if err := os.Mkdir(filepath.Join(config, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "go", "env"), []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	// Go counts what it does in the same folder, and a test that is over removes it.
	if err := os.Mkdir(filepath.Join(config, "go", "telemetry"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(config, "go", "telemetry", "mode"), []byte("off"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("GOENV", "")
}

func TestTheChecksumDatabaseIsAskedForEveryModule(t *testing.T) {
	wrote(t, "GOPROXY=https://proxy.example\nGOPRIVATE=*\nGOFLAGS=-insecure\nGOTOOLCHAIN=go1.99.0\nCC=cc-of-file\n")
	for name, value := range map[string]string{"GOPROXY": "", "GOPRIVATE": "", "GOTOOLCHAIN": "", "GONOSUMDB": "*", "GOINSECURE": "*", "GONOSUMCHECK": "1", "GOFLAGS": "", "CC": "cc-of-mine", "PASSED_ON": "yes"} {
		t.Setenv(name, value)
	}
	b, err := newBuilder(t.Context(), Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	env := b.goEnv(true)
	out, err := run(t.Context(), b.cache, env, "go", "env", "-json")
	if err != nil {
		t.Fatal(err)
	}
	var is map[string]string
	if err := json.Unmarshal(out, &is); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"GOPROXY": "https://proxy.example", "GOPRIVATE": "none", "GONOPROXY": "none", "GONOSUMDB": "none", "GOINSECURE": "none",
		"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOVERSION": b.goVersion, "CGO_ENABLED": "1", "CC": "gcc",
	} {
		if is[name] != want {
			t.Errorf("%s is %q, want %q", name, is[name], want)
		}
	}
	if slices.Contains(env, "GONOSUMCHECK=1") || !slices.Contains(env, "PASSED_ON=yes") {
		t.Errorf("the environment is %q", env)
	}
}

func TestWithoutTheChecksumDatabaseNothingIsBuilt(t *testing.T) {
	refused := func(t *testing.T) {
		t.Helper()
		_, err := newBuilder(t.Context(), Options{CacheDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "the checksum database is off") {
			t.Errorf("got %v", err)
		}
	}
	t.Run("in the environment", func(t *testing.T) { t.Setenv("GOSUMDB", "off"); refused(t) })
	t.Run("by go env -w", func(t *testing.T) {
		t.Setenv("GOSUMDB", "")
		wrote(t, "GOSUMDB=off\n")
		refused(t)
	})
}
