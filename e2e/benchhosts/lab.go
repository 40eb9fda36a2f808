package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lab is the hosts that are measured on, made anew for each lap: the first serves the registry, the second is the control plane, the rest are
// workers.
type lab struct {
	program, dir, ansible, inventory string
	hosts                            []string
}

func names(n int) []string {
	out := []string{"registry", "master"}
	for i := range max(n-2, 1) {
		out = append(out, fmt.Sprintf("node-%04d", i+1))
	}
	return out
}

func addressOf(i int) string { return fmt.Sprintf("192.168.1.%d", 20+i) }

func (b *lab) render() []byte {
	var out bytes.Buffer
	fmt.Fprint(&out, "apiVersion: kubewright.io/v1alpha1\nkind: Cluster\nmetadata:\n  name: lab\nspec:\n  hosts:\n")
	for i, name := range b.hosts {
		role := [...]string{"registry", "control-plane", "worker"}[min(i, 2)]
		fmt.Fprintf(&out, "    - {name: %s, address: %s, roles: [%s]}\n", name, addressOf(i), role)
	}
	return out.Bytes()
}

func (b *lab) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, b.program, append([]string{"lab", "--dir", b.dir}, args...)...)
}

func (b *lab) down(ctx context.Context) { _ = b.command(ctx, "down").Run() }

// fresh makes bare hosts and a filled registry, from which both contenders fetch.
func (b *lab) fresh(ctx context.Context) error {
	b.down(ctx)
	if _, err := timed(b.command(ctx, "up", "-f", b.inventory)); err != nil {
		return err
	}
	_, err := timed(b.up(ctx, "--phase", "registry"))
	return err
}

func (b *lab) up(ctx context.Context, args ...string) *exec.Cmd {
	return b.command(ctx, append([]string{"exec", "--", "kubewright", "up", "-f", filepath.Join(b.dir, "cluster.yaml")}, args...)...)
}

func (b *lab) kubewright(ctx context.Context) (time.Duration, error) {
	return timed(b.up(ctx, "--phase", strings.Join(measured, ",")))
}

// left is what kubewright still changes on the last host.
func (b *lab) left(ctx context.Context) ([]string, error) {
	events := filepath.Join(b.dir, "events")
	// To kubewright the playbook's work is another tool's.
	if _, err := timed(b.up(ctx, "--phase", strings.Join(measured, ","), "--events", events, "--ignore-preflight", "remains,runtime,cni-config")); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(events)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range bytes.Lines(raw) {
		var e struct{ Target, Type, Key, State string }
		if json.Unmarshal(line, &e) == nil && e.Key != "" && e.State == "changed" && e.Target == b.hosts[len(b.hosts)-1] {
			out = append(out, e.Key)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// read is a file of a host.
func (b *lab) read(ctx context.Context, host, path string) ([]byte, error) {
	out, err := b.command(ctx, "ssh", host, "--", "cat", path).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: read %s: %w", host, path, err)
	}
	return out, nil
}
