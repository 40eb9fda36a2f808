package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

// newStatefulSet is a StatefulSet with its headless Service.
func newStatefulSet(n int32, spec corev1.PodSpec) (*appsv1.StatefulSet, *corev1.Service) {
	s := service("web")
	s.Spec.ClusterIP = corev1.ClusterIPNone
	return &appsv1.StatefulSet{ObjectMeta: named("web"), Spec: appsv1.StatefulSetSpec{
		Replicas: &n, ServiceName: "web", Selector: selector("web"), Template: template("web", spec),
	}}, s
}

// ordinal names a pod of the StatefulSet.
func ordinal(i int) string { return fmt.Sprintf("web-%d", i) }

var statefulSet = Check{
	Name: "statefulset", Short: "a StatefulSet's pods keep their names and addresses' names, begin and end in order, and are updated by partition", Remedy: controllers,
	Within: 3 * time.Minute,
	Run: func(ctx context.Context, e *Env) error {
		set, s := newStatefulSet(3, podSpec(e.web()))
		if err := e.create(ctx, set, s); err != nil {
			return err
		}
		pods, err := e.inOrder(ctx, 3)
		if err != nil {
			return err
		}
		e.Saw("web-0, web-1 and web-2 began in this order, each when the one before was ready")
		if err := e.identities(ctx, pods); err != nil {
			return err
		}
		e.Saw("web-0.%s and the others are their pods' addresses, and the SRV records name all three", e.fqdn("web"))

		lost := pods[1]
		if err := e.remove(ctx, lost, lost.Name, &lost.UID); err != nil {
			return err
		}
		if _, err := await(ctx, e, ordinal(1), func(p *corev1.Pod) string {
			if p.UID != lost.UID && ready(p) {
				return ""
			}
			return "it was deleted and is not there again"
		}); err != nil {
			return err
		}
		if pods, err = e.readyPods(ctx, "app=web", 3); err != nil {
			return err
		}
		if err := e.identities(ctx, pods); err != nil {
			return fmt.Errorf("after web-1 was deleted: %w", err)
		}
		e.Saw("web-1 was deleted, and another pod took its name and its place in DNS")

		if err := e.partitioned(ctx, pods); err != nil {
			return err
		}
		return e.shrinks(ctx)
	},
}

// inOrder waits until n pods are ready, and holds that none began before the one before it was ready.
func (e *Env) inOrder(ctx context.Context, n int) ([]*corev1.Pod, error) {
	var wrong error
	begun := map[string]bool{}
	_, err := awaitAll(ctx, e, "app=web", func(pods []*corev1.Pod) string {
		is := map[string]bool{}
		for _, p := range pods {
			is[p.Name] = ready(p)
		}
		up := 0
		for i := range n {
			here, there := is[ordinal(i)]
			if there && !begun[ordinal(i)] {
				begun[ordinal(i)] = true
				if i > 0 && !is[ordinal(i-1)] {
					wrong = fmt.Errorf("%s began before %s was ready", ordinal(i), ordinal(i-1))
				}
			}
			if here {
				up++
			}
		}
		if wrong != nil || up == n {
			return ""
		}
		return fmt.Sprintf("%d of %d pods are ready%s", up, n, trouble(pods))
	})
	if err = errors.Join(wrong, err); err != nil {
		return nil, err
	}
	return e.readyPods(ctx, "app=web", n)
}

// identities holds that every pod has its own name in DNS, and the Service those of all.
func (e *Env) identities(ctx context.Context, pods []*corev1.Pod) error {
	if err := e.endpoints(ctx, "web", pods); err != nil {
		return err
	}
	hands, err := e.asking(ctx, false)
	if err != nil {
		return err
	}
	full := e.fqdn("web")
	var records []string
	for _, p := range pods {
		records = append(records, fmt.Sprintf("0 %d %d %s.%s", 100/len(pods), webPort, p.Name, full))
		if err := e.lookup(ctx, hands[0], "a", p.Name+"."+full+".", "", []string{p.Status.PodIP}); err != nil {
			return err
		}
	}
	return e.lookup(ctx, hands[0], "srv", "_http._tcp."+full+".", "", records)
}

// partitioned rolls a change out to the pods above a partition, and then to all, the last first.
func (e *Env) partitioned(ctx context.Context, before []*corev1.Pod) error {
	change := map[string]any{"spec": map[string]any{
		"updateStrategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"partition": 2}},
		"template":       map[string]any{"metadata": map[string]any{"labels": map[string]any{"version": "two"}}},
	}}
	if _, err := patch[*appsv1.StatefulSet](ctx, e, "web", change); err != nil {
		return err
	}
	if _, err := await(ctx, e, "web", func(s *appsv1.StatefulSet) string {
		if s.Status.ObservedGeneration >= s.Generation && s.Status.UpdatedReplicas == 1 && s.Status.ReadyReplicas == 3 && s.Status.UpdateRevision != s.Status.CurrentRevision {
			return ""
		}
		return fmt.Sprintf("with the partition at 2 %d pods are updated and %d ready", s.Status.UpdatedReplicas, s.Status.ReadyReplicas)
	}); err != nil {
		return err
	}
	pods, err := e.readyPods(ctx, "app=web", 3)
	if err != nil {
		return err
	}
	for i, p := range pods {
		if changed := p.UID != before[i].UID; changed != (i == 2) || (p.Labels["version"] == "two") != (i == 2) {
			return fmt.Errorf("with the partition at 2: %s was changed: %t", p.Name, changed)
		}
	}
	e.Saw("with the partition at 2 a change reached web-2 alone")
	all := map[string]any{"spec": map[string]any{"updateStrategy": map[string]any{"rollingUpdate": map[string]any{"partition": 0}}}}
	if _, err := patch[*appsv1.StatefulSet](ctx, e, "web", all); err != nil {
		return err
	}
	order := []string{ordinal(2)}
	if _, err := awaitAll(ctx, e, "app=web", func(pods []*corev1.Pod) string {
		n := 0
		for _, p := range pods {
			if p.Labels["version"] != "two" {
				continue
			}
			if ready(p) {
				n++
			}
			if !slices.Contains(order, p.Name) {
				order = append(order, p.Name)
			}
		}
		if n == 3 {
			return ""
		}
		return fmt.Sprintf("with the partition at 0 %d of 3 pods are updated", n)
	}); err != nil {
		return err
	}
	if !slices.Equal(order, []string{ordinal(2), ordinal(1), ordinal(0)}) {
		return fmt.Errorf("pods were updated in the order %s", strings.Join(order, ", "))
	}
	e.Saw("with the partition at 0 it reached web-1 and then web-0")
	return nil
}

