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
	"k8s.io/apimachinery/pkg/fields"
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
	var all []string
	for _, p := range pods.Items {
		why := podLacks(p)
		if begins(p) {
			if told := a.warned(ctx, p); told != "" {
				why = fmt.Sprintf("pod %s on %s: %s", p.Name, p.Spec.NodeName, told)
			}
		}
		if why != "" {
			all = append(all, why)
		}
	}
	switch {
	case len(all) == 0:
		return ""
	case r.Kind != "DaemonSet": // their pods are alike
		return all[0]
	case len(all) > severalPods:
		all = append(all[:severalPods], fmt.Sprintf("and %d more", len(all)-severalPods))
	}
	return strings.Join(all, "; ")
}

// severalPods is how many pods of a DaemonSet are told of: what keeps one of them is often its node's.
const severalPods = 3

// begins says whether a pod is on a node and none of its containers has been made yet, of which its status says nothing: volumes, networks and images are told by
// events.
func begins(p corev1.Pod) bool {
	if p.Spec.NodeName == "" || p.Status.Phase != corev1.PodPending {
		return false
	}
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if w := s.State.Waiting; w == nil || w.Message != "" || w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return false
		}
	}
	return true
}

// warned is the last warning about a pod. That volumes are still waited for, as the kubelet says every two minutes, counts where nothing else was said.
func (a *API) warned(ctx context.Context, p corev1.Pod) string {
	events, err := a.clients.CoreV1().Events(p.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.SelectorFromSet(fields.Set{"involvedObject.kind": "Pod", "involvedObject.name": p.Name, "involvedObject.uid": string(p.UID)}).String(),
	})
	if err != nil {
		return ""
	}
	at, told, waits := time.Time{}, "", ""
	for _, e := range events.Items {
		when := e.LastTimestamp.Time
		if e.Series != nil {
			when = e.Series.LastObservedTime.Time
		}
		if when.IsZero() {
			when = e.EventTime.Time
		}
		switch {
		case e.Type != corev1.EventTypeWarning:
		case strings.HasPrefix(e.Message, "Unable to attach or mount volumes"):
			waits = inWords(e.Message)
		case !when.Before(at):
			at, told = when, inWords(e.Message)
		}
	}
	if told == "" {
		return waits
	}
	return told
}

var mounting = regexp.MustCompile(`(?s)for volume "([^"]+)".*Mounting arguments: (.*?) /\S+\nOutput: (.*)`)

// inWords is an event's message in one line. The kubelet tells of a mount that failed by the command, its arguments and its output.
func inWords(message string) string {
	if m := mounting.FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("volume %s (mount %s): %s", m[1], m[2], m[3])
	}
	return strings.Join(strings.Fields(message), " ")
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
