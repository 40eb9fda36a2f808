package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// hand is a pod from which checks ask. Each node has two: one in the pods' network and one in the node's own. All checks share them, and neither the
// scheduler nor a controller is needed for them, so that what fails is what the check is about.
type hand struct {
	pod, node string
	host      bool   // in the node's own network
	home      string // its namespace, where it is not the run's own
}

func (h hand) String() string {
	if h.host {
		return "node " + h.node
	}
	return "a pod on " + h.node
}

// hands are made when the first check asks for them.
type hands struct {
	ctx  context.Context // of the run
	home string          // the run's own namespace

	mu    sync.Mutex
	made  bool
	all   []hand
	err   error
	ready chan struct{} // closed once they are there or are known not to come
}

// asking are the hands of one kind, one for each node that is Ready.
func (e *Env) asking(ctx context.Context, host bool) ([]hand, error) {
	h := e.hands
	h.mu.Lock()
	if !h.made {
		h.made, h.ready = true, make(chan struct{})
		// Others wait for them too, so the check that came first does not end them.
		go func() {
			defer close(h.ready)
			h.all, h.err = e.makeHands(e.hands.ctx)
		}()
	}
	h.mu.Unlock()
	select {
	case <-h.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("the pods that ask are not there: %w", context.Cause(ctx))
	}
	if h.err != nil {
		return nil, fmt.Errorf("the pods that ask are not there: %w", h.err)
	}
	var out []hand
	for _, x := range h.all {
		if x.host == host {
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no node is Ready, so nobody can ask")
	}
	return out, nil
}

// makeHands makes them on every node that is Ready, and waits for them.
func (e *Env) makeHands(ctx context.Context) ([]hand, error) {
	at := e.inHome()
	var out []hand
	for i, n := range e.Nodes {
		if !n.Ready {
			continue
		}
		for _, host := range []bool{false, true} {
			name := fmt.Sprintf("hand-%d", i)
			spec := podSpec(e.idle("hand"))
			if host {
				name = fmt.Sprintf("node-%d", i)
				spec.HostNetwork = true
				spec.DNSPolicy = corev1.DNSDefault
			}
			spec.NodeName, spec.Tolerations = n.Name, []corev1.Toleration{everywhere}
			if err := at.askingPod(ctx, name, spec); err != nil {
				return nil, err
			}
			out = append(out, hand{pod: name, node: n.Name, host: host})
		}
	}
	_, err := at.readyPods(ctx, "app=hand", len(out))
	return out, err
}

// askingPod makes a pod from which to ask.
func (e *Env) askingPod(ctx context.Context, name string, spec corev1.PodSpec) error {
	p := pod(name, spec)
	if spec.NodeName != "" {
		p.Labels = map[string]string{"app": "hand"}
	}
	return e.create(ctx, p)
}

// ownHand is a pod of the check's own namespace from which to ask: names are completed from where one is.
func (e *Env) ownHand(ctx context.Context) (hand, *corev1.Pod, error) {
	web := e.web()
	web.Name = "hand"
	if err := e.askingPod(ctx, "asker", podSpec(web)); err != nil {
		return hand{}, nil, err
	}
	p, err := e.pod(ctx, "asker")
	if err != nil {
		return hand{}, nil, err
	}
	return hand{pod: p.Name, node: p.Spec.NodeName, home: e.Namespace}, p, nil
}

// inHome is the same cluster with the run's own namespace, where pods may do what they like.
func (e *Env) inHome() *Env {
	return &Env{Cluster: e.Cluster, Namespace: e.hands.home, Run: e.Run, Nodes: e.Nodes, hands: e.hands, undo: e.undo, note: e.note}
}

// run runs a program of busybox in a hand.
func (e *Env) run(ctx context.Context, h hand, argv ...string) (string, error) {
	home := h.home
	if home == "" {
		home = e.hands.home
	}
	out, err := e.exec(ctx, home, h.pod, "hand", nil, append([]string{"busybox"}, argv...)...)
	if err != nil {
		return out, fmt.Errorf("from %s: %w", h, err)
	}
	return out, nil
}

// patience is how many seconds a question may take. wget's own timeout makes it crash where busybox is linked statically.
const patience = "10"

// get asks for a page, n times in a row, and returns all answers together.
func (e *Env) get(ctx context.Context, h hand, n int, url string, headers ...string) (string, error) {
	argv := []string{"timeout", patience, "busybox", "wget", "-q", "-O", "-"}
	for _, line := range headers {
		argv = append(argv, "--header", line)
	}
	for range n {
		argv = append(argv, url)
	}
	text, err := e.run(ctx, h, argv...)
	var exit *exitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("from %s: %s does not answer: %s (wget ended with %d)", h, url, strings.TrimSpace(exit.stderr), exit.code)
	}
	return text, err
}

// answered counts which pods gave the answers, by their names.
func answered(text string, pods []*corev1.Pod) (names []string, missing []string) {
	for _, p := range pods {
		if strings.Contains(text, p.Name) {
			names = append(names, p.Name)
		} else {
			missing = append(missing, p.Name)
		}
	}
	return names, missing
}
