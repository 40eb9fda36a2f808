package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const scheduler = "kubectl -n kube-system logs -l component=kube-scheduler, and kubectl describe nodes"

var errNoFreeNode = errors.New("no node takes pods: all are cordoned, tainted or not Ready")

var nodeName = Check{
	Name: "node-name", Short: "a pod with a nodeName runs on that node, without any scheduler", Remedy: "kubectl describe nodes; journalctl -u kubelet on the node",
	Run: func(ctx context.Context, e *Env) error {
		for i, n := range e.Nodes {
			spec := podSpec(e.web())
			spec.NodeName, spec.SchedulerName, spec.Tolerations = n.Name, "nobody", []corev1.Toleration{everywhere}
			if err := e.create(ctx, pod(fmt.Sprintf("on-%d", i), spec)); err != nil {
				return err
			}
		}
		for i, n := range e.Nodes {
			p, err := e.pod(ctx, fmt.Sprintf("on-%d", i))
			if err != nil {
				return fmt.Errorf("on %s: %w", n.Name, err)
			}
			if p.Status.HostIP != n.Address {
				return fmt.Errorf("%s runs at %s and not at %s, where %s is", p.Name, p.Status.HostIP, n.Address, n.Name)
			}
			e.Saw("%s runs on %s (%s)", p.Name, n.Name, n.Address)
		}
		return nil
	},
}

var nodeSelector = Check{
	Name: "node-selector", Short: "a nodeSelector decides which node a pod goes to, and one that no node meets leaves it Pending", Remedy: scheduler,
	Run: func(ctx context.Context, e *Env) error {
		free := e.free()
		if len(free) == 0 {
			return errNoFreeNode
		}
		for i, n := range free {
			spec := podSpec(e.web())
			spec.NodeSelector = map[string]string{corev1.LabelHostname: n.Name}
			if err := e.create(ctx, pod(fmt.Sprintf("chosen-%d", i), spec)); err != nil {
				return err
			}
		}
		spec := podSpec(e.web())
		spec.NodeSelector = map[string]string{runLabel: "nowhere"}
		if err := e.create(ctx, pod("nowhere", spec)); err != nil {
			return err
		}
		for i, n := range free {
			p, err := e.pod(ctx, fmt.Sprintf("chosen-%d", i))
			if err != nil {
				return err
			}
			if p.Spec.NodeName != n.Name {
				return fmt.Errorf("%s asks for %s and is on %s", p.Name, n.Name, p.Spec.NodeName)
			}
			e.Saw("%s asked for the label %s=%s and runs on %s", p.Name, corev1.LabelHostname, n.Name, p.Spec.NodeName)
		}
		why, err := e.unschedulable(ctx, "nowhere")
		if err != nil {
			return err
		}
		e.Saw("the pod that asks for a label that no node has is Pending: %s", why)
		return nil
	},
}

// unschedulable waits until the scheduler has said that a pod fits nowhere, and returns its words.
func (e *Env) unschedulable(ctx context.Context, name string) (why string, err error) {
	_, err = await(ctx, e, name, func(p *corev1.Pod) string {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
				why = c.Message
				return ""
			}
		}
		if p.Spec.NodeName != "" {
			return "it was put on " + p.Spec.NodeName
		}
		return "the scheduler has not said that it fits nowhere"
	})
	why, _, _ = strings.Cut(why, " no new claims") // what follows is about preemption
	why, _, _ = strings.Cut(why, " preemption:")
	return why, err
}

