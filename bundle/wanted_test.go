package bundle

import (
	"regexp"
	"strings"
	"testing"
)

func TestTheCommittedLockIsSound(t *testing.T) {
	w, err := parseWanted(wantedText)
	must(t, err)
	sum := regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	used := map[string]bool{}
	for _, c := range w.Components {
		used[c.Source] = true
		got := w.Component(c)
		got.Digest = "sha256:" + strings.Repeat("0", 64)
		got.Manifest = got.Digest
		if err := got.check(); err != nil {
			t.Error(err)
		}
		if !sum.MatchString(got.Sum) || !strings.Contains(got.Source, "@v") {
			t.Errorf("%s: source %s, sum %s", got.Repository, got.Source, got.Sum)
		}
	}
	for name := range w.Sources {
		// etcdutl is part of the etcd image and has no component of its own.
		if !used[name] && name != "etcdutl" {
			t.Errorf("source %s is not used", name)
		}
	}
}

func TestALockThatMakesNoSenseIsRefused(t *testing.T) {
	const source = "sources: {a: {module: m, version: v1.0.0, sum: h1:x}}\n"
	for _, row := range []struct{ text, want string }{
		{"sources: {a: {module: m, version: v1.0.0}}", "source a: module, version and sum are all needed"},
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
}
