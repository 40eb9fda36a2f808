package verify

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var namespaces = Check{
	Name: "namespaces", Short: "the four namespaces that every cluster has are there", Remedy: "kubectl get namespaces; the API server makes them at its start",
	Run: func(ctx context.Context, e *Env) error {
		four := []string{metav1.NamespaceDefault, corev1.NamespaceNodeLease, metav1.NamespacePublic, metav1.NamespaceSystem}
		for _, name := range four {
			ns, err := e.Client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if ns.Status.Phase != corev1.NamespaceActive {
				return fmt.Errorf("the namespace %s is %s", name, ns.Status.Phase)
			}
		}
		e.Saw("%s are Active", strings.Join(four, ", "))
		return nil
	},
}
