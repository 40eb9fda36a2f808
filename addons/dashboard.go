package addons

import (
	"errors"
	"fmt"

	"github.com/kubewright/kubewright/inventory"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// What the dashboard is called in the cluster.
const (
	DashboardNamespace = "headlamp"
	DashboardViewer    = "headlamp-viewer" // the ServiceAccount that people log in as; it reads
	DashboardAdmin     = "headlamp-admin"  // the one that may do everything, where it is asked for
)

var dashboard = Addon{
	Name: inventory.AddonDashboard, Short: "the cluster can be looked at in a browser",
	Images: []string{"headlamp"},
	Make: func(e Env) (Parts, error) {
		in := e.Cluster.Spec.Addons.Dashboard
		const secret = "headlamp-tls"
		certificate := TLSSecret{Namespace: DashboardNamespace, Name: secret, Request: serviceCertificate("headlamp", DashboardNamespace)}
		s := DashboardSettings{Image: e.Image("headlamp"), Secret: secret, Admin: in.Admin}
		door := Door{Name: "page", Login: "kubewright dashboard token"}
		if in.Host != "" {
			s.Ingress = &DashboardIngress{Host: in.Host, Class: inventory.ClassTraefik}
			certificate.Request.DNSNames = append(certificate.Request.DNSNames, in.Host)
			door.URL = "https://" + in.Host
			if set := e.Cluster.Spec.Addons.Ingress; set.Expose == inventory.ExposeNodePort {
				door.URL = fmt.Sprintf("%s:%d", door.URL, set.HTTPSPort)
			}
		} else {
			s.NodePort = int32(in.NodePort)
			for _, h := range e.Cluster.Nodes() {
				certificate.Request.IPs = append(certificate.Request.IPs, h.Address.String())
			}
			door.URL = fmt.Sprintf("https://%s:%d", e.Cluster.Door().String(), in.NodePort)
		}
		objects, err := Dashboard(s)
		if err != nil {
			return Parts{}, err
		}
		return Parts{
			Objects: objects, Secrets: []Member{certificate}, Ready: rolledOut("Deployment", DashboardNamespace, "headlamp"), Doors: []Door{door},
		}, nil
	},
}

// DashboardSettings is what the dashboard's objects are made from.
type DashboardSettings struct {
	Image    string
	NodePort int32             // on every node; none, if 0
	Ingress  *DashboardIngress // none, if nil
	// Secret is the Secret, of type kubernetes.io/tls in the dashboard's namespace, with the certificate: of the Ingress where there is one,
	// else of the dashboard itself. Without it the dashboard speaks HTTP.
	Secret string
	Plain  bool // tokens may cross the network unencrypted
	Admin  bool // there is an account that may do everything
}

// DashboardIngress is how an Ingress leads to the dashboard.
type DashboardIngress struct{ Host, Class string }

var (
	errTwoWays   = errors.New("a NodePort and an Ingress cannot both lead to the dashboard")
	errClearText = errors.New("without a certificate the tokens that people log in with would cross the network unencrypted")
)

// Dashboard shows the cluster in a browser. Its pod has no rights at all: everything is asked with the token of whoever has logged in.
func Dashboard(s DashboardSettings) ([]runtime.Object, error) {
	const ns, name = DashboardNamespace, "headlamp"
	switch {
	case s.NodePort != 0 && s.Ingress != nil:
		return nil, errTwoWays
	case (s.NodePort != 0 || s.Ingress != nil) && s.Secret == "" && !s.Plain:
		return nil, errClearText
	}
	labels := map[string]string{"app.kubernetes.io/name": name}
	own := s.Secret // the certificate that the server has itself
	if s.Ingress != nil {
		own = ""
	}
	front := service(ns, name, labels, port("http", 80, "web"))
	if own != "" {
		front.Spec.Ports[0] = port("https", 443, "web")
	}
	front.Spec.Type = corev1.ServiceTypeClusterIP
	if s.NodePort != 0 {
		front.Spec.Type, front.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, s.NodePort
	}
	objects := []runtime.Object{
		namespaceObject(ns, "restricted"),
		withoutToken(serviceAccount(ns, name)),
		deployment(ns, name, labels, own, 1, appsv1.DeploymentStrategy{}, dashboardPod(s.Image, name, own)),
		front,
	}
	if s.Ingress != nil {
		objects = append(objects, dashboardIngress(*s.Ingress, s.Secret))
	}
	return append(objects, dashboardAccounts(s.Admin)...), nil
}

// withoutToken keeps an account's token from pods that do not ask for it.
func withoutToken(a *corev1.ServiceAccount) *corev1.ServiceAccount {
	a.AutomountServiceAccountToken = new(false)
	return a
}

func dashboardPod(image, account, secret string) corev1.PodSpec {
	const nobody = 65534
	scheme := corev1.URISchemeHTTP
	if secret != "" {
		scheme = corev1.URISchemeHTTPS
	}
	server := corev1.Container{
		Name: "headlamp", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Ports:           []corev1.ContainerPort{{Name: "web", ContainerPort: 4466, Protocol: corev1.ProtocolTCP}},
		Resources:       requests("10m", "32Mi"),
		SecurityContext: locked(nobody),
		LivenessProbe:   httpProbe("/healthz", "web", scheme, 10),
		ReadinessProbe:  httpProbe("/healthz", "web", scheme, 2),
		VolumeMounts:    []corev1.VolumeMount{{Name: "api-ca", MountPath: "/etc/headlamp", ReadOnly: true}},
	}
	// Every namespace has this ConfigMap: the API server's authority comes from there, since the pod has no token to come with it.
	volumes := []corev1.Volume{configVolume("api-ca", "kube-root-ca.crt")}
	if secret != "" {
		server.Args = []string{"--tls-cert=/etc/headlamp-tls/tls.crt", "--tls-key=/etc/headlamp-tls/tls.key"}
		server.VolumeMounts = append(server.VolumeMounts, corev1.VolumeMount{Name: "tls", MountPath: "/etc/headlamp-tls", ReadOnly: true})
		tls := secretVolume("tls", secret)
		tls.Secret.DefaultMode = new(int32(0o440)) // of the group, which is the pod's
		volumes = append(volumes, tls)
	}
	return corev1.PodSpec{
		ServiceAccountName: account, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false), NodeSelector: linux(),
		SecurityContext: &corev1.PodSecurityContext{FSGroup: new(int64(nobody))},
		Containers:      []corev1.Container{server}, Volumes: volumes,
	}
}

