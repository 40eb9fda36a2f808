package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var taints = Check{
	Name: "taints", Short: "a taint keeps pods away, or sends them away, unless they tolerate it", Remedy: scheduler,
	Run: func(ctx context.Context, e *Env) error {
		free := e.free()
		if len(free) == 0 {
			return errNoFreeNode
		}
		node := free[0].Name
		if err := e.keepsAway(ctx, node, len(free) > 1); err != nil {
			return err
		}
		if err := e.untaint(ctx, node, e.Run); err != nil {
			return err
		}
		return e.sendsAway(ctx)
	},
}

// keepsAway tries the effects that decide where a pod is put.
func (e *Env) keepsAway(ctx context.Context, node string, elsewhere bool) error {
	e.Undo(func(ctx context.Context) error { return e.untaint(ctx, node, e.Run) })
	here := func(name string, tolerations ...corev1.Toleration) *corev1.Pod {
		spec := podSpec(e.web())
		spec.NodeSelector, spec.Tolerations = map[string]string{corev1.LabelHostname: node}, tolerations
		return pod(name, spec)
	}
	if err := e.taint(ctx, node, corev1.TaintEffectPreferNoSchedule); err != nil {
		return err
	}
	if err := e.create(ctx, here("preferred")); err != nil {
		return err
	}
	if _, err := e.pod(ctx, "preferred"); err != nil {
		return fmt.Errorf("PreferNoSchedule keeps a pod away that can be nowhere else: %w", err)
	}
	e.Saw("PreferNoSchedule on %s: a pod that can be nowhere else runs there", node)
	if elsewhere {
		spec := podSpec(e.web())
		spec.Tolerations = nil
		if err := e.create(ctx, pod("elsewhere", spec)); err != nil {
			return err
		}
		p, err := e.pod(ctx, "elsewhere")
		if err != nil {
			return err
		}
		if p.Spec.NodeName == node {
			return fmt.Errorf("PreferNoSchedule: a pod that could be elsewhere was put on %s", node)
		}
		e.Saw("PreferNoSchedule: a pod that may be anywhere was put on %s", p.Spec.NodeName)
	}
	if err := e.taint(ctx, node, corev1.TaintEffectNoSchedule); err != nil {
		return err
	}
	if err := e.create(ctx, here("kept-away"), here("tolerant", e.tolerant())); err != nil {
		return err
	}
	if _, err := e.pod(ctx, "tolerant"); err != nil {
		return fmt.Errorf("NoSchedule: %w", err)
	}
	said, err := e.unschedulable(ctx, "kept-away")
	if err != nil {
		return fmt.Errorf("NoSchedule: %w", err)
	}
	if _, err := e.pod(ctx, "preferred"); err != nil {
		return fmt.Errorf("NoSchedule sends pods away that were there: %w", err)
	}
	e.Saw("NoSchedule: the pod that tolerates it runs on %s, the one that does not is Pending (%s), and the one that was there stays", node, said)
	return nil
}

// tolerant tolerates the taint of this run only.
func (e *Env) tolerant() corev1.Toleration {
	return corev1.Toleration{Key: runLabel, Operator: corev1.TolerationOpEqual, Value: e.Run}
}

// sendsAway tries NoExecute, on a node where it sends away nobody else's pods.
func (e *Env) sendsAway(ctx context.Context) error {
	node, why, err := e.quietNode(ctx)
	if err != nil {
		return err
	}
	if node == "" {
		e.Saw("NoExecute was not tried: %s", why)
		return nil
	}
	e.Undo(func(ctx context.Context) error { return e.untaint(ctx, node, e.Run) })
	// First nobody else's pod may come there, and only then it is looked once more.
	if err := e.taint(ctx, node, corev1.TaintEffectNoSchedule); err != nil {
		return err
	}
	others, err := e.wouldGo(ctx, node)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		e.Saw("NoExecute was not tried: %s came to %s meanwhile", strings.Join(others, ", "), node)
		return nil
	}
	for name, t := range map[string][]corev1.Toleration{"goes": nil, "stays": {e.tolerant()}} {
		spec := podSpec(e.web())
		spec.NodeName, spec.Tolerations = node, t
		if err := e.create(ctx, pod(name, spec)); err != nil {
			return err
		}
	}
	for _, name := range []string{"goes", "stays"} {
		if _, err := e.pod(ctx, name); err != nil {
			return err
		}
	}
	if err := e.taint(ctx, node, corev1.TaintEffectNoExecute); err != nil {
		return err
	}
	if err := awaitGone[*corev1.Pod](ctx, e, "goes"); err != nil {
		return fmt.Errorf("NoExecute on %s: %w", node, err)
	}
	if _, err := e.pod(ctx, "stays"); err != nil {
		return fmt.Errorf("NoExecute on %s sends a pod away that tolerates it: %w", node, err)
	}
	e.Saw("NoExecute: the pod that does not tolerate it was sent away from %s, the one that does stays", node)
	return nil
}

// quietNode is a node on which our taint harms nobody: one where all pods tolerate it or are of this check. Often that is the control plane's. Where there is
// none, why says who would be sent away.
func (e *Env) quietNode(ctx context.Context) (node, why string, err error) {
	for _, n := range e.Nodes {
		if !n.Free && !n.ControlPlane || !n.Ready {
			continue
		}
		others, err := e.wouldGo(ctx, n.Name)
		if err != nil {
			return "", "", err
		}
		if len(others) == 0 {
			return n.Name, "", nil
		}
		why = fmt.Sprintf("on every node are pods of others that it would send away, such as %s on %s", others[0], n.Name)
	}
	return "", why, nil
}

// wouldGo are the pods on a node that our taint would send away and that are not of this check.
func (e *Env) wouldGo(ctx context.Context, node string) ([]string, error) {
	pods, err := e.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return nil, err
	}
	taint := corev1.Taint{Key: runLabel, Value: e.Run, Effect: corev1.TaintEffectNoExecute}
	var out []string
	for _, p := range pods.Items {
		done := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if done || p.Namespace == e.Namespace || tolerates(p.Spec.Tolerations, taint) {
			continue
		}
		out = append(out, p.Namespace+"/"+p.Name)
	}
	return out, nil
}

// tolerates tells whether a pod stays on a node with that taint for good.
func tolerates(all []corev1.Toleration, t corev1.Taint) bool {
	return slices.ContainsFunc(all, func(x corev1.Toleration) bool {
		key := x.Key == t.Key && (x.Operator == corev1.TolerationOpExists || x.Value == t.Value) || x.Key == "" && x.Operator == corev1.TolerationOpExists
		return key && (x.Effect == "" || x.Effect == t.Effect) && x.TolerationSeconds == nil
	})
}
