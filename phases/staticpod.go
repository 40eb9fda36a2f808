package phases

import (
	"maps"
	"slices"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// staticPod is a component of the control plane as the kubelet runs it, in kubeadm's shape.
type staticPod struct {
	name, image, command, why string
	flags                     map[string]string
	annotations               map[string]string // that kubeadm's tools look for
	reads                     [][]byte          // what it reads when it starts, beside its flags
	dirs, files               map[string]string // volume name: host path
	write                     []string          // volumes that are not read-only
	probe                     probe
	cpu, memory               string
	as                        agent.Account // whom it runs as; zero is root
}

type probe struct {
	scheme, host string // host defaults to loopback
	port         int
	live, ready  string
}

func (l *list) pod(p staticPod) {
	pod := p.manifest()
	// As with units, the process carries the digest of what it was started from, so that a probe can tell it from the one before.
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: ops.InputsVar, Value: p.inputs()}}
	content, err := yaml.Marshal(pod)
	l.fail(err)
	l.add(p.why, private(manifests+"/"+p.name+".yaml", content))
}

func (p staticPod) inputs() string {
	content, err := yaml.Marshal(p.manifest())
	if err != nil {
		panic(err) // API types encode
	}
	return digestOf(append([][]byte{content}, p.reads...)...)
}

func (p staticPod) manifest() *corev1.Pod {
	c := corev1.Container{
		Name: p.name, Image: p.image, ImagePullPolicy: corev1.PullIfNotPresent,
		Command:   append([]string{p.command}, args(p.flags)...),
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(p.cpu)}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		// The first answer counts, so the start is looked at every second; kubeadm looks every ten.
		StartupProbe:  p.probe.check(p.probe.live, 1, 240),
		LivenessProbe: p.probe.check(p.probe.live, 10, 8),
	}
	if p.memory != "" {
		c.Resources.Requests[corev1.ResourceMemory] = resource.MustParse(p.memory)
	}
	if p.probe.ready != "" {
		c.ReadinessProbe = p.probe.check(p.probe.ready, 1, 3)
	}
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: p.name, Namespace: metav1.NamespaceSystem,
			Labels: map[string]string{"component": p.name, "tier": "control-plane"}, Annotations: p.annotations,
		},
		Spec: corev1.PodSpec{
			HostNetwork: true, PriorityClassName: "system-node-critical", Priority: new(int32(2000001000)),
			SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		},
	}
	if p.as != (agent.Account{}) {
		pod.Spec.SecurityContext.RunAsUser, pod.Spec.SecurityContext.RunAsGroup = new(int64(p.as.UID)), new(int64(p.as.GID))
		pod.Spec.SecurityContext.RunAsNonRoot = new(true)
	}
	mount := func(volumes map[string]string, kind corev1.HostPathType) {
		for _, name := range slices.Sorted(maps.Keys(volumes)) {
			pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: volumes[name], Type: &kind},
			}})
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{
				Name: name, MountPath: volumes[name], ReadOnly: !slices.Contains(p.write, name),
			})
		}
	}
	mount(p.dirs, corev1.HostPathDirectory)
	mount(p.files, corev1.HostPathFile)
	pod.Spec.Containers = []corev1.Container{c}
	return pod
}

func (p probe) check(path string, period, failures int32) *corev1.Probe {
	host := p.host
	if host == "" {
		host = "127.0.0.1"
	}
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Host: host, Path: path, Port: intstr.FromInt32(int32(p.port)), Scheme: corev1.URIScheme(p.scheme),
		}},
		PeriodSeconds: period, TimeoutSeconds: 15, FailureThreshold: failures,
	}
}
