package addons

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// explaining is how long it may take to find out why something is not ready.
const explaining = 5 * time.Second

// explain says what keeps a workload's pods from being ready, where one of them tells; a run that has ended is no reason not to ask.
func (r Ready) explain(ctx context.Context, a *API) string {
	switch r.Kind {
	case "DaemonSet", "Deployment", "StatefulSet", "Job":
	default:
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), explaining)
	defer cancel()
	where, err := r.of(a)
	if err != nil {
		return ""
	}
	o, err := where.Get(ctx, r.object(), metav1.GetOptions{})
	if err != nil {
		return ""
	}
	match, _, _ := unstructured.NestedStringMap(o.Object, "spec", "selector", "matchLabels")
	if len(match) == 0 {
		return ""
	}
	pods, err := a.clients.CoreV1().Pods(r.Namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: match})})
	if err != nil {
		return ""
	}
	if len(pods.Items) == 0 {
		return conditions(o)
	}
	for _, p := range pods.Items {
		if why := podLacks(p); why != "" {
			return why
		}
	}
	return ""
}

// podLacks says why a pod is not ready, in the words of who knows: the scheduler, the kubelet, the runtime.
func podLacks(p corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return fmt.Sprintf("pod %s has no node: %s", p.Name, c.Message)
		}
	}
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		at := fmt.Sprintf("pod %s on %s: %s: ", p.Name, p.Spec.NodeName, s.Name)
		switch w, t, last := s.State.Waiting, s.State.Terminated, s.LastTerminationState.Terminated; {
		case s.Ready:
		case w != nil && last != nil:
			return at + fmt.Sprintf("%s: it ended with %d %s", w.Reason, last.ExitCode, strings.TrimSpace(last.Message))
		case w != nil && w.Message != "":
			return at + w.Reason + ": " + w.Message
		case w != nil:
			return at + w.Reason
		case t != nil && t.ExitCode != 0:
			return at + fmt.Sprintf("it ended with %d: %s %s", t.ExitCode, t.Reason, t.Message)
		case t == nil && s.Started != nil:
			return at + "it runs and does not say that it is ready"
		}
	}
	return ""
}

// conditions is what a workload says of itself where it has no pods: a policy may keep them from being made.
func conditions(o *unstructured.Unstructured) string {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range all {
		if m := asMap(c); m["type"] == "ReplicaFailure" && m["status"] == "True" {
			return fmt.Sprint(m["message"])
		}
	}
	return ""
}

// hooked is a write that the API server refused because a webhook of somebody's does not answer.
type hooked struct {
	error
	webhook string
}

func (e *hooked) Unwrap() error { return e.error }

// Remedy says whose webhook it is.
func (e *hooked) Remedy() string {
	return "bring back what answers for the webhook " + e.webhook + ", or delete the webhook configuration that names it: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations"
}

var failedHook = regexp.MustCompile(`failed calling webhook "([^"]+)"`)

func hookFailed(err error) bool { return failedHook.MatchString(err.Error()) }

// blame names the webhook that keeps an object from being written, if one does.
func blame(err error) error {
	if err == nil {
		return nil
	}
	if m := failedHook.FindStringSubmatch(err.Error()); m != nil {
		return &hooked{err, m[1]}
	}
	return err
}
