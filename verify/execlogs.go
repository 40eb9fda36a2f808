package verify

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

var execLogs = Check{
	Name: "exec-logs-cp-forward", Short: "kubectl's exec, logs, cp and port-forward work with every node: the API server reaches and trusts its kubelet",
	Remedy: "the kubelet's serving certificate, and port 10250 of the node from the control plane",
	Run: func(ctx context.Context, e *Env) error {
		for i, n := range e.Nodes {
			spec := podSpec(e.web())
			spec.NodeName, spec.Tolerations = n.Name, []corev1.Toleration{everywhere}
			if err := e.create(ctx, pod(fmt.Sprintf("on-%d", i), spec)); err != nil {
				return err
			}
		}
		for i, n := range e.Nodes {
			name := fmt.Sprintf("on-%d", i)
			if _, err := e.pod(ctx, name); err != nil {
				return fmt.Errorf("on %s: %w", n.Name, err)
			}
			if err := e.handle(ctx, name); err != nil {
				return fmt.Errorf("on %s: %w", n.Name, err)
			}
			e.Saw("%s: exec gave back what it was given and a status of 3, cp brought a file there and back, logs were read, and port-forward reached %s", n.Name, name)
		}
		return nil
	},
}

// handle does with a pod all that needs its kubelet.
func (e *Env) handle(ctx context.Context, name string) error {
	text := strings.Repeat("0123456789abcdef", 4096)
	got, err := e.exec(ctx, e.Namespace, name, "web", []byte(text), "busybox", "cat")
	if err != nil {
		return err
	}
	if got != text {
		return fmt.Errorf("exec: of %d bytes %d came back", len(text), len(got))
	}
	var exit *exitError
	if _, err := e.exec(ctx, e.Namespace, name, "web", nil, "busybox", "awk", "BEGIN { exit 3 }"); !errors.As(err, &exit) || exit.code != 3 {
		return fmt.Errorf("exec: a program that ends with 3 ended with: %w", err)
	}
	// As kubectl cp does it: an archive through exec.
	archive, err := archived("copied", text)
	if err != nil {
		return err
	}
	if _, err := e.exec(ctx, e.Namespace, name, "web", archive, "busybox", "tar", "-x", "-f", "-", "-C", "/uploads"); err != nil {
		return fmt.Errorf("cp to the pod: %w", err)
	}
	back, err := e.exec(ctx, e.Namespace, name, "web", nil, "busybox", "tar", "-c", "-f", "-", "-C", "/uploads", "copied")
	if err != nil {
		return fmt.Errorf("cp from the pod: %w", err)
	}
	r := tar.NewReader(strings.NewReader(back))
	if _, err := r.Next(); err != nil {
		return fmt.Errorf("cp from the pod: %w", err)
	}
	if raw, err := io.ReadAll(r); err != nil || string(raw) != text {
		return fmt.Errorf("cp: of %d bytes %d came back (%v)", len(text), len(raw), err)
	}
	body, err := e.fetch(ctx, question{url: "http://pod/hostname", by: e.dialPod(e.Namespace, name, webPort)})
	if err != nil {
		return err
	}
	if body != name {
		return fmt.Errorf("port-forward: %q answered", body)
	}
	logs, err := e.logs(ctx, name, "web")
	if err != nil {
		return err
	}
	if !strings.Contains(logs, "/hostname") {
		return fmt.Errorf("the logs of %s do not have the request that it was just asked", name)
	}
	return nil
}

// archived is a tar archive of one file.
func archived(name, text string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))})
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	return out.Bytes(), errors.Join(err, w.Close())
}
