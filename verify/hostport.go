package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"path"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var hostPort = Check{
	Name: "host-port", Short: "a hostPort leads from the node's address to one pod", Level: "privileged", Remedy: "the CNI plugin portmap in /opt/cni/bin and /etc/cni/net.d of the node",
	Run: func(ctx context.Context, e *Env) error {
		n, err := e.aNode()
		if err != nil {
			return err
		}
		// Any port will do that nobody has; runs side by side take different ones.
		sum := fnv.New32a()
		sum.Write([]byte(e.Run))
		port := int32(20000 + sum.Sum32()%5000)
		web := e.web()
		web.Ports[0].HostPort = port
		spec := podSpec(web)
		spec.NodeName = n.Name
		if err := e.create(ctx, pod("front", spec)); err != nil {
			return err
		}
		p, err := e.pod(ctx, "front")
		if err != nil {
			return err
		}
		url := fmt.Sprintf("http://%s/hostname", net.JoinHostPort(n.Address, fmt.Sprint(port)))
		hands, err := e.asking(ctx, true)
		if err != nil {
			return err
		}
		var others []hand
		for _, h := range hands {
			if h.node != n.Name {
				others = append(others, h)
			}
		}
		if len(others) == 0 {
			body, err := e.fetch(ctx, question{url: url})
			if err != nil || body != p.Name {
				return errors.Join(fmt.Errorf("from the workstation: %s answers %q, not %q", url, body, p.Name), err)
			}
			e.Saw("the pod answered at %s:%d, from the workstation", n.Address, port)
			return nil
		}
		if err := fromEverywhere(ctx, others, func(ctx context.Context, h hand) error { return e.asks(ctx, h, url, []*corev1.Pod{p}) }); err != nil {
			return err
		}
		e.Saw("the pod on %s answered at %s:%d, from the nodes %s", n.Name, n.Address, port, names(others))
		return nil
	},
}

var staticPod = Check{
	Name: "static-pod", Short: "a manifest in the kubelet's folder becomes a pod, which goes when the file goes", Level: "privileged",
	Remedy: "staticPodPath in /var/lib/kubelet/config.yaml; journalctl -u kubelet on the node",
	Run: func(ctx context.Context, e *Env) error {
		n, err := e.aNode()
		if err != nil {
			return err
		}
		dir, err := e.staticPodPath(ctx, n.Name)
		if err != nil {
			return err
		}
		name := prefix + e.Run
		file := path.Join(dir, name+".yaml")
		if err := e.onDisk(ctx, n.Name, file); err != nil {
			return err
		}
		spec := podSpec(e.idle("writer"))
		spec.NodeName = n.Name
		mount(&spec, hostVolume(dir, corev1.HostPathDirectory), "/manifests")
		if err := e.create(ctx, pod("writer", spec)); err != nil {
			return err
		}
		if _, err := e.pod(ctx, "writer"); err != nil {
			return err
		}
		static := &corev1.Pod{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: e.Namespace, Labels: map[string]string{runLabel: e.Run}},
			Spec:       podSpec(e.web()),
		}
		raw, err := json.Marshal(static)
		if err != nil {
			return err
		}
		if err := e.write(ctx, "writer", "", "/manifests/"+path.Base(file), string(raw)); err != nil {
			return err
		}
		mirror := name + "-" + n.Name
		p, err := e.pod(ctx, mirror)
		if err != nil {
			return err
		}
		if p.Annotations[corev1.MirrorPodAnnotationKey] == "" {
			return fmt.Errorf("%s is not the mirror of a static pod", mirror)
		}
		body, err := e.fetch(ctx, question{url: "http://static/hostname", by: e.dialPod(e.Namespace, mirror, webPort)})
		if err != nil {
			return err
		}
		e.Saw("%s was written on %s, and the kubelet ran it as %s, which answered %q", file, n.Name, mirror, body)
		if _, err := e.exec(ctx, e.Namespace, "writer", "", nil, "busybox", "rm", "/manifests/"+path.Base(file)); err != nil {
			return err
		}
		if err := awaitGone[*corev1.Pod](ctx, e, mirror); err != nil {
			return fmt.Errorf("the file was removed: %w", err)
		}
		e.Saw("the file was removed, and the pod went")
		return nil
	},
}

// staticPodPath asks a kubelet where it looks for static pods.
func (e *Env) staticPodPath(ctx context.Context, node string) (string, error) {
	raw, err := e.Client.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource("proxy").Suffix("configz").Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("ask the kubelet of %s for its configuration: %w", node, err)
	}
	var c struct {
		KubeletConfig struct {
			StaticPodPath string `json:"staticPodPath"`
		} `json:"kubeletconfig"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return "", fmt.Errorf("the kubelet of %s: %w", node, err)
	}
	if c.KubeletConfig.StaticPodPath == "" {
		return "", fmt.Errorf("the kubelet of %s has no staticPodPath", node)
	}
	return path.Clean(c.KubeletConfig.StaticPodPath), nil
}
