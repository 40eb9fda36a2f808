package verify

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// doors is where the ingress controller is reached: on which nodes, and at which ports.
type doors struct {
	pods        []corev1.Pod
	nodes       []Node
	http, https int32
}

// doors looks for the ingress controller's pods, and for the ports by which nodes lead to them: their own hostPorts, or the NodePorts of a Service.
func (e *Env) doors(ctx context.Context) (doors, error) {
	const label = "app.kubernetes.io/name=traefik"
	var d doors
	list, err := e.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: label})
	if err != nil {
		return d, err
	}
	on := map[string]bool{}
	for _, p := range list.Items {
		if !ready(&p) {
			continue
		}
		d.pods = append(d.pods, p)
		for _, c := range p.Spec.Containers {
			for _, port := range c.Ports {
				if port.HostPort == 0 {
					continue
				}
				on[p.Spec.NodeName] = true
				switch port.Name {
				case "web":
					d.http = port.HostPort
				case "websecure":
					d.https = port.HostPort
				}
			}
		}
	}
	services, err := e.Client.CoreV1().Services("").List(ctx, metav1.ListOptions{LabelSelector: label})
	if err != nil {
		return d, err
	}
	byNode := d.http != 0
	for _, s := range services.Items {
		for _, port := range s.Spec.Ports {
			if byNode || port.NodePort == 0 {
				continue
			}
			switch port.Name {
			case "web", "http":
				d.http = port.NodePort
			case "websecure", "https":
				d.https = port.NodePort
			}
		}
	}
	for _, n := range e.Nodes {
		if !byNode || on[n.Name] {
			d.nodes = append(d.nodes, n)
		}
	}
	return d, nil
}

// openDoors are the doors of a controller that is there.
func (e *Env) openDoors(ctx context.Context) (doors, error) {
	d, err := e.doors(ctx)
	switch {
	case err != nil:
		return d, err
	case len(d.pods) == 0:
		return d, errors.New("no pod of the ingress controller is ready")
	case d.http == 0 || len(d.nodes) == 0:
		return d, errors.New("no node leads to the ingress controller: it has neither hostPorts nor NodePorts")
	}
	return d, nil
}
