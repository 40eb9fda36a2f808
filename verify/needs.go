package verify

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// lacks says why the cluster does not have what a check needs, or nothing where it has it. That it is there is enough: whether it works is for the check.
func (r *runner) lacks(ctx context.Context, n Need) (string, error) {
	e := r.env(nil)
	switch n {
	case Workers:
		if len(e.free()) < 2 {
			return "it needs two nodes that take any pod", nil
		}
	case Ingress:
		classes, err := e.Client.NetworkingV1().IngressClasses().List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		d, err := e.doors(ctx)
		if err != nil {
			return "", err
		}
		if len(classes.Items) == 0 && len(d.pods) == 0 {
			return "the cluster has no ingress controller", nil
		}
	case Metrics:
		err := e.Client.Discovery().RESTClient().Get().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io").Do(ctx).Error()
		if apierrors.IsNotFound(err) {
			return "the cluster has no metrics-server: nobody serves metrics.k8s.io", nil
		}
		if err != nil {
			return "", err
		}
	case Storage:
		classes, err := e.Client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		for _, c := range classes.Items {
			if c.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
				return "", nil
			}
		}
		return "the cluster has no default StorageClass", nil
	case NFS:
		if e.NFS == nil {
			return "the inventory names no NFS server", nil
		}
	case Dashboard:
		return e.absent(ctx, dashboardName, "the cluster has no dashboard")
	case Monitoring:
		return e.absent(ctx, prometheusName, "the cluster has no Prometheus")
	case Panels:
		if len(e.Queries) == 0 {
			return "there are no dashboards", nil
		}
	default:
		return "", fmt.Errorf("nobody knows what %q is", n)
	}
	return "", nil
}

func (e *Env) absent(ctx context.Context, name, why string) (string, error) {
	p, err := e.find(ctx, name, "")
	if err != nil || p != nil {
		return "", err
	}
	return why, nil
}
