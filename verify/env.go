package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// runLabel is on everything that a run makes, with the run's name.
const runLabel = "kubewright.io/verify"

// Env is what one check works with: the cluster, and a namespace that is its own.
type Env struct {
	Cluster
	Namespace string
	Run       string // the run's name
	Nodes     []Node

	hands *hands
	undo  func(func(context.Context) error)
	note  func(ctx context.Context, key, value string) error

	mu   sync.Mutex
	seen []string
}

// Saw adds a sentence to the evidence.
func (e *Env) Saw(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, fmt.Sprintf(format, args...))
}

func (e *Env) evidence() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.seen)
}

// Undo has what a check changed outside of its namespace put back, whatever becomes of the check. The last is put back first.
func (e *Env) Undo(back func(context.Context) error) { e.undo(back) }

// free are the nodes that take any pod.
func (e *Env) free() []Node {
	return slices.DeleteFunc(slices.Clone(e.Nodes), func(n Node) bool { return !n.Free })
}

// image is a reference that is known to be there: the runner has asked for all images of the check.
func (e *Env) image(name string) string {
	ref, err := e.Image(name)
	if err != nil {
		panic("verify: " + err.Error())
	}
	return ref
}

// create makes objects, in the check's namespace where they have one.
func (e *Env) create(ctx context.Context, all ...object) error {
	for _, o := range all {
		k := kindOf(o)
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[runLabel] = e.Run
		o.SetLabels(labels)
		ns := e.Namespace
		if o.GetNamespace() != "" {
			ns = o.GetNamespace()
		}
		err := k.in(ns, k.client(e.Client).Post()).VersionedParams(&metav1.CreateOptions{}, scheme.ParameterCodec).Body(o).Do(ctx).Into(o)
		if err != nil {
			return fmt.Errorf("make %s %s: %w", k.resource, o.GetName(), err)
		}
		if !k.namespaced {
			name, uid := o.GetName(), o.GetUID()
			e.Undo(func(ctx context.Context) error { return e.remove(ctx, o, name, &uid) })
		}
	}
	return nil
}

// remove deletes an object; one that is gone already is fine.
func (e *Env) remove(ctx context.Context, like object, name string, uid *types.UID) error {
	k := kindOf(like)
	opts := metav1.DeleteOptions{}
	if uid != nil {
		opts.Preconditions = &metav1.Preconditions{UID: uid}
	}
	err := k.in(e.Namespace, k.client(e.Client).Delete()).Name(name).Body(&opts).Do(ctx).Error()
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}

// patch changes an object by a strategic merge patch.
func patch[T object](ctx context.Context, e *Env, name string, change map[string]any, subresources ...string) (T, error) {
	var o T
	k := kindOf(o)
	raw, err := json.Marshal(change)
	if err != nil {
		return o, err
	}
	got, err := k.in(e.Namespace, k.client(e.Client).Patch(types.StrategicMergePatchType)).Name(name).SubResource(subresources...).Body(raw).Do(ctx).Get()
	if err != nil {
		return o, fmt.Errorf("change %s %s: %w", k.resource, name, err)
	}
	o, ok := got.(T)
	if !ok {
		return o, fmt.Errorf("change %s %s: the API server answered with a %T", k.resource, name, got)
	}
	return o, nil
}

// scale sets how many pods a Deployment or a StatefulSet has, as kubectl scale does it.
func scale[T object](ctx context.Context, e *Env, name string, replicas int) error {
	var o T
	k := kindOf(o)
	raw := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if err := k.in(e.Namespace, k.client(e.Client).Patch(types.MergePatchType)).Name(name).SubResource("scale").Body(raw).Do(ctx).Error(); err != nil {
		return fmt.Errorf("scale %s to %d: %w", name, replicas, err)
	}
	return nil
}

// readyPods waits until exactly n pods with these labels are there, all of them Ready.
func (e *Env) readyPods(ctx context.Context, labels string, n int) ([]*corev1.Pod, error) {
	pods, err := awaitAll(ctx, e, labels, func(pods []*corev1.Pod) string {
		up := 0
		for _, p := range pods {
			if ready(p) {
				up++
			}
		}
		if up == n && len(pods) == n {
			return ""
		}
		return fmt.Sprintf("%d pods, %d of them ready, want %d%s", len(pods), up, n, trouble(pods))
	})
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return compare(a.Name, b.Name) })
	return pods, err
}

// pod waits until one pod is Ready.
func (e *Env) pod(ctx context.Context, name string) (*corev1.Pod, error) {
	return await(ctx, e, name, func(p *corev1.Pod) string {
		if ready(p) {
			return ""
		}
		return "it is not ready" + trouble([]*corev1.Pod{p})
	})
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// trouble is what the pods that are not ready say of themselves, shortly.
func trouble(pods []*corev1.Pod) string {
	for _, p := range pods {
		if ready(p) {
			continue
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return fmt.Sprintf("; %s: %s", p.Name, c.Message)
			}
		}
		for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if w := c.State.Waiting; w != nil {
				return fmt.Sprintf("; %s on %s: %s %s", p.Name, p.Spec.NodeName, w.Reason, w.Message)
			}
			if d := c.State.Terminated; d != nil && d.ExitCode != 0 {
				return fmt.Sprintf("; %s on %s: container %s ended with %d %s", p.Name, p.Spec.NodeName, c.Name, d.ExitCode, d.Message)
			}
		}
		if p.Spec.NodeName == "" {
			return fmt.Sprintf("; nobody has given %s a node", p.Name)
		}
		return fmt.Sprintf("; %s on %s is %s", p.Name, p.Spec.NodeName, p.Status.Phase)
	}
	return ""
}

// began is how long something took, for evidence.
func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }
