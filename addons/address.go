package addons

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
)

// addressTaken tells whether the API server refuses a Service because somebody has its address.
func addressTaken(o *unstructured.Unstructured, err error) bool {
	return o.GetKind() == "Service" && errors.IsInvalid(err) && strings.Contains(err.Error(), "already allocated")
}

// freeAddress gives back the address of a Service that was never made. The API server takes the address first, as an object of its own (KEP-1880); where
// the request ended in between, as one does whose sender is killed, nobody has the address, and the server's own repair comes only after minutes. Where
// another Service has it, the error says which.
func freeAddress(ctx context.Context, c kubernetes.Interface, service *unstructured.Unstructured) error {
	name, _, _ := unstructured.NestedString(service.Object, "spec", "clusterIP")
	held, err := c.NetworkingV1().IPAddresses().Get(ctx, name, metav1.GetOptions{})
	if errors.IsNotFound(err) { // by now
		return nil
	}
	if err != nil {
		return err
	}
	of := held.Spec.ParentRef
	if of == nil || of.Namespace != service.GetNamespace() || of.Name != service.GetName() {
		holder := "nobody knows whom"
		if of != nil {
			holder = "the Service " + of.Namespace + "/" + of.Name
		}
		return fmt.Errorf("the address %s is taken by %s; give that another one, or change spec.network.serviceCIDR", name, holder)
	}
	_, err = c.CoreV1().Services(of.Namespace).Get(ctx, of.Name, metav1.GetOptions{})
	if !errors.IsNotFound(err) {
		return err
	}
	err = c.NetworkingV1().IPAddresses().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &held.UID}})
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
