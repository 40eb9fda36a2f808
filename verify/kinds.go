package verify

import (
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// object is what checks make and look at.
type object interface {
	runtime.Object
	metav1.Object
}

// kind is where the API has the objects of a kind.
type kind struct {
	empty      func() object
	client     func(kubernetes.Interface) rest.Interface
	resource   string
	namespaced bool
}

func core(c kubernetes.Interface) rest.Interface        { return c.CoreV1().RESTClient() }
func apps(c kubernetes.Interface) rest.Interface        { return c.AppsV1().RESTClient() }
func batch(c kubernetes.Interface) rest.Interface       { return c.BatchV1().RESTClient() }
func networking(c kubernetes.Interface) rest.Interface  { return c.NetworkingV1().RESTClient() }
func rbac(c kubernetes.Interface) rest.Interface        { return c.RbacV1().RESTClient() }
func discovery(c kubernetes.Interface) rest.Interface   { return c.DiscoveryV1().RESTClient() }
func autoscaling(c kubernetes.Interface) rest.Interface { return c.AutoscalingV2().RESTClient() }

// kinds are those that checks use.
var kinds = map[reflect.Type]kind{}

func init() {
	for _, k := range []kind{
		{func() object { return &corev1.Pod{} }, core, "pods", true},
		{func() object { return &corev1.Service{} }, core, "services", true},
		{func() object { return &corev1.ConfigMap{} }, core, "configmaps", true},
		{func() object { return &corev1.Secret{} }, core, "secrets", true},
		{func() object { return &corev1.ServiceAccount{} }, core, "serviceaccounts", true},
		{func() object { return &corev1.PersistentVolumeClaim{} }, core, "persistentvolumeclaims", true},
		{func() object { return &corev1.Namespace{} }, core, "namespaces", false},
		{func() object { return &corev1.Node{} }, core, "nodes", false},
		{func() object { return &corev1.PersistentVolume{} }, core, "persistentvolumes", false},
		{func() object { return &appsv1.Deployment{} }, apps, "deployments", true},
		{func() object { return &appsv1.ReplicaSet{} }, apps, "replicasets", true},
		{func() object { return &appsv1.DaemonSet{} }, apps, "daemonsets", true},
		{func() object { return &appsv1.StatefulSet{} }, apps, "statefulsets", true},
		{func() object { return &batchv1.Job{} }, batch, "jobs", true},
		{func() object { return &batchv1.CronJob{} }, batch, "cronjobs", true},
		{func() object { return &rbacv1.ClusterRoleBinding{} }, rbac, "clusterrolebindings", false},
		{func() object { return &networkingv1.Ingress{} }, networking, "ingresses", true},
		{func() object { return &discoveryv1.EndpointSlice{} }, discovery, "endpointslices", true},
		{func() object { return &autoscalingv2.HorizontalPodAutoscaler{} }, autoscaling, "horizontalpodautoscalers", true},
	} {
		kinds[reflect.TypeOf(k.empty())] = k
	}
}

// kindOf is the kind of an object, or of a nil pointer to one.
func kindOf(o object) kind {
	k, ok := kinds[reflect.TypeOf(o)]
	if !ok {
		panic(fmt.Sprintf("verify: no check uses a %T", o))
	}
	return k
}

// request begins a request about objects of the kind in a namespace, which is ignored where the kind has none.
func (k kind) in(namespace string, r *rest.Request) *rest.Request {
	if k.namespaced {
		r = r.Namespace(namespace)
	}
	return r.Resource(k.resource)
}
