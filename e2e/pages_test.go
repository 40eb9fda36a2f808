//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/e2e/browser"
)

// The way of what the browser needs to where the hosts can be reached.
const (
	tokenVar    = "KUBEWRIGHT_E2E_TOKEN"
	picturesVar = "KUBEWRIGHT_E2E_PICTURES" // a folder that pictures of the pages are kept in
)

// TestPages looks at the dashboard and at Prometheus as a person does: in a browser, logging in with a token.
func TestPages(t *testing.T) {
	if os.Getenv(inLabVar) != "" {
		t.Run("dashboard", dashboardPage)
		t.Run("prometheus", prometheusPage)
		return
	}
	file := withAddons(t, "    dashboard: {enabled: true}\n    monitoring: {enabled: true, profile: plain}\n")
	must(t, inLab(bounded(t), "kubewright", "up", "-f", file))
	t.Cleanup(func() { must(t, kubewright(bounded(t), "reset", "--yes=lab")) })
	if r := run(t, inLab(bounded(t), "kubewright", "dashboard", "token", "--admin", "-f", file)); r.code != 8 || !strings.Contains(r.stderr, "admin: true") {
		t.Errorf("a token of an account that nobody asked for: %d %s", r.code, r.stderr)
	}
	r := must(t, inLab(bounded(t), "kubewright", "dashboard", "token", "--ttl", "10m", "-f", file))
	t.Setenv(tokenVar, strings.TrimSpace(r.stdout))
	if !strings.Contains(r.stderr, ":30000/") || strings.Contains(r.stderr, os.Getenv(tokenVar)) {
		t.Errorf("it says %s", r.stderr)
	}
	noticed(t, `up{job="kube-state-metrics"} == 1`) // the page asks once
	again(t)
}

// door is an address that people reach the cluster at.
func door() string { return cluster.Nodes()[len(nodes)-1].Address.String() }

func surf(t *testing.T, certs ...*x509.Certificate) *browser.Browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	b, err := browser.Start(ctx, certs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// picture keeps a picture of the page, and says what the page threw.
func picture(t *testing.T, b *browser.Browser, name string) {
	t.Helper()
	dir := os.Getenv(picturesVar)
	if dir == "" {
		dir = t.TempDir()
	}
	file := filepath.Join(dir, name+".png")
	if err := b.Screenshot(file); err != nil {
		t.Error(err)
	} else if info, err := os.Stat(file); err != nil || info.Size() < 10<<10 {
		t.Errorf("the picture of %s is empty: %v", name, err)
	}
	for _, c := range b.Complaints() {
		t.Errorf("the page throws %s", c)
	}
}

func dashboardPage(t *testing.T) {
	at := door() + ":30000"
	conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true}) // only to learn whom the browser shall know; verify checks who signed it
	if err != nil {
		t.Fatal(err)
	}
	b := surf(t, conn.ConnectionState().PeerCertificates...)
	conn.Close()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"it asks for a token", func() error { return first(b.Open("https://"+at+"/"), b.Await("Authentication")) }},
		{"a wrong one is refused", func() error {
			return first(b.Fill("input", "nonsense"), b.Press("Authenticate"), b.Await("Error authenticating"))
		}},
		{"the viewer is let in", func() error {
			return first(b.Open("https://"+at+"/"), b.Await("Authentication"), b.Fill("input", os.Getenv(tokenVar)), b.Press("Authenticate"), b.Await("Workloads"))
		}},
		{"namespaces are there", func() error {
			return first(b.Open("https://"+at+"/c/main/namespaces"), b.Await("kube-flannel"))
		}},
		{"nodes are there", func() error { return first(b.Open("https://"+at+"/c/main/nodes"), b.Await("node-0002")) }},
	} {
		if err := step.do(); err != nil {
			text, _ := b.Text()
			t.Fatalf("%s: %v\nthe page says:\n%s", step.what, err, text)
		}
	}
	picture(t, b, "dashboard")
}

func prometheusPage(t *testing.T) {
	b := surf(t)
	at := "http://" + door() + ":30090"
	if err := first(b.Open(at+"/targets"), b.Await("targets are up")); err != nil {
		t.Fatal(err)
	}
	picture(t, b, "prometheus-targets")
	if err := first(b.Open(at+"/query?g0.expr=up"), b.Await("kube-state-metrics")); err != nil {
		t.Fatal(err)
	}
	picture(t, b, "prometheus-query")
}

// first is the first of the errors.
func first(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
