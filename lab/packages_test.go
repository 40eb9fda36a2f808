package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWantedPackages(t *testing.T) {
	got, err := wantedPackages([]string{"ufw", "docker.io", "libstdc++6", "ufw"})
	if d := cmp.Diff([]string{"docker.io", "libstdc++6", "ufw"}, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for _, name := range []string{"", "-y", "a b", "../x", "docker.io=1", "Docker"} {
		if _, err := wantedPackages([]string{name}); err == nil {
			t.Errorf("%q is taken for a package", name)
		}
	}
}

func TestRepositoryGoesByItsRootFilesystem(t *testing.T) {
	one, other := repositoryName("/c/rootfs-aa", []string{"ufw"}), repositoryName("/c/rootfs-bb", []string{"ufw"})
	if !strings.HasPrefix(one, "packages-aa-") || !strings.HasPrefix(other, "packages-bb-") {
		t.Errorf("%s and %s", one, other)
	}
	if one == repositoryName("/c/rootfs-aa", []string{"ufw", "tini"}) {
		t.Error("other packages have the same name")
	}
}

// The machine's hooks, lists and caches have no part in it.
func TestAptIsKeptApart(t *testing.T) {
	conf := aptConf(aptSource{options: "Acquire::Retries \"3\";\n"}, "/c/rootfs-aa", "/c/tmp")
	for _, want := range []string{
		`Dir::Etc::Parts "/dev/null";`, `Dir::State "/c/tmp";`, `Dir::State::Status "/c/rootfs-aa/var/lib/dpkg/status";`, `Dir::Cache "/c/tmp";`,
		`Dir::Etc::SourceParts "/c/tmp/sources";`, `Acquire::Retries "3";`,
	} {
		if !strings.Contains(conf, want+"\n") {
			t.Errorf("no %s in\n%s", want, conf)
		}
	}
}

func TestPackagesIndex(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("the machine has no dpkg-deb")
	}
	dir, tree := t.TempDir(), t.TempDir()
	control := "Package: sample\nVersion: 1:2.0~x-1\nArchitecture: all\nMaintainer: nobody <n@example>\nDepends: libc6\nDescription: a sample\n"
	if err := os.MkdirAll(tree+"/DEBIAN", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tree+"/DEBIAN/control", []byte(control), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", tree, dir+"/sample_1%3a2.0~x-1_all.deb").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	index, err := packagesIndex(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Package: sample\n", "\nVersion: 1:2.0~x-1\n", "\nDepends: libc6\n", "\nFilename: ./sample_1%3a2.0~x-1_all.deb\n", "\nSHA256: "} {
		if !strings.Contains(string(index), want) {
			t.Errorf("no %q in\n%s", want, index)
		}
	}
	if _, err := packagesIndex(t.Context(), t.TempDir()); err == nil {
		t.Error("an empty repository is taken for one")
	}
}

// TestRuncWrapper has the wrapper that Docker gets start a runc that only writes down its arguments.
func TestRuncWrapper(t *testing.T) {
	dir := t.TempDir()
	config := `{"process":{"capabilities":{"bounding":["CAP_SYS_RESOURCE","CAP_CHOWN"],"effective":["CAP_CHOWN","CAP_SYS_RESOURCE"],"permitted":["CAP_SYS_RESOURCE"]},"oomScoreAdj":-500}}`
	want := `{"process":{"capabilities":{"bounding":["CAP_CHOWN"],"effective":["CAP_CHOWN"],"permitted":[]},"oomScoreAdj":0}}`
	for path, file := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"wrapper": {runcScript, 0o755}, "bin/runc": {"#!/bin/sh\necho \"$@\"\n", 0o755}, "bundle/config.json": {config, 0o644},
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(file.text), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "wrapper"), "--root", "/run/x", "create", "--bundle", filepath.Join(dir, "bundle"), "an id")
	cmd.Env = []string{"PATH=" + dir + "/bin:/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "--root /run/x create --bundle "+dir+"/bundle an id\n" {
		t.Errorf("%v: runc was run with %s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(dir, "bundle/config.json"))
	if err != nil || string(got) != want {
		t.Errorf("%v: the container's configuration is %s", err, got)
	}
}
