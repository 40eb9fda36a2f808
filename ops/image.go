package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
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

// pullBound is how long a pull may take: a registry that takes connections and says nothing would keep us for ever.
const pullBound = 10 * time.Minute

// Observe asks containerd; where none runs there is no image either, and whoever mends it comes first.
func (i Image) Observe(ctx context.Context, m Machine) (Op, error) {
	seen := Image{Ref: i.Ref}
	if !exists(m, ctr) || !exists(m, containerdSocket) {
		return seen, nil
	}
	out, err := m.Run(ctx, ctr, "-n", "k8s.io", "images", "ls", "-q", "name=="+i.Ref)
	if err != nil {
		if ctx.Err() == nil && abandoned(m, containerdSocket) {
			return seen, nil
		}
		return nil, fmt.Errorf("list images: %w", err)
	}
	seen.Present = strings.TrimSpace(string(out)) == i.Ref
	return seen, nil
}

func (i Image) Set(ctx context.Context, m Machine, _ Op) error {
	if i.Present {
		pulling, cancel := context.WithTimeout(ctx, pullBound)
		defer cancel()
		err := run(pulling, m, ctr, "-n", "k8s.io", "images", "pull", "--hosts-dir", registryHosts, i.Ref)
		if err != nil && ctx.Err() == nil && pulling.Err() != nil {
			return fmt.Errorf("the pull was not done after %s", pullBound)
		}
		return err
	}
	if !exists(m, ctr) || !exists(m, containerdSocket) {
		return nil
	}
	err := run(ctx, m, ctr, "-n", "k8s.io", "images", "rm", i.Ref)
	if err != nil && abandoned(m, containerdSocket) {
		return nil
	}
	return err
}

// abandoned says whether a socket was left by somebody who died.
func abandoned(m Machine, socket string) bool {
	fi, err := os.Stat(m.Path(socket))
	if err != nil || fi.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.DialTimeout("unix", m.Path(socket), time.Second)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