var affinity = Check{
	Name: "affinity", Short: "pods keep away from each other by anti-affinity, and stay together by affinity", Remedy: scheduler, Needs: []Need{Workers},
	Run: func(ctx context.Context, e *Env) error {
		free := e.free()
		n := min(len(free), 3)
		var names []string
		for _, f := range free[:n] {
			names = append(names, f.Name)
		}
		among := &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: names}},
		}}}}
		near := func(name string) []corev1.PodAffinityTerm {
			return []corev1.PodAffinityTerm{{LabelSelector: selector(name), TopologyKey: corev1.LabelHostname}}
		}
		apart := podSpec(e.web())
		apart.Affinity = &corev1.Affinity{NodeAffinity: among, PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: near("apart")}}
		if err := e.create(ctx, newDeployment("apart", int32(n), apart)); err != nil {
			return err
		}
		pods, err := e.readyPods(ctx, "app=apart", n)
		if err != nil {
			return err
		}
		nodes, text := places(pods)
		if len(nodes) != n {
			return fmt.Errorf("%d pods that keep apart are on %d nodes: %s", n, len(nodes), text)
		}
		e.Saw("%d pods with anti-affinity are on %d nodes: %s", n, len(nodes), text)
		first := pods[0]
		together := podSpec(e.web())
		together.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"side": "first"}}, TopologyKey: corev1.LabelHostname,
		}}}}
		if _, err := patch[*corev1.Pod](ctx, e, first.Name, map[string]any{"metadata": map[string]any{"labels": map[string]any{"side": "first"}}}); err != nil {
			return err
		}
		if err := e.create(ctx, newDeployment("together", 2, together)); err != nil {
			return err
		}
		both, err := e.readyPods(ctx, "app=together", 2)
		if err != nil {
			return err
		}
		nodes, text = places(both)
		if nodes[first.Spec.NodeName] != 2 {
			return fmt.Errorf("two pods that want to be beside %s on %s are: %s", first.Name, first.Spec.NodeName, text)
		}
		e.Saw("2 pods with affinity to %s are beside it on %s", first.Name, first.Spec.NodeName)
		more := podSpec(e.web())
		more.Affinity = apart.Affinity
		extra := pod("extra", more)
		extra.Labels = app("apart")
		if err := e.create(ctx, extra); err != nil {
			return err
		}
		why, err := e.unschedulable(ctx, "extra")
		if err != nil {
			return err
		}
		e.Saw("one more pod that keeps apart is Pending: %s", why)
		return nil
	},
}

var daemonSet = Check{
	Name: "daemonset", Short: "a DaemonSet runs one pod on every worker, and on the control plane only with its toleration", Remedy: controllers,
	Run: func(ctx context.Context, e *Env) error {
		set := &appsv1.DaemonSet{ObjectMeta: named("each"), Spec: appsv1.DaemonSetSpec{Selector: selector("each"), Template: template("each", podSpec(e.web()))}}
		if err := e.create(ctx, set); err != nil {
			return err
		}
		var workers, all []string
		for _, n := range e.Nodes {
			if n.Free {
				workers = append(workers, n.Name)
			}
			if n.Free || n.ControlPlane {
				all = append(all, n.Name)
			}
		}
		if len(workers) == 0 {
			return errNoFreeNode
		}
		if err := e.onNodes(ctx, "each", workers); err != nil {
			return err
		}
		e.Saw("one pod is ready on each of %s", strings.Join(workers, ", "))
		if len(all) == len(workers) {
			e.Saw("no node of the control plane has its taint, so there is none to keep away from")
			return nil
		}
		bring := map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"tolerations": []corev1.Toleration{
			ours, {Key: "node-role.kubernetes.io/control-plane", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		}}}}}
		if _, err := patch[*appsv1.DaemonSet](ctx, e, "each", bring); err != nil {
			return err
		}
		if err := e.onNodes(ctx, "each", all); err != nil {
			return fmt.Errorf("with the control plane's toleration: %w", err)
		}
		e.Saw("with the control plane's toleration on each of %s", strings.Join(all, ", "))
		return nil
	},
}

// onNodes waits until a DaemonSet's pods are ready on exactly these nodes, and its controller has nothing more to do.
func (e *Env) onNodes(ctx context.Context, name string, want []string) error {
	if _, err := await(ctx, e, name, func(d *appsv1.DaemonSet) string {
		s := d.Status
		if s.ObservedGeneration < d.Generation {
			return "the DaemonSet controller has not seen it"
		}
		n := int32(len(want))
		if s.DesiredNumberScheduled != n || s.UpdatedNumberScheduled != n || s.NumberReady != n {
			return fmt.Sprintf("it wants %d pods and has %d ready, %d of them new; want %d", s.DesiredNumberScheduled, s.NumberReady, s.UpdatedNumberScheduled, n)
		}
		return ""
	}); err != nil {
		return err
	}
	_, err := awaitAll(ctx, e, "app="+name, func(pods []*corev1.Pod) string {
		var on []string
		for _, p := range pods {
			if ready(p) {
				on = append(on, p.Spec.NodeName)
			}
		}
		slices.Sort(on)
		if slices.Equal(on, want) {
			return ""
		}
		return fmt.Sprintf("pods are ready on %s, want %s%s", strings.Join(on, ", "), strings.Join(want, ", "), trouble(pods))
	})
	return err
}
