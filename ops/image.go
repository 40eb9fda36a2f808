package ops

import (
	"context"
	"fmt"
	"strings"
)

// Image is an image in containerd's store where the kubelet looks for it, named by digest.
type Image struct {
	Ref     string `json:"ref"`
	Present bool   `json:"present,omitempty"`
}

const (
	ctr              = "/usr/local/bin/ctr"
	containerdSocket = "/run/containerd/containerd.sock"
	// registryHosts is where containerd finds which authority a registry is verified by.
	registryHosts = "/etc/containerd/certs.d"
)

func (i Image) Key() Key { return Key("image:" + i.Ref) }

// Observe asks containerd; where there is none, there is no image either.
func (i Image) Observe(ctx context.Context, m Machine) (Op, error) {
	seen := Image{Ref: i.Ref}
	if !exists(m, ctr) || !exists(m, containerdSocket) {
		return seen, nil
	}
	out, err := m.Run(ctx, ctr, "-n", "k8s.io", "images", "ls", "-q", "name=="+i.Ref)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	seen.Present = strings.TrimSpace(string(out)) == i.Ref
	return seen, nil
}

func (i Image) Set(ctx context.Context, m Machine, _ Op) error {
	if i.Present {
		return run(ctx, m, ctr, "-n", "k8s.io", "images", "pull", "--hosts-dir", registryHosts, i.Ref)
	}
	if !exists(m, ctr) || !exists(m, containerdSocket) {
		return nil
	}
	return run(ctx, m, ctr, "-n", "k8s.io", "images", "rm", i.Ref)
}
