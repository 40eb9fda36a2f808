package addons_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/addons"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// one returns the only object of its type.
func one[T runtime.Object](t *testing.T, objects []runtime.Object) T {
	t.Helper()
	var found []T
	for _, o := range objects {
		if x, ok := o.(T); ok {
			found = append(found, x)
		}
	}
	if len(found) != 1 {
		t.Fatalf("there are %d of %T", len(found), *new(T))
	}
	return found[0]
}

func dashboard(t *testing.T, s addons.DashboardSettings) []runtime.Object {
	t.Helper()
	s.Image = "registry.lab:5000/headlamp:x"
	objects, err := addons.Dashboard(s)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// keys names the objects.
func keys(objects []runtime.Object) (all []string) {
	for _, o := range objects {
		all = append(all, string(addons.New(o).Key()))
	}
	return all
}

func TestTheDashboardIsReachedAsAskedFor(t *testing.T) {
	ingress := &addons.DashboardIngress{Host: "dash.lab", Class: "traefik"}
	for name, row := range map[string]struct {
		s       addons.DashboardSettings
		service string // type, port's name, number and NodePort
		https   bool   // the server itself
		tls     string // the Ingress' Secret; - where there is no Ingress
	}{
		"from inside":              {addons.DashboardSettings{}, "ClusterIP http 80 0", false, "-"},
		"from inside, encrypted":   {addons.DashboardSettings{Secret: "cert"}, "ClusterIP https 443 0", true, "-"},
		"on the nodes":             {addons.DashboardSettings{NodePort: 30000, Secret: "cert"}, "NodePort https 443 30000", true, "-"},
		"on the nodes, in clear":   {addons.DashboardSettings{NodePort: 30000, Plain: true}, "NodePort http 80 30000", false, "-"},
		"by an Ingress":            {addons.DashboardSettings{Ingress: ingress, Secret: "cert"}, "ClusterIP http 80 0", false, "cert"},
		"by an Ingress, in clear":  {addons.DashboardSettings{Ingress: ingress, Plain: true}, "ClusterIP http 80 0", false, ""},
		"from inside, not shy":     {addons.DashboardSettings{Plain: true}, "ClusterIP http 80 0", false, "-"},
		"by an Ingress of default": {addons.DashboardSettings{Ingress: &addons.DashboardIngress{Host: "dash.lab"}, Secret: "cert"}, "ClusterIP http 80 0", false, "cert"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := dashboard(t, row.s)
			s := one[*corev1.Service](t, objects)
			p := s.Spec.Ports[0]
			if got := fmt.Sprint(s.Spec.Type, " ", p.Name, " ", p.Port, " ", p.NodePort); got != row.service {
				t.Errorf("the Service is %s", got)
			}
			pod := one[*appsv1.Deployment](t, objects).Spec.Template.Spec
			c := pod.Containers[0]
			if got := slices.Contains(c.Args, "--tls-cert=/etc/headlamp-tls/tls.crt"); got != row.https {
				t.Errorf("the server has a certificate: %v", got)
			}
			if got := c.ReadinessProbe.HTTPGet.Scheme == corev1.URISchemeHTTPS && c.LivenessProbe.HTTPGet.Scheme == corev1.URISchemeHTTPS; got != row.https {
				t.Errorf("it is probed by HTTPS: %v", got)
			}
			mounted := slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == row.s.Secret })
			if mounted != row.https {
				t.Errorf("the Secret is mounted: %v", mounted)
			}
			if row.tls == "-" {
				if slices.ContainsFunc(keys(objects), func(k string) bool { return strings.HasPrefix(k, "object:Ingress/") }) {
					t.Error("there is an Ingress")
				}
				return
			}
			i := one[*networkingv1.Ingress](t, objects).Spec
			if got := fmt.Sprint(i.Rules[0].Host, " ", i.Rules[0].HTTP.Paths[0].Backend.Service.Port.Name); got != "dash.lab http" {
				t.Errorf("the Ingress leads from %s", got)
			}
			if got := i.IngressClassName; (got == nil) != (row.s.Ingress.Class == "") || got != nil && *got != row.s.Ingress.Class {
				t.Errorf("its class is %v", got)
			}
			if only := one[*networkingv1.Ingress](t, objects).Annotations["traefik.ingress.kubernetes.io/router.entrypoints"]; (only == "websecure") != (row.tls != "") {
				t.Errorf("Traefik serves it at %q", only)
			}
			if row.tls == "" && i.TLS != nil || row.tls != "" && (i.TLS[0].SecretName != row.tls || i.TLS[0].Hosts[0] != "dash.lab") {
				t.Errorf("its certificate is %v", i.TLS)
			}
		})
	}
}

// The pod shows what others may see, and may see nothing itself.
func TestTheDashboardItselfHasNoRights(t *testing.T) {
	objects := dashboard(t, addons.DashboardSettings{NodePort: 30000, Secret: "cert", Admin: true})
	pod := one[*appsv1.Deployment](t, objects).Spec.Template.Spec
	if *pod.AutomountServiceAccountToken {
		t.Error("the pod has a token")
	}
	for _, v := range pod.Volumes {
		if v.Projected != nil || v.HostPath != nil {
			t.Errorf("the pod has the volume %s", v.Name)
		}
	}
	for _, o := range objects {
		if b, ok := o.(*rbacv1.ClusterRoleBinding); ok && b.Subjects[0].Name == pod.ServiceAccountName {
			t.Errorf("the pod's own account may what %s may", b.RoleRef.Name)
		}
		if a, ok := o.(*corev1.ServiceAccount); ok && (a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken) {
			t.Errorf("pods of the account %s get its token", a.Name)
		}
	}
	c := pod.Containers[0].SecurityContext
	if !*c.RunAsNonRoot || *c.RunAsUser == 0 || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) || c.Capabilities.Add != nil {
		t.Errorf("the pod may too much: %v", c)
	}
}

func TestWhoLogsInReadsUnlessMoreIsAskedFor(t *testing.T) {
	for _, admin := range []bool{false, true} {
		var granted []string
		for _, o := range dashboard(t, addons.DashboardSettings{Admin: admin}) {
			if b, ok := o.(*rbacv1.ClusterRoleBinding); ok {
				granted = append(granted, b.Subjects[0].Namespace+"/"+b.Subjects[0].Name+" "+b.RoleRef.Name)
			}
		}
		want := []string{"headlamp/headlamp-viewer headlamp-viewer", "headlamp/headlamp-viewer view"}
		if admin {
			want = append(want, "headlamp/headlamp-admin cluster-admin")
		}
		if !slices.Equal(granted, want) {
			t.Errorf("admin %v: %q", admin, granted)
		}
	}
	for _, r := range one[*rbacv1.ClusterRole](t, dashboard(t, addons.DashboardSettings{})).Rules {
		if !slices.Equal(r.Verbs, []string{"get", "list", "watch"}) || slices.Contains(r.Resources, "secrets") || slices.Contains(r.Resources, "*") {
			t.Errorf("who looks may %v", r)
		}
	}
}

func TestADashboardThatGivesTokensAwayIsRefused(t *testing.T) {
	ingress := &addons.DashboardIngress{Host: "dash.lab"}
	for want, s := range map[string]addons.DashboardSettings{
		"unencrypted":            {NodePort: 30000},
		"people log in with":     {Ingress: ingress},
		"cannot both lead to th": {Ingress: ingress, NodePort: 30000, Secret: "cert"},
	} {
		if _, err := addons.Dashboard(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
