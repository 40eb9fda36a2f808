package addons

import (
	"context"
	"fmt"
	"time"

	"github.com/kubewright/kubewright/ops"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// Ready is the wish that something in the cluster works: a Node is Ready, a node's pod network is there, a DaemonSet or Deployment is
// rolled out. Setting it is waiting for it, by watching.
type Ready struct {
	Kind      string `json:"kind"` // Node, Network (of the node of that name), DaemonSet or Deployment
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Within    int    `json:"within"` // seconds
	OK        bool   `json:"ok"`
}

// Key is ready:KIND/NAMESPACE/NAME.
func (r Ready) Key() ops.Key {
	if r.Namespace == "" {
		return ops.Key("ready:" + r.Kind + "/" + r.Name)
	}
	return ops.Key("ready:" + r.Kind + "/" + r.Namespace + "/" + r.Name)
}

func (r Ready) absent() ops.Op { r.OK = false; return r }

func isWait(op ops.Op) bool { _, ok := op.(Ready); return ok }

// Observe looks once.
func (r Ready) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	var o runtime.Object
	switch r.Kind {
	case "Node", "Network":
		o, err = a.clients.CoreV1().Nodes().Get(ctx, r.Name, metav1.GetOptions{})
	case "DaemonSet":
		o, err = a.clients.AppsV1().DaemonSets(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	case "Deployment":
		o, err = a.clients.AppsV1().Deployments(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	default:
		return nil, fmt.Errorf("nobody knows when a %s is ready", r.Kind)
	}
	if errors.IsNotFound(err) {
		return r.absent(), nil
	}
	if err != nil {
		return nil, err
	}
	r.OK = r.lacks(o) == ""
	return r, nil
}

// Set waits, at most Within seconds, and says what was lacking at the end.
func (r Ready) Set(ctx context.Context, m ops.Machine, _ ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	run := ctx
	ctx, cancel := context.WithTimeout(run, time.Duration(r.Within)*time.Second)
	defer cancel()
	last := "it does not exist"
	for {
		done, err := r.watchOnce(ctx, a.clients, &last)
		if done {
			return nil
		}
		if run.Err() != nil {
			return context.Cause(run)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("not ready after %d s: %s", r.Within, last)
		}
		if severed(err) {
			return err
		}
		if err != nil {
			last = err.Error()
		}
		select { // the watch ended early: the API server restarted or closed it
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (r Ready) watchOnce(ctx context.Context, c kubernetes.Interface, last *string) (bool, error) {
	// Without a resource version a watch begins with what is there now.
	opts := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", r.Name).String()}
	var w watch.Interface
	var err error
	switch r.Kind {
	case "Node", "Network":
		w, err = c.CoreV1().Nodes().Watch(ctx, opts)
	case "DaemonSet":
		w, err = c.AppsV1().DaemonSets(r.Namespace).Watch(ctx, opts)
	default:
		w, err = c.AppsV1().Deployments(r.Namespace).Watch(ctx, opts)
	}
	if err != nil {
		return false, err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return false, errors.FromObject(e.Object)
		}
		if e.Type == watch.Deleted {
			*last = "it does not exist"
			continue
		}
		if *last = r.lacks(e.Object); *last == "" {
			return true, nil
		}
	}
	return false, nil
}

// lacks says in a few words why an object is not ready, or nothing.
func (r Ready) lacks(o runtime.Object) string {
	switch o := o.(type) {
	case *corev1.Node:
		want, status, missing := corev1.NodeReady, corev1.ConditionTrue, "the kubelet has not said how it is"
		if r.Kind == "Network" { // flannel says so once its CNI plugin can work
			want, status, missing = corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "the network addon has not set up the node"
		}
		for _, c := range o.Status.Conditions {
			if c.Type == want {
				if c.Status == status {
					return ""
				}
				if c.Message == "" {
					return fmt.Sprintf("its condition %s is %s", c.Type, c.Status)
				}
				return c.Message
			}
		}
		return missing
	case *appsv1.DaemonSet:
		s := o.Status
		if s.ObservedGeneration < o.Generation {
			return "the controller has not seen it"
		}
		if s.DesiredNumberScheduled == 0 || s.NumberReady < s.DesiredNumberScheduled || s.UpdatedNumberScheduled < s.DesiredNumberScheduled {
			return fmt.Sprintf("%d of %d pods are ready", s.NumberReady, s.DesiredNumberScheduled)
		}
		return ""
	case *appsv1.Deployment:
		s := o.Status
		want := int32(1)
		if o.Spec.Replicas != nil {
			want = *o.Spec.Replicas
		}
		if s.ObservedGeneration < o.Generation {
			return "the controller has not seen it"
		}
		if s.UpdatedReplicas < want || s.AvailableReplicas < want {
			return fmt.Sprintf("%d of %d pods are available", s.AvailableReplicas, want)
		}
		return ""
	}
	return fmt.Sprintf("the API server answered with a %T", o)
}
