package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Options say how checks are run.
type Options struct {
	Parallel int           // how many at a time; 6 where it is 0
	Timeout  time.Duration // of each check; its own where it is 0
	Ended    func(Result)  // called as each check ends, one at a time
}

const (
	defaultParallel = 6
	defaultTimeout  = 90 * time.Second
	cleanupTime     = 60 * time.Second // for putting back, also after an interrupt
)

// runner is one run of checks.
type runner struct {
	cluster Cluster
	options Options
	run     string
	home    *corev1.Namespace // the run's own
	nodes   []Node
	hands   *hands
	lacking map[Need]string
	swept   []string // dead runs whose namespaces are being deleted

	mu      sync.Mutex
	results map[string]Result
}

// Run runs the checks side by side and removes afterwards whatever they made. The error tells what kept it from running them, or what could not be
// removed; a check that fails is in the report. When the context ends checks end too, and what they made is removed nevertheless.
func Run(ctx context.Context, c Cluster, checks []Check, options Options) (Report, error) {
	if options.Parallel == 0 {
		options.Parallel = defaultParallel
	}
	began := time.Now()
	r := &runner{cluster: c, options: options, run: newRun(), results: map[string]Result{}}
	alive, stop := context.WithCancel(ctx)
	defer stop()
	report := func(err error) (Report, error) {
		return r.report(checks, time.Since(began)), err
	}
	if _, err := c.Image("agnhost"); err != nil {
		return report(fmt.Errorf("every check needs the image agnhost: %w", err))
	}
	if err := r.settle(alive); err != nil {
		return report(err)
	}
	err := r.learn(alive, checks)
	if err == nil {
		r.all(alive, checks)
	}
	stop()
	cleaning, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), cleanupTime, errors.New("it took too long"))
	defer cancel()
	if left := r.leave(cleaning); left != nil {
		err = errors.Join(err, fmt.Errorf("something is left in the cluster, which the next verify removes: %w", left))
	}
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return report(err)
}

// learn looks at the nodes and at what the cluster has, and removes what dead runs left.
func (r *runner) learn(ctx context.Context, checks []Check) error {
	list, err := r.cluster.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		r.nodes = append(r.nodes, nodeOf(&list.Items[i]))
	}
	slices.SortFunc(r.nodes, func(a, b Node) int { return compare(a.Name, b.Name) })
	r.hands = &hands{ctx: ctx, home: r.home.Name}
	if err := r.account(ctx, r.home.Name); err != nil {
		return err
	}
	sweeping, cancel := context.WithTimeoutCause(ctx, cleanupTime, errors.New("it took too long"))
	defer cancel()
	if err := r.sweep(sweeping); err != nil {
		return err
	}
	r.lacking = map[Need]string{}
	for _, c := range checks {
		for _, n := range c.Needs {
			if _, asked := r.lacking[n]; asked {
				continue
			}
			if r.lacking[n], err = r.lacks(ctx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// all runs the checks, so many at a time. Those that take long begin first.
func (r *runner) all(ctx context.Context, checks []Check) {
	queue := slices.Clone(checks)
	slices.SortStableFunc(queue, func(a, b Check) int {
		switch {
		case a.Slow == b.Slow:
			return 0
		case a.Slow:
			return -1
		}
		return 1
	})
	slots := make(chan struct{}, r.options.Parallel)
	var wg sync.WaitGroup
	for _, c := range queue {
		if why := r.skips(c); why != "" {
			r.ended(Result{Name: c.Name, Short: c.Short, Result: Skipped, Error: why})
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			r.ended(r.one(ctx, c))
		})
	}
	wg.Wait()
}

// skips says why a check cannot be run here.
func (r *runner) skips(c Check) string {
	for _, n := range c.Needs {
		if why := r.lacking[n]; why != "" {
			return why
		}
	}
	for _, name := range c.Images {
		if _, err := r.cluster.Image(name); err != nil {
			return err.Error()
		}
	}
	return ""
}

func (r *runner) ended(x Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[x.Name] = x
	if r.options.Ended != nil {
		r.options.Ended(x)
	}
}

// one runs one check in a namespace of its own, and puts back what it changed elsewhere. The namespace is deleted, and awaited only at the end of the run.
func (r *runner) one(ctx context.Context, c Check) Result {
	began := time.Now()
	var backs []func(context.Context) error
	var mu sync.Mutex
	e := r.env(func(back func(context.Context) error) { mu.Lock(); defer mu.Unlock(); backs = append(backs, back) })
	e.Namespace = r.home.Name + "-" + c.Name
	within := r.options.Timeout
	if within == 0 {
		within = c.Within
	}
	if within == 0 {
		within = defaultTimeout
	}
	err := func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not within %s", within))
		defer cancel()
		if err := r.namespace(ctx, e.Namespace, c.Level); err != nil {
			return err
		}
		return c.Run(ctx, e)
	}()
	took := time.Since(began)
	cleaning, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), cleanupTime, errors.New("it took too long"))
	defer cancel()
	for _, back := range slices.Backward(backs) {
		if left := back(cleaning); left != nil {
			err = errors.Join(err, fmt.Errorf("what the check changed could not be put back: %w", left))
		}
	}
	if left := r.drop(cleaning, e.Namespace); left != nil {
		err = errors.Join(err, fmt.Errorf("its namespace cannot be deleted: %w", left))
	}
	x := Result{Name: c.Name, Short: c.Short, Result: Passed, Seconds: took.Round(time.Millisecond).Seconds(), Evidence: e.evidence()}
	if err != nil {
		x.Result, x.Error, x.Remedy = Failed, err.Error(), c.Remedy
		if ctx.Err() != nil {
			x.Result, x.Remedy = Interrupted, ""
		}
	}
	return x
}

