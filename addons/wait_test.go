package addons

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubewright/kubewright/ops"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// node is a Node as the API server sends it, with one condition.
func node(name, ready, message string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": name},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": ready, "message": message}}},
	}
}

func TestWhatIsLacking(t *testing.T) {
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, message string) *corev1.Node {
		return &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse}, {Type: kind, Status: status, Message: message},
		}}}
	}
	daemons := func(generation, observed int64, desired, ready, updated int32) *appsv1.DaemonSet {
		return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Generation: generation}, Status: appsv1.DaemonSetStatus{
			ObservedGeneration: observed, DesiredNumberScheduled: desired, NumberReady: ready, UpdatedNumberScheduled: updated,
		}}
	}
	deployed := func(generation, observed int64, replicas *int32, updated, available int32) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: generation}, Spec: appsv1.DeploymentSpec{Replicas: replicas},
			Status: appsv1.DeploymentStatus{ObservedGeneration: observed, UpdatedReplicas: updated, AvailableReplicas: available}}
	}
	stateful := func(generation, observed int64, replicas, available int32) *appsv1.StatefulSet {
		return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Generation: generation}, Spec: appsv1.StatefulSetSpec{Replicas: &replicas},
			Status: appsv1.StatefulSetStatus{ObservedGeneration: observed, UpdatedReplicas: available, AvailableReplicas: available}}
	}
	job := func(kind batchv1.JobConditionType, message string) *batchv1.Job {
		return &batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue, Message: message}}}}
	}
	says := func(words ...string) runtime.Object { // of each condition its type, status and message
		var all []any
		for c := range slices.Chunk(words, 3) {
			all = append(all, map[string]any{"type": c[0], "status": c[1], "message": c[2]})
		}
		return &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": all}}}
	}
	for _, row := range []struct {
		name, kind string
		object     runtime.Object
		lacks      string
	}{
		{"a ready node", "Node", condition(corev1.NodeReady, corev1.ConditionTrue, "kubelet is posting ready status"), ""},
		{"a node without a network", "Node", condition(corev1.NodeReady, corev1.ConditionFalse, "cni plugin not initialized"), "cni plugin not initialized"},
		{"a node whose kubelet is gone", "Node", condition(corev1.NodeReady, corev1.ConditionUnknown, "Kubelet stopped posting node status."), "Kubelet stopped posting node status."},
		{"a node that has just registered", "Node", &corev1.Node{}, "the kubelet has not said how it is"},
		{"a node that does not say why", "Node", condition(corev1.NodeReady, corev1.ConditionFalse, ""), "its condition Ready is False"},
		{"a network that is there", "Network", condition(corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "Flannel is running"), ""},
		{"a network that is not", "Network", condition(corev1.NodeNetworkUnavailable, corev1.ConditionTrue, "not yet"), "not yet"},
		{"a network of which nobody has spoken", "Network", condition(corev1.NodeReady, corev1.ConditionTrue, ""), "the network addon has not set up the node"},
		{"a DaemonSet on every node", "DaemonSet", daemons(2, 2, 3, 3, 3), ""},
		{"a DaemonSet nobody has looked at", "DaemonSet", daemons(2, 1, 3, 3, 3), "the controller has not seen it"},
		{"a DaemonSet before any node is counted", "DaemonSet", daemons(1, 1, 0, 0, 0), "0 of 0 pods are ready"},
		{"a DaemonSet that is starting", "DaemonSet", daemons(1, 1, 3, 2, 3), "2 of 3 pods are ready"},
		{"a DaemonSet with old pods", "DaemonSet", daemons(2, 2, 3, 3, 1), "3 of 3 pods are ready"},
		{"a Deployment that is there", "Deployment", deployed(1, 1, new(int32(2)), 2, 2), ""},
		{"a Deployment that says no number", "Deployment", deployed(1, 1, nil, 1, 1), ""},
		{"a Deployment of none", "Deployment", deployed(1, 1, new(int32(0)), 0, 0), ""},
		{"a Deployment nobody has looked at", "Deployment", deployed(3, 2, new(int32(2)), 2, 2), "the controller has not seen it"},
		{"a Deployment with one pod", "Deployment", deployed(1, 1, new(int32(2)), 2, 1), "1 of 2 pods are available"},
		{"a Deployment with old pods", "Deployment", deployed(2, 2, new(int32(2)), 1, 2), "2 of 2 pods are available"},
		{"a StatefulSet that is there", "StatefulSet", stateful(1, 1, 2, 2), ""},
		{"a StatefulSet that is starting", "StatefulSet", stateful(1, 1, 2, 1), "1 of 2 pods are available"},
		{"a StatefulSet nobody has looked at", "StatefulSet", stateful(2, 1, 2, 2), "the controller has not seen it"},
		{"a Job that has ended", "Job", job(batchv1.JobComplete, ""), ""},
		{"a Job that runs", "Job", &batchv1.Job{}, "it has not ended"},
		{"a Job that has failed", "Job", job(batchv1.JobFailed, "too often"), "it has failed: too often"},
		{"an API that answers", "APIService", says("Available", "True", "all checks passed"), ""},
		{"an API that does not", "APIService", says("Available", "False", "no endpoints"), "no endpoints"},
		{"a kind that is known", definitionKind, says("Established", "True", ""), ""},
		{"a kind whose names another has", definitionKind, says("NamesAccepted", "False", `"crop" is already in use`, "Established", "False", "not all names are accepted"),
			`not all names are accepted: "crop" is already in use`},
		{"a kind nobody has looked at", definitionKind, says("NamesAccepted", "True", ""), "nobody has said how it is"},
		{"an object of somebody's kind", "Prometheus", says("Reconciled", "False", ""), "its condition Reconciled is False"},
	} {
		raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(row.object)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Ready{Kind: row.kind}).lacks(&unstructured.Unstructured{Object: raw}); got != row.lacks {
			t.Errorf("%s: lacks %q, want %q", row.name, got, row.lacks)
		}
	}
}

