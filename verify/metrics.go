package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const measuring = "kubectl get apiservice v1beta1.metrics.k8s.io; kubectl -n kube-system logs -l k8s-app=metrics-server"

// usage is what kubectl top reads of a node or a pod.
type usage struct {
	Metadata   struct{ Name, Namespace string }
	Usage      amounts
	Containers []struct{ Usage amounts }
}

type amounts struct{ CPU, Memory resource.Quantity }

// top asks for the metrics of all nodes, or of the pods of a namespace.
func (e *Env) top(ctx context.Context, path string) (map[string]amounts, error) {
	raw, err := e.Client.Discovery().RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/" + path).Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var list struct{ Items []usage }
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	out := map[string]amounts{}
	for _, u := range list.Items {
		sum := u.Usage
		for _, c := range u.Containers {
			sum.CPU.Add(c.Usage.CPU)
			sum.Memory.Add(c.Usage.Memory)
		}
		out[u.Metadata.Name] = sum
	}
	return out, nil
}

var metrics = Check{
	Name: "metrics", Short: "kubectl top has numbers for every node and for pods", Needs: []Need{Metrics}, Remedy: measuring, Within: 2 * time.Minute,
	Run: func(ctx context.Context, e *Env) error {
		if err := e.create(ctx, pod("measured", podSpec(e.web()))); err != nil {
			return err
		}
		if _, err := e.pod(ctx, "measured"); err != nil {
			return err
		}
		var nodes []string
		for _, n := range e.Nodes {
			nodes = append(nodes, n.Name)
		}
		for _, row := range []struct {
			path string
			want []string
		}{{"nodes", nodes}, {"namespaces/" + e.Namespace + "/pods", []string{"measured"}}} {
			found, err := e.measured(ctx, row.path, row.want)
			if err != nil {
				return err
			}
			var text []string
			for _, name := range row.want {
				a := found[name]
				text = append(text, fmt.Sprintf("%s %dm and %d MiB", name, a.CPU.MilliValue(), a.Memory.Value()>>20))
			}
			e.Saw("CPU and memory: %s", strings.Join(text, ", "))
		}
		return nil
	},
}

// measured asks until all of them have numbers. There is nothing to watch: metrics are no objects, and new ones come every fifteen seconds.
func (e *Env) measured(ctx context.Context, path string, want []string) (map[string]amounts, error) {
	for {
		found, err := e.top(ctx, path)
		var missing []string
		for _, name := range want {
			if a, ok := found[name]; !ok || a.Memory.IsZero() {
				missing = append(missing, name)
			}
		}
		if err == nil && len(missing) == 0 {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("no metrics of %s: %w", strings.Join(missing, ", "), context.Cause(ctx)), err)
		case <-time.After(2 * time.Second):
		}
	}
}

var hpa = Check{
	Name: "hpa", Short: "a HorizontalPodAutoscaler adds pods under load, and takes them away after it", Needs: []Need{Metrics}, Slow: true, Remedy: measuring + "; kubectl describe hpa",
	Within: 6 * time.Minute,
	Run: func(ctx context.Context, e *Env) error {
		web := e.web()
		web.Resources = corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: quantity("10m")}, Limits: corev1.ResourceList{corev1.ResourceCPU: quantity("100m")},
		}
		web.ReadinessProbe.PeriodSeconds = 10
		d := newDeployment("web", 1, podSpec(web))
		at := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 2, PeriodSeconds: 15}
		h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: named("web"), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
			MinReplicas:    ptr(int32(1)), MaxReplicas: 3,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr(int32(100))},
			}}},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{
				ScaleUp:   &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr(int32(0)), Policies: []autoscalingv2.HPAScalingPolicy{at}},
				ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr(int32(15)), Policies: []autoscalingv2.HPAScalingPolicy{at}},
			},
		}}
		s := service("web")
		if err := e.create(ctx, d, s, h); err != nil {
			return err
		}
		if _, err := e.readyPods(ctx, "app=web", 1); err != nil {
			return err
		}
		if err := e.scaled(ctx, "before there is load", func(h *autoscalingv2.HorizontalPodAutoscaler) bool {
			return len(h.Status.CurrentMetrics) > 0 && h.Status.DesiredReplicas == 1
		}); err != nil {
			return err
		}
		loader := e.idle("loader")
		loader.Resources = corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: quantity("400m")}}
		if err := e.create(ctx, pod("loader", podSpec(loader))); err != nil {
			return err
		}
		if _, err := e.pod(ctx, "loader"); err != nil {
			return err
		}
		// So many questions that they last until the load is taken away.
		urls := strings.Repeat("http://"+s.Spec.ClusterIP+"/hostname\n", 100_000)
		load, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		go func() {
			_, err := e.exec(load, e.Namespace, "loader", "", []byte(urls), "busybox", "xargs", "-n", "100", "-P", "4", "busybox", "wget", "-q", "-O", "/dev/null")
			ended <- err
		}()
		began := time.Now()
		if err := e.scaled(ctx, "under load", func(h *autoscalingv2.HorizontalPodAutoscaler) bool { return h.Status.CurrentReplicas > 1 }); err != nil {
			select {
			case stopped := <-ended:
				err = errors.Join(err, fmt.Errorf("the load ended by itself: %w", stopped))
			default:
			}
			return err
		}
		grown, err := await(ctx, e, "web", func(d *appsv1.Deployment) string {
			if d.Status.ReadyReplicas > 1 {
				return ""
			}
			return fmt.Sprintf("%d pods are ready", d.Status.ReadyReplicas)
		})
		if err != nil {
			return err
		}
		e.Saw("under load it grew from 1 pod to %d within %s", grown.Status.ReadyReplicas, since(began))
		loading := pod("loader", podSpec())
		if err := e.remove(ctx, loading, "loader", nil); err != nil {
			return err
		}
		stop()
		began = time.Now()
		if err := e.scaled(ctx, "after the load", func(h *autoscalingv2.HorizontalPodAutoscaler) bool {
			return h.Status.CurrentReplicas == 1 && h.Status.DesiredReplicas == 1
		}); err != nil {
			return err
		}
		e.Saw("without load it shrank to 1 pod within %s", since(began))
		return nil
	},
}

// scaled waits for something of the autoscaler, and says at the end what it saw last. That it knows no metrics for a minute is normal.
func (e *Env) scaled(ctx context.Context, when string, holds func(*autoscalingv2.HorizontalPodAutoscaler) bool) error {
	_, err := await(ctx, e, "web", func(h *autoscalingv2.HorizontalPodAutoscaler) string {
		if holds(h) {
			return ""
		}
		text := fmt.Sprintf("%s it has %d pods and wants %d", when, h.Status.CurrentReplicas, h.Status.DesiredReplicas)
		for _, m := range h.Status.CurrentMetrics {
			if m.Resource != nil && m.Resource.Current.AverageUtilization != nil {
				text += fmt.Sprintf(", at %d%% of what they request", *m.Resource.Current.AverageUtilization)
			}
		}
		for _, c := range h.Status.Conditions {
			if c.Status == corev1.ConditionFalse {
				text += "; " + c.Message
			}
		}
		return text
	})
	return err
}
