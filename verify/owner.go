package verify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The annotations of a run's own namespace.
const (
	ownerAnnotation = "kubewright.io/verify-owner" // whose it is
	aliveAnnotation = "kubewright.io/verify-alive" // written again and again while the run lives
	filesPrefix     = "files.kubewright.io/"       // what was made on which node's disk: NODE:PATH
)

// prefix begins the name of every namespace and file that a run makes.
const prefix = "kw-verify-"

const (
	heartbeat = time.Minute
	staleAge  = 15 * time.Minute // of a run on a machine that we cannot ask
)

// newRun is a name that no other run has.
func newRun() string { return strings.ToLower(rand.Text()[:6]) }

// owner is the process of a run, so that another one on the same machine can tell whether it lives.
type owner struct {
	Host  string `json:"host"`
	Boot  string `json:"boot"`
	PID   int    `json:"pid"`
	Start string `json:"start"` // since the machine's boot
}

func self() owner {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return owner{Host: host, Boot: strings.TrimSpace(string(boot)), PID: os.Getpid(), Start: started(os.Getpid())}
}

// started is when a process began, empty where there is none that runs: one that was killed stays in the table until its parent has asked for it.
func started(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name of the program, in parentheses, may hold anything.
	_, rest, _ := cutLast(raw, ')')
	fields := bytes.Fields(rest)
	if len(fields) < 20 || string(fields[0]) == "Z" || string(fields[0]) == "X" {
		return ""
	}
	return string(fields[19])
}

func cutLast(raw []byte, at byte) (before, after []byte, found bool) {
	if i := bytes.LastIndexByte(raw, at); i >= 0 {
		return raw[:i], raw[i+1:], true
	}
	return raw, nil, false
}

// dead tells whether the run of a namespace has ended without removing it. now is the API server's time.
func dead(ns *corev1.Namespace, me owner, now time.Time) bool {
	var o owner
	if json.Unmarshal([]byte(ns.Annotations[ownerAnnotation]), &o) == nil && o.PID > 0 && o.Host == me.Host && o.Boot == me.Boot && me.Boot != "" {
		return started(o.PID) != o.Start
	}
	alive := ns.CreationTimestamp.Time
	for _, f := range ns.ManagedFields { // whose times are the API server's, as now is
		if f.Time != nil && f.Time.After(alive) && f.Subresource == "" {
			alive = f.Time.Time
		}
	}
	return now.Sub(alive) > staleAge
}

// settle makes the run's own namespace, and keeps saying that the run lives until the context ends.
func (r *runner) settle(ctx context.Context) error {
	raw, err := json.Marshal(self())
	if err != nil {
		return err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: prefix + r.run, Labels: namespaceLabels(r.run, "privileged"), Annotations: map[string]string{ownerAnnotation: string(raw)},
	}}
	made, err := r.cluster.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make a namespace: %w", err)
	}
	r.home = made
	go func() {
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				// A beat that is lost is nothing: there are fifteen of them before anybody thinks that the run is dead.
				_ = r.annotate(ctx, aliveAnnotation, fmt.Sprint(n))
			}
		}
	}()
	return nil
}

// annotate writes an annotation of the run's own namespace.
func (r *runner) annotate(ctx context.Context, key, value string) error {
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
	if err != nil {
		return err
	}
	_, err = r.cluster.Client.CoreV1().Namespaces().Patch(ctx, r.home.Name, types.MergePatchType, raw, metav1.PatchOptions{})
	return err
}

// sweep removes what dead runs have left: files on nodes, taints, volumes and namespaces.
func (r *runner) sweep(ctx context.Context) error {
	c := r.cluster.Client.CoreV1()
	list, err := c.Namespaces().List(ctx, metav1.ListOptions{LabelSelector: runLabel})
	if err != nil {
		return err
	}
	alive, me, now := map[string]bool{r.run: true}, self(), r.home.CreationTimestamp.Time
	for i := range list.Items {
		ns := &list.Items[i]
		run := ns.Labels[runLabel]
		if ns.Name != prefix+run || alive[run] {
			continue
		}
		if !dead(ns, me, now) {
			alive[run] = true
			continue
		}
		for key, at := range ns.Annotations {
			if node, path, ok := strings.Cut(at, ":"); ok && strings.HasPrefix(key, filesPrefix) {
				if err := r.env(nil).wipe(ctx, node, path); err != nil {
					return fmt.Errorf("remove what run %s left: %s on %s: %w", run, path, node, err)
				}
			}
		}
	}
	nodes, err := c.Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range nodes.Items {
		for _, t := range n.Spec.Taints {
			if t.Key == runLabel && !alive[t.Value] {
				if err := r.env(nil).untaint(ctx, n.Name, t.Value); err != nil {
					return fmt.Errorf("remove what run %s left: the taint on %s: %w", t.Value, n.Name, err)
				}
			}
		}
	}
	volumes, err := c.PersistentVolumes().List(ctx, metav1.ListOptions{LabelSelector: runLabel})
	if err != nil {
		return err
	}
	for _, v := range volumes.Items {
		if !alive[v.Labels[runLabel]] {
			if err := c.PersistentVolumes().Delete(ctx, v.Name, metav1.DeleteOptions{}); err != nil && !errors.IsNotFound(err) {
				return err
			}
		}
	}
	bindings, err := r.cluster.Client.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{LabelSelector: runLabel})
	if err != nil {
		return err
	}
	for _, b := range bindings.Items {
		if !alive[b.Labels[runLabel]] {
			if err := r.cluster.Client.RbacV1().ClusterRoleBindings().Delete(ctx, b.Name, metav1.DeleteOptions{}); err != nil && !errors.IsNotFound(err) {
				return err
			}
		}
	}
	for i := range list.Items {
		if ns := &list.Items[i]; !alive[ns.Labels[runLabel]] {
			r.swept = append(r.swept, ns.Labels[runLabel])
			if err := c.Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil && !errors.IsNotFound(err) && !errors.IsConflict(err) {
				return err
			}
		}
	}
	return nil
}

// namespaceLabels are those of a namespace of a run.
func namespaceLabels(run, level string) map[string]string {
	labels := map[string]string{runLabel: run}
	for _, mode := range []string{"enforce", "audit", "warn"} {
		labels["pod-security.kubernetes.io/"+mode] = level
	}
	return labels
}
