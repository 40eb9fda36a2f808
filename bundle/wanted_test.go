package bundle

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheCommittedLockIsSound(t *testing.T) {
	w, err := parseWanted(wantedText)
	must(t, err)
	sums := map[bool]*regexp.Regexp{
		false: regexp.MustCompile(`@v[0-9].* h1:[A-Za-z0-9+/]{43}=$`),
		true:  regexp.MustCompile(`@[0-9].* sha512-[A-Za-z0-9+/]{86}==$`),
	}
	used := map[string]bool{}
	for _, c := range w.Components {
		used[c.Source] = true
		got := w.Component(c)
		got.Digest = "sha256:" + strings.Repeat("0", 64)
		got.Manifest = got.Digest
		if debian := w.Sources[c.Source].Debian; debian != "" {
			if got.Version != "" || got.Sum != "" || got.Source != "debian:"+debian {
				t.Errorf("%s: %+v claims to know what only a build finds out", got.Repository, got)
			}
			got.Version = "1.0"
			if err := got.check(); err != nil {
				t.Error(err)
			}
			continue
		}
		if err := got.check(); err != nil {
			t.Error(err)
		}
		if npm := strings.HasPrefix(got.Source, "npm:"); !sums[npm].MatchString(got.Source + " " + got.Sum) {
			t.Errorf("%s: source %s, sum %s", got.Repository, got.Source, got.Sum)
		}
	}
	for name := range w.Sources {
		// These are part of what another source makes, and have no component of their own.
		part := []string{"etcdutl", "prometheus-operator-apis", "prometheus-operator-client"}
		if !used[name] && !slices.Contains(part, name) {
			t.Errorf("source %s is not used", name)
		}
	}
}

func TestALockThatMakesNoSenseIsRefused(t *testing.T) {
	const source = "sources: {a: {module: m, version: v1.0.0, sum: h1:x}}\n"
	const debian = "sources: {a: {debian: busybox}}\n"
	for _, row := range []struct{ text, want string }{
		{"sources: {a: {module: m, version: v1.0.0}}", "source a: module, version and sum are all needed"},
		{"sources: {a: {debian: busybox, version: v1.0.0}}", "source a: a Debian package has no module, version or sum here"},
		{debian + "components: [{name: x, kind: file, source: a}]", "component x: of a Debian package there is only an image"},
		{debian + "components: [{name: x, kind: image, source: a, version: v1.0.0}]", "its version is the package's"},
		{source + "components: [{name: x, kind: image, source: b}]", `component x: there is no source "b"`},
		{source + "components: [{name: x, kind: chart, source: a}]", `component x: unknown kind "chart"`},
		{source + "components: [{name: x, kind: image, source: a, digest: y}]", `unknown field "digest"`},
		{source + "components: [{name: x, kind: image, source: a}, {name: x, kind: image, source: a}]", "component x: listed twice"},
	} {
		_, err := parseWanted([]byte(row.text))
		expect(t, err, row.want)
	}
}

func TestTagsFollowKubeadm(t *testing.T) {
	for _, row := range []struct{ kind, name, want string }{
		{KindImage, "pause", "3.10.2"},
		{KindImage, "etcd", "3.6.8-0"},
		{KindImage, "kube-apiserver", Want().Sources["kubernetes"].Version},
		{KindFile, "kubelet", Want().Sources["kubernetes"].Version},
	} {
		if got, err := Want().Version(row.kind, row.name); err != nil || got != row.want {
			t.Errorf("%s %s: %s, %v; want %s", row.kind, row.name, got, err, row.want)
		}
	}
	if _, err := Want().Version(KindFile, "pause"); err == nil {
		t.Error("pause is not a program")
	}
	if _, err := Want().Version(KindImage, "busybox"); err == nil {
		t.Error("nobody knows before the build which version Debian's busybox has")
	}
}

func TestModulesOfOneRepositoryAreOfOneVersion(t *testing.T) {
	sources := Want().Sources
	for name, as := range map[string]string{
		"etcdctl": "etcd", "etcdutl": "etcd",
		"prometheus-operator-apis": "prometheus-operator", "prometheus-operator-client": "prometheus-operator",
	} {
		if sources[name].Version != sources[as].Version {
			t.Errorf("%s is %s, %s is %s", name, sources[name].Version, as, sources[as].Version)
		}
	}
}
