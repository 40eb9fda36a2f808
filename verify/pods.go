package verify

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// webPort is where the pods of checks answer.
const webPort = 8080

// named is the metadata of an object that checks find by its label app.
func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: app(name)}
}

func app(name string) map[string]string { return map[string]string{"app": name} }

func selector(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: app(name)}
}

func ptr[T any](v T) *T { return &v }

// web is a container that answers every question about itself over HTTP.
func (e *Env) web() corev1.Container {
	return corev1.Container{
		Name: "web", Image: e.image("agnhost"), Args: []string{"netexec", "--http-port=8080"},
		Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: webPort}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: httpGet("/healthz"), PeriodSeconds: 1, TimeoutSeconds: 3},
	}
}

// tool is a container that runs one program of busybox.
func (e *Env) tool(name string, argv ...string) corev1.Container {
	return corev1.Container{Name: name, Image: e.image("agnhost"), Command: append([]string{"busybox"}, argv...)}
}

// idle is a container that does nothing until it is told to end, for running programs in.
func (e *Env) idle(name string) corev1.Container {
	return corev1.Container{Name: name, Image: e.image("agnhost"), Args: []string{"pause"}}
}

func httpGet(path string) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(webPort)}}
}

// podSpec is a pod that ends at once when it shall, and stays where it is when a check gives its node a taint.
func podSpec(containers ...corev1.Container) corev1.PodSpec {
	return corev1.PodSpec{
		Containers:                    containers,
		TerminationGracePeriodSeconds: ptr(int64(1)),
		EnableServiceLinks:            ptr(false),
		AutomountServiceAccountToken:  ptr(false),
		Tolerations:                   []corev1.Toleration{ours},
	}
}

// ours tolerates the taint that the check taints gives a node while others run.
var ours = corev1.Toleration{Key: runLabel, Operator: corev1.TolerationOpExists}

// everywhere tolerates every taint.
var everywhere = corev1.Toleration{Operator: corev1.TolerationOpExists}

// template makes pods with the label app.
func template(name string, spec corev1.PodSpec) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: app(name)}, Spec: spec}
}

// pod is one pod with the label app.
func pod(name string, spec corev1.PodSpec) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: named(name), Spec: spec}
}

// service is a ClusterIP Service in front of the pods with the label app.
func service(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: named(name), Spec: corev1.ServiceSpec{
		Selector: app(name), Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(webPort)}},
	}}
}
