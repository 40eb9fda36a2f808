package convert

import (
	"regexp"
	"slices"
	"strings"
)

// programs of the time that ask APIs which are gone, by a part of their image's name. They start, and do nothing that is of use.
var programs = []struct {
	image *regexp.Regexp
	why   string
}{
	{regexp.MustCompile(`(^|/)heapster(-[a-z0-9]+)?(:|@|$)`), "nothing reads heapster since 1.13; autoscalers and kubectl top ask metrics-server (the addon metrics-server)"},
	{regexp.MustCompile(`(^|/)(kubernetes-)?dashboard(-[a-z0-9]+)?:v?[12]\.`), "it was made for APIs of its time, and its project has ended; Headlamp took its place (the addon dashboard)"},
	{regexp.MustCompile(`(^|/)nginx-ingress-controller(-[a-z0-9]+)?[:@]`), "it reads Ingresses of versions that are gone, and its project has ended; the addon ingress serves the class nginx too"},
	{regexp.MustCompile(`(^|/)traefik:v?1\.`), "it reads Ingresses of extensions/v1beta1 only; the addon ingress is Traefik of today"},
	{regexp.MustCompile(`(^|/)kube-lego`), "it reads Ingresses of extensions/v1beta1 only; cert-manager took its place"},
	{regexp.MustCompile(`(^|/)tiller[:@]`), "Helm 3 has no server any more"},
	{regexp.MustCompile(`(^|/)nfs-client-provisioner[:@]`), "it needs selfLinks, which are gone since 1.24; nfs-subdir-external-provisioner took its place, and the addon storage makes volumes of NFS exports"},
	{regexp.MustCompile(`(^|/)(k8s-dns-kube-dns|kubedns)(-[a-z0-9]+)?[:@]`), "the cluster has CoreDNS, under the same Service's name and address"},
}

func (p podWork) containers() {
	for _, l := range []string{"initContainers", "containers"} {
		each(list(p.spec, l), func(i int, c object) {
			in := p.field(index("spec."+l, i))
			image := str(c, "image")
			if strings.Contains(image, "{{") || strings.Contains(image, "${") {
				p.refuse(in+".image", "it is a template: "+image+"; render it first")
			}
			for _, old := range programs {
				if old.image.MatchString(image) {
					p.note(p.spec, Warning, in+".image", image+" is of no use today", old.why)
				}
			}
			if strings.HasPrefix(image, "k8s.gcr.io/") || strings.HasPrefix(image, "gcr.io/google_containers/") || strings.HasPrefix(image, "gcr.io/google-containers/") {
				p.note(p.spec, Warning, in+".image", image+" is of a registry that was given up", "what is left of it is at registry.k8s.io; have it in your own registry, and look for a version of today")
			}
			for _, r := range []string{"limits", "requests"} {
				p.rename(sub(c, "resources", r), in+".resources."+r, "alpha.kubernetes.io/nvidia-gpu", "nvidia.com/gpu", "devices are counted by plugins since 1.8")
			}
		})
	}
}

// security says what of a pod Pod Security's level baseline does not allow. Kubewright's clusters hold every namespace but the system's to it.
func (p podWork) security(namespace string) {
	if namespace == "kube-system" || namespace == "kube-flannel" { // which are exempt
		return
	}
	var asks []string
	add := func(yes bool, what string) {
		if yes && !slices.Contains(asks, what) {
			asks = append(asks, what)
		}
	}
	for _, f := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		add(p.spec[f] == true, f)
	}
	each(list(p.spec, "volumes"), func(_ int, v object) { add(v["hostPath"] != nil, "hostPath") })
	for _, l := range []string{"initContainers", "containers"} {
		each(list(p.spec, l), func(_ int, c object) {
			add(at(c, "securityContext", "privileged") == true, "privileged")
			each(list(c, "ports"), func(_ int, port object) { add(port["hostPort"] != nil, "hostPort") })
		})
	}
	if len(asks) > 0 {
		p.note(p.spec, Told, p.field("spec"), "it asks for "+strings.Join(asks, ", "), "Pod Security's level baseline, which kubewright's clusters enforce, refuses that, unless the namespace has the label pod-security.kubernetes.io/enforce: privileged")
	}
}
