package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Image is an image in the runtime's store where the kubelet looks for it, named by digest.
type Image struct {
	Ref     string `json:"ref"`
	Docker  bool   `json:"docker,omitempty"` // in Docker's store, not containerd's
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

// Observe asks the runtime; where none runs there is no image either, and whoever mends it comes first.
func (i Image) Observe(ctx context.Context, m Machine) (Op, error) {
	i.Present = false
	var err error
	if i.Docker {
		i.Present, err = i.inDocker(ctx, m)
	} else {
		i.Present, err = i.inContainerd(ctx, m)
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

func (i Image) inContainerd(ctx context.Context, m Machine) (bool, error) {
	if !exists(m, ctr) || !exists(m, containerdSocket) {
		return false, nil
	}
	out, err := m.Run(ctx, ctr, "-n", "k8s.io", "images", "ls", "-q", "name=="+i.Ref)
	if err != nil {
		if ctx.Err() == nil && abandoned(m, containerdSocket) {
			return false, nil
		}
		return false, fmt.Errorf("list images: %w", err)
	}
	return strings.TrimSpace(string(out)) == i.Ref, nil
}

func (i Image) inDocker(ctx context.Context, m Machine) (bool, error) {
	err := engineOf(m).get(ctx, "/images/"+i.Ref+"/json", nil, &struct{}{})
	if errors.Is(err, errNoSuch) || engineAway(err) {
		return false, nil
	}
	return err == nil, err
}

func (i Image) Set(ctx context.Context, m Machine, _ Op) error {
	if i.Present {
		return i.pull(ctx, m)
	}
	if i.Docker {
		if err := changing(m, "remove "+i.Ref); err != nil {
			return err
		}
		err := engineOf(m).remove(ctx, "/images/"+i.Ref, url.Values{})
		if engineAway(err) {
			return nil
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

func (i Image) pull(ctx context.Context, m Machine) error {
	pulling, cancel := context.WithTimeout(ctx, pullBound)
	defer cancel()
	var err error
	if i.Docker {
		if err := changing(m, "pull "+i.Ref); err != nil {
			return err
		}
		err = engineOf(m).pull(pulling, i.Ref)
	} else {
		err = run(pulling, m, ctr, "-n", "k8s.io", "images", "pull", "--hosts-dir", registryHosts, i.Ref)
	}
	if err != nil && ctx.Err() == nil && pulling.Err() != nil {
		return fmt.Errorf("the pull was not done after %s", pullBound)
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