// env is what a check works with, or whoever tidies up.
func (r *runner) env(undo func(func(context.Context) error)) *Env {
	if undo == nil {
		undo = func(func(context.Context) error) {}
	}
	return &Env{Cluster: r.cluster, Namespace: r.home.Name, Run: r.run, Nodes: r.nodes, hands: r.hands, undo: undo, note: r.annotate}
}

// namespace makes a namespace and waits until pods can be made in it.
func (r *runner) namespace(ctx context.Context, name, level string) error {
	if level == "" {
		level = "baseline"
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: namespaceLabels(r.run, level)}}
	if _, err := r.cluster.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make a namespace: %w", err)
	}
	return r.account(ctx, name)
}

// account waits for the namespace's ServiceAccount, without which no pod is admitted.
func (r *runner) account(ctx context.Context, namespace string) error {
	within, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("not within 30s"))
	defer cancel()
	_, err := until(within, r.cluster.Client, selection{namespace: namespace, fields: "metadata.name=default"}, "the ServiceAccount default of a new namespace",
		func(all []*corev1.ServiceAccount) string {
			if len(all) == 0 {
				return "the controller manager has not made it"
			}
			return ""
		})
	return err
}

func (r *runner) drop(ctx context.Context, namespace string) error {
	err := r.cluster.Client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// leave removes the run's own namespace last, and waits until all of the run's are gone.
func (r *runner) leave(ctx context.Context) error {
	gone := func(lacks func(string) bool) error {
		_, err := until(ctx, r.cluster.Client, selection{labels: fmt.Sprintf("%s in (%s)", runLabel, strings.Join(append(r.swept, r.run), ","))}, "the run's namespaces", func(all []*corev1.Namespace) string {
			for _, ns := range all {
				if lacks(ns.Name) {
					return ns.Name + " is being deleted" + conditionOf(ns)
				}
			}
			return ""
		})
		return err
	}
	err := gone(func(name string) bool { return name != r.home.Name })
	if err != nil {
		return err
	}
	if err := r.drop(ctx, r.home.Name); err != nil {
		return err
	}
	if err := gone(func(string) bool { return true }); err != nil {
		return err
	}
	// What was claimed in them goes a moment later: who made a volume removes it.
	_, err = until(ctx, r.cluster.Client, selection{}, "the run's volumes", func(all []*corev1.PersistentVolume) string {
		for _, v := range all {
			if of := v.Spec.ClaimRef; of != nil && strings.HasPrefix(of.Namespace, r.home.Name) && v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
				return fmt.Sprintf("%s is %s", v.Name, v.Status.Phase)
			}
		}
		return ""
	})
	return err
}

// conditionOf says what keeps a namespace from going.
func conditionOf(ns *corev1.Namespace) string {
	for _, c := range ns.Status.Conditions {
		if c.Status == corev1.ConditionTrue && c.Message != "" {
			return ": " + c.Message
		}
	}
	return ""
}
