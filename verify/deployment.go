package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const controllers = "kubectl -n kube-system logs -l component=kube-controller-manager, and kubectl get events -A"

// newDeployment runs n pods.
func newDeployment(name string, n int32, spec corev1.PodSpec) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: named(name), Spec: appsv1.DeploymentSpec{
		Replicas: &n, Selector: selector(name), Template: template(name, spec),
	}}
}

// spread has pods put on all nodes evenly, as far as they take any.
func spread(name string) []corev1.TopologySpreadConstraint {
	return []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector(name),
		NodeTaintsPolicy: ptr(corev1.NodeInclusionPolicyHonor),
	}}
}

// places says on which nodes pods are.
func places(pods []*corev1.Pod) (nodes map[string]int, text string) {
	nodes = map[string]int{}
	for _, p := range pods {
		nodes[p.Spec.NodeName]++
	}
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(nodes)) {
		parts = append(parts, fmt.Sprintf("%d on %s", nodes[n], n))
	}
	return nodes, strings.Join(parts, ", ")
}

var deployment = Check{
	Name: "deployment", Short: "a Deployment runs as many pods as it says, on all nodes, and is scaled up and down", Remedy: controllers,
	Run: func(ctx context.Context, e *Env) error {
		spec := podSpec(e.web())
		spec.TopologySpreadConstraints = spread("web")
		if err := e.create(ctx, newDeployment("web", 3, spec)); err != nil {
			return err
		}
		pods, err := e.readyPods(ctx, "app=web", 3)
		if err != nil {
			return err
		}
		nodes, text := places(pods)
		if free := len(e.free()); len(nodes) < min(3, free) {
			return fmt.Errorf("three pods are on %d nodes (%s), and %d take them", len(nodes), text, free)
		}
		e.Saw("3 pods are ready: %s", text)
		for _, n := range []int{5, 1} {
			if err := scale[*appsv1.Deployment](ctx, e, "web", n); err != nil {
				return err
			}
			if pods, err = e.readyPods(ctx, "app=web", n); err != nil {
				return fmt.Errorf("scaled to %d: %w", n, err)
			}
			_, text = places(pods)
			e.Saw("scaled to %d: %s", n, text)
		}
		return nil
	},
}

const greeting = "GREETING"

var rollout = Check{
	Name: "rollout", Short: "a Deployment's change is rolled out without a gap, and rolled back to revision 1", Remedy: controllers,
	Run: func(ctx context.Context, e *Env) error {
		web := e.web()
		web.Env = []corev1.EnvVar{{Name: greeting, Value: "one"}}
		d := newDeployment("web", 2, podSpec(web))
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxUnavailable: ptr(intstr.FromInt32(0)), MaxSurge: ptr(intstr.FromInt32(1)),
		}}
		if err := e.create(ctx, d); err != nil {
			return err
		}
		if err := e.rolledOut(ctx, "web", "1", nil); err != nil {
			return err
		}
		if err := e.greets(ctx, "one"); err != nil {
			return err
		}
		change := map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
			map[string]any{"name": "web", "env": []any{map[string]any{"name": greeting, "value": "two"}}},
		}}}}}
		if _, err := patch[*appsv1.Deployment](ctx, e, "web", change); err != nil {
			return err
		}
		least := int32(2)
		if err := e.rolledOut(ctx, "web", "2", &least); err != nil {
			return err
		}
		if err := e.greets(ctx, "two"); err != nil {
			return err
		}
		if least < 2 {
			return fmt.Errorf("only %d of 2 pods were available while the change was rolled out", least)
		}
		e.Saw("revision 2 was rolled out, and at no time were fewer than 2 pods available")
		// As kubectl rollout undo --to-revision=1 does it: the template of that revision's ReplicaSet becomes the Deployment's.
		sets, err := e.Client.AppsV1().ReplicaSets(e.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(sets.Items, func(s appsv1.ReplicaSet) bool { return s.Annotations[revision] == "1" })
		if i < 0 || len(sets.Items) != 2 {
			return fmt.Errorf("the history has %d ReplicaSets and not 2, or none of revision 1", len(sets.Items))
		}
		first := sets.Items[i]
		delete(first.Spec.Template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		now, err := e.Client.AppsV1().Deployments(e.Namespace).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		back := map[string]any{"metadata": map[string]any{"resourceVersion": now.ResourceVersion}, "spec": map[string]any{"template": first.Spec.Template}}
		if _, err := patch[*appsv1.Deployment](ctx, e, "web", back); err != nil {
			return err
		}
		if err := e.rolledOut(ctx, "web", "3", nil); err != nil {
			return err
		}
		if err := e.greets(ctx, "one"); err != nil {
			return fmt.Errorf("after the rollback: %w", err)
		}
		e.Saw("rolled back to revision 1 as revision 3: ReplicaSet %s runs again", first.Name)
		return nil
	},
}

