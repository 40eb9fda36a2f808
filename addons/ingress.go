package addons

import (
	"fmt"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/pki"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

var ingress = Addon{
	Name: inventory.AddonIngress, Short: "HTTP from outside reaches Services by names",
	Images: []string{"traefik"},
	Make: func(e Env) (Parts, error) {
		in := e.Cluster.Spec.Addons.Ingress
		at := e.Cluster.Door().String()
		parts := Parts{
			Objects: traefik(e, in),
			Secrets: []Member{ingressCertificate(e.Cluster, in)},
			Ready:   rolledOut("DaemonSet", traefikNamespace, "traefik"),
		}
		for _, d := range []struct {
			scheme     string
			port, node int
		}{{"http", 80, in.HTTPPort}, {"https", 443, in.HTTPSPort}} {
			url := fmt.Sprintf("%s://%s", d.scheme, at)
			if in.Expose == inventory.ExposeNodePort {
				url = fmt.Sprintf("%s:%d", url, d.node)
			}
			parts.Doors = append(parts.Doors, Door{Name: d.scheme, URL: url})
		}
		return parts, nil
	},
}

const traefikNamespace = "traefik"

// ingressCertificate is what is shown to whoever asks for a name of which no Ingress has a certificate.
func ingressCertificate(c *inventory.Cluster, in inventory.Ingress) TLSSecret {
	s := TLSSecret{Namespace: traefikNamespace, Name: "default-certificate", CertFile: in.Certificate.CertFile, KeyFile: in.Certificate.KeyFile}
	if s.CertFile == "" {
		s.Request = pki.Request{CommonName: in.Domain, DNSNames: []string{in.Domain, "*." + in.Domain}, Usages: []pki.Usage{pki.ServerAuth}, Days: 365}
		for _, h := range c.Nodes() {
			s.Request.IPs = append(s.Request.IPs, h.Address.String())
		}
	}
	return s
}

// traefik serves Ingresses of the class traefik by its own rules, and those of the class nginx as ingress-nginx did, of which nobody takes care any more: the course's
// manifests work as they are, with the annotations that Traefik knows.
func traefik(e Env, in inventory.Ingress) []runtime.Object {
	const ns, name = traefikNamespace, "traefik"
	labels := map[string]string{"app.kubernetes.io/name": name}
	address := e.Cluster.Door().String()
	store := "tls:\n  stores:\n    default:\n      defaultCertificate: {certFile: /certificate/tls.crt, keyFile: /certificate/tls.key}\n"
	spec := corev1.PodSpec{
		ServiceAccountName: name, NodeSelector: linux(), PriorityClassName: "system-cluster-critical",
		Containers: []corev1.Container{{
			Name: name, Image: e.Image("traefik"), ImagePullPolicy: corev1.PullIfNotPresent,
			Args: []string{
				"--global.checknewversion=false", "--global.sendanonymoususage=false", "--log.level=INFO",
				"--entrypoints.web.address=:8000/tcp", "--entrypoints.websecure.address=:8443/tcp", "--entrypoints.websecure.http.tls=true",
				"--entrypoints.traefik.address=:8080/tcp", "--ping=true", "--ping.entrypoint=traefik",
				"--metrics.prometheus=true", "--metrics.prometheus.entrypoint=traefik",
				"--providers.kubernetesingress=true", "--providers.kubernetesingress.ingressclass=traefik", "--providers.kubernetesingress.ingressendpoint.ip=" + address,
				"--providers.kubernetesingressnginx=true", "--providers.kubernetesingressnginx.ingressclass=nginx", "--providers.kubernetesingressnginx.publishstatusaddress=" + address,
				"--providers.file.filename=/config/tls.yaml",
			},
			Ports: []corev1.ContainerPort{
				{Name: "web", ContainerPort: 8000, Protocol: corev1.ProtocolTCP}, {Name: "websecure", ContainerPort: 8443, Protocol: corev1.ProtocolTCP},
				{Name: "traefik", ContainerPort: 8080, Protocol: corev1.ProtocolTCP},
			},
			Resources:       requests("50m", "64Mi"),
			SecurityContext: locked(65532),
			LivenessProbe:   httpProbe("/ping", "traefik", corev1.URISchemeHTTP, 10),
			ReadinessProbe:  httpProbe("/ping", "traefik", corev1.URISchemeHTTP, 1),
			VolumeMounts: []corev1.VolumeMount{
				{Name: "config", MountPath: "/config", ReadOnly: true}, {Name: "certificate", MountPath: "/certificate", ReadOnly: true}, {Name: "tmp", MountPath: "/tmp"},
			},
		}},
		Volumes: []corev1.Volume{configVolume("config", "traefik"), secretVolume("certificate", "default-certificate"), emptyVolume("tmp")},
	}
	security := "baseline"
	front := service(ns, name, labels, port("web", 80, "web"), port("websecure", 443, "websecure"))
	if in.Expose == inventory.ExposeHostPort {
		security = "privileged" // which ports of the host ask for
		spec.Containers[0].Ports[0].HostPort, spec.Containers[0].Ports[1].HostPort = 80, 443
	} else {
		front.Spec.Type = corev1.ServiceTypeNodePort
		front.Spec.Ports[0].NodePort, front.Spec.Ports[1].NodePort = int32(in.HTTPPort), int32(in.HTTPSPort)
	}
	list := []string{"get", "list", "watch"}
	return []runtime.Object{
		namespaceObject(ns, security),
		serviceAccount(ns, name),
		clusterRole(name,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps", "namespaces", "nodes", "pods", "secrets", "services"}, Verbs: list},
			rbacv1.PolicyRule{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: list},
			rbacv1.PolicyRule{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses", "ingressclasses"}, Verbs: list},
			rbacv1.PolicyRule{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses/status"}, Verbs: []string{"update", "patch"}}),
		clusterBinding(name, name, ns, name),
		&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			Data:       map[string]string{"tls.yaml": store},
		},
		front,
		ingressClass(inventory.ClassTraefik, "traefik.io/ingress-controller", in.DefaultClass),
		ingressClass(inventory.ClassNginx, "k8s.io/ingress-nginx", in.DefaultClass),
		daemonSet(ns, name, labels, store, spec),
	}
}

func ingressClass(name, controller, preferred string) runtime.Object {
	c := &networkingv1.IngressClass{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "IngressClass"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       networkingv1.IngressClassSpec{Controller: controller},
	}
	if name == preferred {
		c.Annotations = map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}
	}
	return c
}