// shrinks scales down to one pod, and holds that the last goes first.
func (e *Env) shrinks(ctx context.Context) error {
	if err := scale[*appsv1.StatefulSet](ctx, e, "web", 1); err != nil {
		return err
	}
	var wrong error
	if _, err := awaitAll(ctx, e, "app=web", func(pods []*corev1.Pod) string {
		there, ending := map[string]bool{}, map[string]bool{}
		for _, p := range pods {
			there[p.Name], ending[p.Name] = true, p.DeletionTimestamp != nil
		}
		if there[ordinal(2)] && (ending[ordinal(1)] || !there[ordinal(1)]) {
			wrong = errors.New("web-1 ended while web-2 was still there")
		}
		if wrong != nil || len(pods) == 1 && there[ordinal(0)] {
			return ""
		}
		return fmt.Sprintf("scaled to 1, there are %d pods", len(pods))
	}); err != nil {
		return err
	}
	if wrong != nil {
		return wrong
	}
	e.Saw("scaled to 1: web-2 went first, then web-1")
	return nil
}

var statefulSetData = Check{
	Name: "statefulset-data", Short: "a StatefulSet's pod finds its data again when it was deleted or scaled away; its claim is kept", Needs: []Need{Storage},
	Remedy: "kubectl describe pvc; the logs of the StorageClass' provisioner", Within: 3 * time.Minute,
	Run: func(ctx context.Context, e *Env) error {
		web := e.web()
		web.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		set, s := newStatefulSet(2, podSpec(web))
		set.Spec.PodManagementPolicy = appsv1.ParallelPodManagement
		set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: quantity("1Mi")}},
		}}}
		if err := e.create(ctx, set, s); err != nil {
			return err
		}
		pods, err := e.readyPods(ctx, "app=web", 2)
		if err != nil {
			return err
		}
		for _, p := range pods {
			if err := e.write(ctx, p.Name, "web", "/data/name", p.Name); err != nil {
				return err
			}
		}
		volumes := map[string]string{}
		for _, p := range pods {
			c, err := e.Client.CoreV1().PersistentVolumeClaims(e.Namespace).Get(ctx, "data-"+p.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			volumes[c.Name] = c.Spec.VolumeName
		}
		e.Saw("data-web-0 and data-web-1 were bound to volumes of the default StorageClass, and written to")
		lost := pods[0]
		if err := e.remove(ctx, lost, lost.Name, &lost.UID); err != nil {
			return err
		}
		if _, err := await(ctx, e, lost.Name, func(p *corev1.Pod) string {
			if p.UID != lost.UID && ready(p) {
				return ""
			}
			return "it was deleted and is not there again" + trouble([]*corev1.Pod{p})
		}); err != nil {
			return err
		}
		if err := e.reads(ctx, lost.Name, "web", "/data/name", lost.Name); err != nil {
			return fmt.Errorf("after the pod was deleted: %w", err)
		}
		e.Saw("web-0 was deleted, and the pod that took its place found its data")
		if err := scale[*appsv1.StatefulSet](ctx, e, "web", 0); err != nil {
			return err
		}
		if _, err := e.readyPods(ctx, "app=web", 0); err != nil {
			return err
		}
		for name, volume := range volumes {
			c, err := e.Client.CoreV1().PersistentVolumeClaims(e.Namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("scaled to 0: %w", err)
			}
			if c.DeletionTimestamp != nil || c.Spec.VolumeName != volume || c.Status.Phase != corev1.ClaimBound {
				return fmt.Errorf("scaled to 0, the claim %s is %s with volume %s, and not Bound with %s", name, c.Status.Phase, c.Spec.VolumeName, volume)
			}
		}
		if err := scale[*appsv1.StatefulSet](ctx, e, "web", 2); err != nil {
			return err
		}
		if pods, err = e.readyPods(ctx, "app=web", 2); err != nil {
			return err
		}
		for _, p := range pods {
			if err := e.reads(ctx, p.Name, "web", "/data/name", p.Name); err != nil {
				return fmt.Errorf("after it was scaled to 0 and back: %w", err)
			}
		}
		e.Saw("scaled to 0 both claims stayed bound, and scaled to 2 each pod found its own data")
		return nil
	},
}
