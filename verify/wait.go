package verify

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
)

// selection is which objects of a kind are watched.
type selection struct{ namespace, labels, fields string }

func (s selection) options() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: s.labels, FieldSelector: s.fields}
}

// lackingError is a wait that has ended: what was lacking at the end says more than that the time is over.
type lackingError struct {
	what, lacks string
	cause       error
}

func (e *lackingError) Error() string {
	if e.lacks == "" {
		return fmt.Sprintf("%s: %v", e.what, e.cause)
	}
	return fmt.Sprintf("%s: %s (%v)", e.what, e.lacks, e.cause)
}

func (e *lackingError) Unwrap() error { return e.cause }

// until watches objects until nothing is lacking, and returns them as they are then. lacks is asked about all of them at once, first about those that
// are there at the beginning.
func until[T object](ctx context.Context, c kubernetes.Interface, s selection, what string, lacks func([]T) string) ([]T, error) {
	var last string
	for {
		all, missing, err := watchOnce(ctx, c, s, lacks)
		if err == nil && missing == "" {
			return all, nil
		}
		if missing != "" {
			last = missing
		}
		if ctx.Err() != nil {
			return all, &lackingError{what, last, context.Cause(ctx)}
		}
		if err != nil && !gone(err) {
			return all, &lackingError{what, last, err}
		}
		select { // the API server closed the watch; it may do so again
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// gone tells whether a watch ended for a reason after which one begins again.
func gone(err error) bool {
	return errors.IsResourceExpired(err) || errors.IsGone(err) || errors.IsTimeout(err)
}

// watchOnce lists and then watches, until nothing is lacking or the watch ends.
func watchOnce[T object](ctx context.Context, c kubernetes.Interface, s selection, lacks func([]T) string) (all []T, missing string, err error) {
	var zero T
	kind := kindOf(zero)
	client := kind.client(c)
	options := s.options()
	list, err := kind.in(s.namespace, client.Get()).VersionedParams(&options, scheme.ParameterCodec).Do(ctx).Get()
	if err != nil {
		return nil, "", err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, "", err
	}
	for _, o := range items {
		all = append(all, o.(T))
	}
	if missing = lacks(all); missing == "" {
		return all, "", nil
	}
	at, err := meta.ListAccessor(list)
	if err != nil {
		return all, missing, err
	}
	options.ResourceVersion, options.Watch = at.GetResourceVersion(), true
	w, err := kind.in(s.namespace, client.Get()).VersionedParams(&options, scheme.ParameterCodec).Watch(ctx)
	if err != nil {
		return all, missing, err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return all, missing, errors.FromObject(e.Object)
		}
		o, ok := e.Object.(T)
		if !ok {
			continue
		}
		all = change(all, o, e.Type == watch.Deleted)
		if missing = lacks(all); missing == "" {
			return all, "", nil
		}
	}
	return all, missing, nil
}

// change is the objects after one of them came, changed or went.
func change[T object](all []T, o T, deleted bool) []T {
	out := make([]T, 0, len(all)+1)
	for _, x := range all {
		if x.GetUID() != o.GetUID() {
			out = append(out, x)
		}
	}
	if !deleted {
		out = append(out, o)
	}
	return out
}

// await watches one object until nothing is lacking.
func await[T object](ctx context.Context, e *Env, name string, lacks func(T) string) (T, error) {
	var found T
	_, err := until(ctx, e.Client, selection{namespace: e.Namespace, fields: "metadata.name=" + name}, name, func(all []T) string {
		if len(all) == 0 {
			return "it does not exist"
		}
		found = all[0]
		return lacks(found)
	})
	return found, err
}

// awaitGone waits until the object of that name is not there.
func awaitGone[T object](ctx context.Context, e *Env, name string) error {
	_, err := until(ctx, e.Client, selection{namespace: e.Namespace, fields: "metadata.name=" + name}, name, func(all []T) string {
		if len(all) > 0 {
			return "it is still there"
		}
		return ""
	})
	return err
}

// awaitAll watches the objects with these labels until nothing is lacking.
func awaitAll[T object](ctx context.Context, e *Env, labels string, lacks func([]T) string) ([]T, error) {
	return until(ctx, e.Client, selection{namespace: e.Namespace, labels: labels}, labels, lacks)
}

// ready tells whether a pod is Ready.
func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}