const revision = "deployment.kubernetes.io/revision"

// rolledOut waits for a revision, and notes the fewest pods that were available meanwhile.
func (e *Env) rolledOut(ctx context.Context, name, rev string, least *int32) error {
	_, err := await(ctx, e, name, func(d *appsv1.Deployment) string {
		s := d.Status
		if least != nil && s.ObservedGeneration > 1 {
			*least = min(*least, s.AvailableReplicas)
		}
		want := *d.Spec.Replicas
		if s.ObservedGeneration < d.Generation || d.Annotations[revision] != rev {
			return "the Deployment controller has not begun revision " + rev
		}
		if s.UpdatedReplicas != want || s.AvailableReplicas != want || s.Replicas != want {
			return fmt.Sprintf("of revision %s %d of %d pods are there, and %d pods in all, %d available", rev, s.UpdatedReplicas, want, s.Replicas, s.AvailableReplicas)
		}
		return ""
	})
	return err
}

// greets holds that every pod has that greeting in its environment.
func (e *Env) greets(ctx context.Context, word string) error {
	pods, err := e.readyPods(ctx, "app=web", 2)
	if err != nil {
		return err
	}
	for _, p := range pods {
		out, err := e.exec(ctx, e.Namespace, p.Name, "web", nil, "busybox", "env")
		if err != nil {
			return err
		}
		if line := greeting + "=" + word; !slices.Contains(strings.Split(out, "\n"), line) {
			return fmt.Errorf("%s does not have %s in its environment", p.Name, line)
		}
	}
	return nil
}

var selfHealing = Check{
	Name: "self-healing", Short: "a pod that is deleted is replaced, and a container that ends is started again", Remedy: controllers,
	Run: func(ctx context.Context, e *Env) error {
		if err := e.create(ctx, newDeployment("web", 2, podSpec(e.web()))); err != nil {
			return err
		}
		pods, err := e.readyPods(ctx, "app=web", 2)
		if err != nil {
			return err
		}
		lost := pods[0]
		if err := e.remove(ctx, lost, lost.Name, &lost.UID); err != nil {
			return err
		}
		_, err = awaitAll(ctx, e, "app=web", func(now []*corev1.Pod) string {
			n := 0
			for _, p := range now {
				if ready(p) && p.UID != lost.UID {
					n++
				}
			}
			if n == 2 {
				return ""
			}
			return fmt.Sprintf("%s was deleted, and %d of 2 others are ready", lost.Name, n)
		})
		if err != nil {
			return err
		}
		e.Saw("%s was deleted and another pod took its place", lost.Name)
		if pods, err = e.readyPods(ctx, "app=web", 2); err != nil {
			return err
		}
		ended := pods[0]
		if _, err := e.exec(ctx, e.Namespace, ended.Name, "web", nil, "busybox", "kill", "1"); err != nil {
			return err
		}
		p, err := await(ctx, e, ended.Name, func(p *corev1.Pod) string {
			if restarts(p) > 0 && ready(p) {
				return ""
			}
			return fmt.Sprintf("its process was ended, and the container has been restarted %d times", restarts(p))
		})
		if err != nil {
			return err
		}
		e.Saw("the process of %s was ended and started again in the same pod (restarts: %d)", p.Name, restarts(p))
		return nil
	},
}

func restarts(p *corev1.Pod) (n int32) {
	for _, c := range p.Status.ContainerStatuses {
		n += c.RestartCount
	}
	return n
}