func dashboardIngress(i DashboardIngress, secret string) *networkingv1.Ingress {
	o := &networkingv1.Ingress{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{Namespace: DashboardNamespace, Name: "headlamp"},
		Spec: networkingv1.IngressSpec{
			Rules: []networkingv1.IngressRule{{Host: i.Host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{
					Path: "/", PathType: new(networkingv1.PathTypePrefix),
					Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "headlamp", Port: networkingv1.ServiceBackendPort{Name: "http"}}},
				}},
			}}}},
		},
	}
	if i.Class != "" {
		o.Spec.IngressClassName = &i.Class
	}
	if secret != "" {
		o.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{i.Host}, SecretName: secret}}
		o.Annotations = map[string]string{"traefik.ingress.kubernetes.io/router.entrypoints": "websecure"} // and not by HTTP as well
	}
	return o
}

// dashboardAccounts are who people log in as. The role view leaves out what belongs to no namespace; the dashboard's first page shows nodes.
func dashboardAccounts(admin bool) []runtime.Object {
	read := func(group string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch"}}
	}
	account := func(name string) runtime.Object { return withoutToken(serviceAccount(DashboardNamespace, name)) } // for people, not for pods
	objects := []runtime.Object{
		account(DashboardViewer),
		clusterRole(DashboardViewer,
			read("", "nodes", "persistentvolumes"),
			read("storage.k8s.io", "storageclasses", "volumeattributesclasses"),
			read("networking.k8s.io", "ingressclasses"),
			read("scheduling.k8s.io", "priorityclasses"),
			read("node.k8s.io", "runtimeclasses"),
			read("apiextensions.k8s.io", "customresourcedefinitions")),
		clusterBinding(DashboardViewer, DashboardViewer, DashboardNamespace, DashboardViewer),
		clusterBinding(DashboardViewer+"-view", "view", DashboardNamespace, DashboardViewer),
	}
	if admin {
		objects = append(objects, account(DashboardAdmin), clusterBinding(DashboardAdmin, "cluster-admin", DashboardNamespace, DashboardAdmin))
	}
	return objects
}