func TestReadyLooksOnce(t *testing.T) {
	s := newServer(t)
	a := s.api()
	wish := Ready{Kind: "Node", Name: "master", Within: 1, OK: true}
	if seen := observe(t, a, wish); ops.Equal(wish, seen) {
		t.Errorf("absent: %+v", seen)
	}
	for ready, ok := range map[string]bool{"False": false, "True": true} {
		s.mu.Lock()
		s.objects["/api/v1/nodes/master"] = node("master", ready, "")
		s.mu.Unlock()
		if seen := observe(t, a, wish); ops.Equal(wish, seen) != ok {
			t.Errorf("%s: %+v", ready, seen)
		}
	}
	unknown := Ready{Kind: "Weather", Group: "example.org", Name: "x", OK: true} // somebody may define the kind yet
	if seen := observe(t, a, unknown); ops.Equal(unknown, seen) {
		t.Errorf("a kind that nobody knows: %+v", seen)
	}
}

// TestReadyWaitsByWatching, also where a watch ends early, as it does when the API server restarts, and where the object is made anew.
func TestReadyWaitsByWatching(t *testing.T) {
	s := newServer(t)
	s.watches = []func(func(string, map[string]any)){
		func(send func(string, map[string]any)) {
			send("ADDED", node("x", "False", "cni plugin not initialized"))
		},
		func(send func(string, map[string]any)) {
			send("ADDED", node("x", "False", ""))
			send("DELETED", node("x", "False", ""))
			send("ADDED", node("x", "True", ""))
		},
	}
	ended, err := apply(t, s.api(), Ready{Kind: "Node", Name: "x", Within: 10, OK: true})
	if err != nil || ended["ready:Node/x"] != ops.Changed {
		t.Errorf("%v, %v", ended, err)
	}
	if n := len(only(s.asked(), "WATCH")); n != 2 {
		t.Errorf("it watched %d times", n)
	}
}

func TestReadySaysWhatWasLackingAtTheEnd(t *testing.T) {
	stay := func(o ...map[string]any) func(func(string, map[string]any)) {
		return func(send func(string, map[string]any)) {
			for _, x := range o {
				send("ADDED", x)
			}
			time.Sleep(1200 * time.Millisecond)
		}
	}
	for _, row := range []struct {
		name  string
		watch func(func(string, map[string]any))
		want  string
	}{
		{"a node that is not ready", stay(node("x", "False", "cni plugin not initialized")), "ready:Node/x: not ready after 1 s: cni plugin not initialized"},
		{"a node that is not there", stay(), "ready:Node/x: not ready after 1 s: it does not exist"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.watches = append(s.watches, row.watch)
			_, err := apply(t, s.api(), Ready{Kind: "Node", Name: "x", Within: 1, OK: true})
			if err == nil || err.Error() != row.want {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}

// TestReadySurvivesAnExpiredWatch: the API server may end one with an error of its own.
func TestReadySurvivesAnExpiredWatch(t *testing.T) {
	s := newServer(t)
	s.watches = []func(func(string, map[string]any)){
		func(send func(string, map[string]any)) {
			send("ERROR", map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old resource version"})
		},
		func(send func(string, map[string]any)) { send("ADDED", node("x", "True", "")) },
	}
	if _, err := apply(t, s.api(), Ready{Kind: "Node", Name: "x", Within: 10, OK: true}); err != nil {
		t.Error(err)
	}
}

func TestReadyEndsWithItsRun(t *testing.T) {
	s := newServer(t)
	a := s.api()
	if _, err := a.Client(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	err := Ready{Kind: "DaemonSet", Namespace: "kube-system", Name: "kube-proxy", Within: 60, OK: true}.Set(ctx, machine{a}, nil)
	if err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("that it was cancelled is not told: %v", err)
	}
}

// errSevered is the end of what carried the connection.
type errSevered struct{}

func (errSevered) Error() string { return "the cable is cut" }
func (errSevered) Severed() bool { return true }

// TestNothingIsAwaitedThroughACutCable: neither what is watched for nor what an API server that is away is asked again.
func TestNothingIsAwaitedThroughACutCable(t *testing.T) {
	for _, op := range []ops.Op{
		Ready{Kind: "Node", Name: "x", Within: 60, OK: true},
		Object{Manifest: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x", "namespace": "default"}}},
	} {
		s := newServer(t)
		var cut atomic.Bool
		config := s.rest()
		config.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if cut.Load() {
				return nil, errSevered{}
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
		a := NewAPI("cluster", func(context.Context) (*rest.Config, error) { return config, nil })
		s.watches = []func(func(string, map[string]any)){func(send func(string, map[string]any)) {
			send("ADDED", node("x", "False", ""))
			cut.Store(true)
			go s.CloseClientConnections()
		}}
		if _, wait := op.(Ready); !wait {
			if _, err := a.Client(t.Context()); err != nil {
				t.Fatal(err)
			}
			cut.Store(true)
			s.CloseClientConnections()
		}
		began := time.Now()
		_, err := apply(t, a, op)
		if !errors.Is(err, errSevered{}) || time.Since(began) > 20*time.Second {
			t.Errorf("%s: %v after %s", op.Key(), err, time.Since(began))
		}
	}
}
