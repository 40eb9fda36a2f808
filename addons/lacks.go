package addons

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// lacks says in a few words why an object is not ready, or nothing.
func (r Ready) lacks(o *unstructured.Unstructured) string {
	switch r.Kind {
	case "Node":
		return nodeLacks(o, corev1.NodeReady, corev1.ConditionTrue, "the kubelet has not said how it is")
	case "Network": // flannel says so once its CNI plugin can work
		return nodeLacks(o, corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "the network addon has not set up the node")
	case kindAddon:
		if o.GetAnnotations()[setApplied] != r.Digest {
			return "it has not been applied to its end"
		}
		return ""
	case "DaemonSet":
		return as(o, func(d *appsv1.DaemonSet) string {
			s := d.Status
			if s.ObservedGeneration < d.Generation {
				return unseen
			}
			if s.DesiredNumberScheduled == 0 || s.NumberReady < s.DesiredNumberScheduled || s.UpdatedNumberScheduled < s.DesiredNumberScheduled {
				return fmt.Sprintf("%d of %d pods are ready", s.NumberReady, s.DesiredNumberScheduled)
			}
			return ""
		})
	case "Deployment":
		return as(o, func(d *appsv1.Deployment) string {
			s, want := d.Status, wanted(d.Spec.Replicas)
			if s.ObservedGeneration < d.Generation {
				return unseen
			}
			if s.UpdatedReplicas < want || s.AvailableReplicas < want {
				return fmt.Sprintf("%d of %d pods are available", s.AvailableReplicas, want)
			}
			return ""
		})
	case "StatefulSet":
		return as(o, func(d *appsv1.StatefulSet) string {
			s, want := d.Status, wanted(d.Spec.Replicas)
			if s.ObservedGeneration < d.Generation {
				return unseen
			}
			if s.AvailableReplicas < want || s.UpdatedReplicas < want && s.UpdateRevision != s.CurrentRevision {
				return fmt.Sprintf("%d of %d pods are available", s.AvailableReplicas, want)
			}
			return ""
		})
	case "Job":
		return as(o, func(j *batchv1.Job) string {
			for _, c := range j.Status.Conditions {
				if c.Status == corev1.ConditionTrue && c.Type == batchv1.JobComplete {
					return ""
				}
				if c.Status == corev1.ConditionTrue && c.Type == batchv1.JobFailed {
					return "it has failed: " + c.Message
				}
			}
			return "it has not ended"
		})
	}
	return conditionLacks(o)
}

const unseen = "the controller has not seen it"

func wanted(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}

// as asks about an object as its own type.
func as[T any](o *unstructured.Unstructured, lacks func(*T) string) string {
	var typed T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &typed); err != nil {
		return err.Error()
	}
	return lacks(&typed)
}

func nodeLacks(o *unstructured.Unstructured, want corev1.NodeConditionType, status corev1.ConditionStatus, missing string) string {
	return as(o, func(n *corev1.Node) string {
		for _, c := range n.Status.Conditions {
			if c.Type != want {
				continue
			}
			if c.Status == status {
				return ""
			}
			if c.Message == "" {
				return fmt.Sprintf("its condition %s is %s", c.Type, c.Status)
			}
			return c.Message
		}
		return missing
	})
}

// good are the conditions by which objects say that they work, the most telling first.
var good = []string{"Established", "Available", "Ready", "Reconciled"}

// refusedNames is what the API server has against the names of a definition, which another may have already.
func refusedNames(conditions []any) string {
	for _, c := range conditions {
		if c := asMap(c); c["type"] == "NamesAccepted" && c["status"] == "False" {
			return fmt.Sprintf(": %v", c["message"])
		}
	}
	return ""
}

// conditionLacks asks an object of any kind by its conditions, as Kubernetes' conventions have them.
func conditionLacks(o *unstructured.Unstructured) string {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, want := range good {
		for _, c := range all {
			c := asMap(c)
			if c["type"] != want {
				continue
			}
			if c["status"] == "True" {
				return ""
			}
			if m, _ := c["message"].(string); m != "" {
				return m + refusedNames(all)
			}
			return fmt.Sprintf("its condition %s is %v", want, c["status"])
		}
	}
	return "nobody has said how it is"
}
