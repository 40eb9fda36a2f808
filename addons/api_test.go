package addons

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/ops"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// config is the wish for a ConfigMap with one entry.
func config(ns, name, value string) Object {
	return New(&corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{"app": name}},
		Data:       map[string]string{"key": value},
	})
}

func namespace(name string) Object {
	return New(&corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: name}})
}

func steps(all ...ops.Op) []ops.Step {
	var out []ops.Step
	for _, op := range all {
		out = append(out, ops.Step{Op: op, Why: "the test wants it"})
	}
	return out
}

// apply applies and says how each step ended.
func apply(t *testing.T, a *API, all ...ops.Op) (map[ops.Key]ops.State, error) {
	t.Helper()
	ended := map[ops.Key]ops.State{}
	err := a.Apply(t.Context(), "run", "phase", steps(all...), func(p ops.Progress) { ended[p.Key] = p.State })
	return ended, err
}

func observe(t *testing.T, a *API, wish ops.Op) ops.Op {
	t.Helper()
	seen, err := a.Observe(t.Context(), []ops.Op{wish})
	if err != nil {
		t.Fatal(err)
	}
	return seen[0]
}

// TestAnAPIServerThatIsAwayIsWaitedFor: it restarts while the control plane is changed, and says that it is busy when it is.
func TestAnAPIServerThatIsAwayIsWaitedFor(t *testing.T) {
	const path = "/api/v1/namespaces/default/configmaps/a"
	for name, status := range map[string]int{"busy": http.StatusTooManyRequests, "starting": http.StatusServiceUnavailable, "confused": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			a := s.api()
			if _, err := a.Client(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.mu.Lock()
			s.refuse[path] = status
			s.mu.Unlock()
			time.AfterFunc(300*time.Millisecond, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.refuse, path)
			})
			if _, err := apply(t, a, config("default", "a", "1")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestASlowAnswerIsAwaited: a host with too much to do answers late, which a run that has just seen the API server ready must not take for an end.
func TestASlowAnswerIsAwaited(t *testing.T) {
	s := newServer(t)
	s.slow = 2
	a := s.api()
	a.within = 50 * time.Millisecond
	if _, err := apply(t, a, config("default", "a", "1")); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	s.slow = 1000
	s.mu.Unlock()
	b := s.api()
	b.within = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := b.Apply(ctx, "run", "phase", steps(config("default", "a", "1")), func(ops.Progress) {}); !errors.Is(err, ErrNoCluster) {
		t.Errorf("a run that was ended meanwhile: %v", err)
	}
}

// TestNoClusterYet: a plan made before there is a cluster says that everything is to be made; applying says what is missing.
func TestNoClusterYet(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	starting := newServer(t)
	starting.ready = false
	wishes := []ops.Op{config("default", "a", "1"), ClusterInfo{Server: "https://x"}, Ready{Kind: "Node", Name: "master", Within: 1, OK: true}}
	for name, connect := range map[string]func(context.Context) (*rest.Config, error){
		"no authority yet": func(context.Context) (*rest.Config, error) { return nil, ErrNoCluster },
		"nobody listens": func(context.Context) (*rest.Config, error) {
			return &rest.Config{Host: "https://" + closed.Addr().String()}, nil
		},
		"the API server is starting": func(context.Context) (*rest.Config, error) { return starting.rest(), nil },
	} {
		t.Run(name, func(t *testing.T) {
			a := NewAPI("cluster", connect)
			if a.Name() != "cluster" {
				t.Errorf("it is called %s", a.Name())
			}
			seen, err := a.Observe(t.Context(), wishes)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range wishes {
				if seen[i].Key() != w.Key() || ops.Equal(w, seen[i]) {
					t.Errorf("%s is seen as %+v", w.Key(), seen[i])
				}
			}
			// Applying is asked for where there should be a cluster, so it waits for it a while.
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			if err := a.Apply(ctx, "run", "phase", steps(wishes...), func(ops.Progress) {}); !errors.Is(err, ErrNoCluster) {
				t.Errorf("apply: %v", err)
			}
			if _, err := a.Client(t.Context()); !errors.Is(err, ErrNoCluster) {
				t.Errorf("client: %v", err)
			}
		})
	}
}

func TestAClusterThatComesLaterIsFound(t *testing.T) {
	s := newServer(t)
	there := false
	a := NewAPI("cluster", func(context.Context) (*rest.Config, error) {
		if !there {
			return nil, ErrNoCluster
		}
		return s.rest(), nil
	})
	wish := config("default", "a", "1")
	if seen := observe(t, a, wish); ops.Equal(wish, seen) {
		t.Errorf("seen is %+v", seen)
	}
	there = true
	if ended, err := apply(t, a, wish); err != nil || ended[wish.Key()] != ops.Changed {
		t.Errorf("%v, %v", ended, err)
	}
}

func TestWhyThereIsNoConnectionIsTold(t *testing.T) {
	broken := errors.New("the host is gone")
	a := NewAPI("cluster", func(context.Context) (*rest.Config, error) { return nil, broken })
	if _, err := a.Observe(t.Context(), steps1()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func steps1() []ops.Op { return []ops.Op{config("default", "a", "1")} }

// TestAnObjectsLife: made, found as wished, changed by somebody, mended, taken away. Looking changes nothing.
func TestAnObjectsLife(t *testing.T) {
	const path = "/api/v1/namespaces/default/configmaps/a"
	s := newServer(t)
	a := s.api()
	wish := config("default", "a", "1")

	if seen := observe(t, a, wish).(Object); !seen.Absent {
		t.Errorf("before: %+v", seen)
	}
	if ended, err := apply(t, a, wish); err != nil || ended[wish.Key()] != ops.Changed {
		t.Fatalf("made: %v, %v", ended, err)
	}
	if seen := observe(t, a, wish); !ops.Equal(wish, seen) {
		t.Errorf("after it was made: %+v", seen)
	}
	if ended, err := apply(t, a, wish); err != nil || ended[wish.Key()] != ops.Same {
		t.Errorf("again: %v, %v", ended, err)
	}

	s.mu.Lock()
	s.objects[path] = merge(s.objects[path], map[string]any{
		"data":     map[string]any{"key": "2", "theirs": "x"},
		"metadata": map[string]any{"annotations": map[string]any{"theirs": "y"}},
	})
	s.mu.Unlock()
	s.asked()
	seen := observe(t, a, wish)
	if ops.Equal(wish, seen) {
		t.Error("what somebody changed is not seen")
	}
	if text := seen.(Object).Text(); !strings.Contains(text, `key: "2"`) || strings.Contains(text, "theirs") {
		t.Errorf("the difference shows what is not ours, or not what is:\n%s", text)
	}
	for _, what := range s.asked() {
		if what != "GET "+path && what != "PATCH "+path+" dry" {
			t.Errorf("looking did %s", what)
		}
	}
	if s.has(path)["data"].(map[string]any)["key"] != "2" {
		t.Error("looking changed it")
	}

	if ended, err := apply(t, a, wish); err != nil || ended[wish.Key()] != ops.Changed {
		t.Errorf("mended: %v, %v", ended, err)
	}
	if data := s.has(path)["data"].(map[string]any); data["key"] != "1" || data["theirs"] != "x" {
		t.Errorf("after it was mended: %v", data)
	}

	gone := wish.absent()
	if ended, err := apply(t, a, gone); err != nil || ended[wish.Key()] != ops.Changed || s.has(path) != nil {
		t.Errorf("taken away: %v, %v", ended, err)
	}
	if err := gone.Set(t.Context(), machine{a}, wish); err != nil {
		t.Errorf("taken away twice: %v", err)
	}
}

// TestSomebodyElsesFieldsAreNoChange: what the API server counts and others own does not make an object differ.
func TestSomebodyElsesFieldsAreNoChange(t *testing.T) {
	const path = "/api/v1/namespaces/default/configmaps/a"
	s := newServer(t)
	a := s.api()
	wish := config("default", "a", "1")
	if _, err := apply(t, a, wish); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.objects[path] = merge(s.objects[path], map[string]any{"data": map[string]any{"theirs": "x"}, "status": map[string]any{"seen": "now"}})
	s.mu.Unlock()
	if seen := observe(t, a, wish); !ops.Equal(wish, seen) {
		t.Errorf("it differs: %+v", seen)
	}
}

func TestAKindThatTheServerDoesNotKnow(t *testing.T) {
	a := newServer(t).api()
	wish := Object{Manifest: map[string]any{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": "w"}}}
	if seen := observe(t, a, wish).(Object); !seen.Absent {
		t.Errorf("seen is %+v", seen)
	}
	ended, err := apply(t, a, wish)
	if err == nil || !strings.Contains(err.Error(), "object:Widget/w: the API server does not know the kind Widget") || ended[wish.Key()] != ops.Failed {
		t.Errorf("%v, %v", ended, err)
	}
	var step *StepError
	if !errors.As(err, &step) || step.Key != wish.Key() || step.Why != "the test wants it" {
		t.Errorf("the error does not say which step: %#v", err)
	}
}

func TestWhatTheServerRefusesIsTold(t *testing.T) {
	s := newServer(t)
	s.refuse["/api/v1/namespaces/default/configmaps/a"] = http.StatusForbidden
	a := s.api()
	if _, err := a.Observe(t.Context(), steps1()); err == nil || !strings.Contains(err.Error(), "object:ConfigMap/default/a: ") {
		t.Errorf("observe: %v", err)
	}
	other := config("default", "b", "1")
	ended, err := apply(t, a, config("default", "a", "1"), Ready{Kind: "Node", Name: "x", Within: 1, OK: true}, other)
	if err == nil || ended["object:ConfigMap/default/a"] != ops.Failed {
		t.Errorf("apply: %v, %v", ended, err)
	}
	if _, begun := ended[other.Key()]; begun {
		t.Error("what comes after a failure was begun")
	}
}

// TestApplyKeepsTheOrderThatMatters: a namespace is there before what is in it, and what comes after a wait waits for it.
func TestApplyKeepsTheOrderThatMatters(t *testing.T) {
	s := newServer(t)
	s.watches = append(s.watches, func(send func(string, map[string]any)) {
		if s.has("/api/v1/namespaces/late/configmaps/c") != nil {
			t.Error("an object after the wait was made before it")
		}
		if s.has("/api/v1/namespaces/early/configmaps/b") == nil {
			t.Error("the wait did not wait for the objects before it")
		}
		send("ADDED", node("x", "True", ""))
	})
	_, err := apply(t, s.api(),
		config("default", "a", "1"), namespace("early"), config("early", "b", "1"), config("early", "d", "1"),
		Ready{Kind: "Node", Name: "x", Within: 10, OK: true}, namespace("late"), config("late", "c", "1"))
	if err != nil {
		t.Fatal(err)
	}
	made := only(slices.DeleteFunc(s.asked(), func(l string) bool { return strings.HasSuffix(l, " dry") }), "PATCH")
	before := func(a, b string) {
		t.Helper()
		i, j := slices.Index(made, "PATCH /api/v1/namespaces/"+a), slices.Index(made, "PATCH /api/v1/namespaces/"+b)
		if i < 0 || j < 0 || i > j {
			t.Errorf("%s is not before %s: %q", a, b, made)
		}
	}
	before("early", "early/configmaps/b")
	before("early", "early/configmaps/d")
	before("early/configmaps/d", "late/configmaps/c")
	before("late", "late/configmaps/c")
}

// TestClusterInfoHasTheAuthorityOfTheConnection: it is known only once there is one.
func TestClusterInfoHasTheAuthorityOfTheConnection(t *testing.T) {
	const path = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
	s := newServer(t)
	a := s.api()
	wish := ClusterInfo{Server: "https://10.0.0.1:6443"}
	if seen := observe(t, a, wish).(ClusterInfo); !seen.Absent {
		t.Errorf("before: %+v", seen)
	}
	if ended, err := apply(t, a, wish); err != nil || ended[wish.Key()] != ops.Changed {
		t.Fatalf("%v, %v", ended, err)
	}
	kubeconfig := s.has(path)["data"].(map[string]any)["kubeconfig"].(string)
	if !strings.Contains(kubeconfig, "server: https://10.0.0.1:6443") || !strings.Contains(kubeconfig, "certificate-authority-data: LS0t") {
		t.Errorf("a node could not find the cluster with\n%s", kubeconfig)
	}
	if strings.Contains(kubeconfig, "client-") || strings.Contains(kubeconfig, "token") {
		t.Errorf("everybody may read it, and it has a credential:\n%s", kubeconfig)
	}
	if seen := observe(t, a, wish); !ops.Equal(wish, seen) {
		t.Errorf("after: %+v", seen)
	}
	moved := ClusterInfo{Server: "https://10.0.0.2:6443"}
	if seen := observe(t, a, moved).(ClusterInfo); ops.Equal(moved, seen) || !strings.Contains(seen.Was, "10.0.0.1") {
		t.Errorf("another server is not seen: %+v", seen)
	}
	wish.Absent = true
	if ended, err := apply(t, a, wish); err != nil || ended[wish.Key()] != ops.Changed || s.has(path) != nil {
		t.Errorf("taken away: %v, %v", ended, err)
	}
}

// TestTheseOpsSpeakAboutAClusterOnly: on a host they say so, instead of doing anything.
func TestTheseOpsSpeakAboutAClusterOnly(t *testing.T) {
	m := ops.NewPretend(t.TempDir())
	for _, op := range []ops.Op{config("default", "a", "1"), ClusterInfo{}, Ready{Kind: "Node", Name: "x", OK: true}} {
		_, observing := op.Observe(t.Context(), m)
		setting := op.Set(t.Context(), m, op)
		for _, err := range []error{observing, setting} {
			if err == nil || !strings.Contains(err.Error(), "a cluster, not a host") {
				t.Errorf("%s: %v", op.Key(), err)
			}
		}
	}
	if _, err := (machine{}).Run(t.Context(), "true"); err == nil {
		t.Error("a cluster ran a program")
	}
	if _, err := (machine{}).Ask(t.Context(), ops.Question{}); err == nil {
		t.Error("a cluster was answered")
	}
}
