package convert

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// templates are where the pods of a kind are.
var templates = map[string][]string{
	"Deployment": {"spec", "template"}, "ReplicaSet": {"spec", "template"}, "DaemonSet": {"spec", "template"}, "StatefulSet": {"spec", "template"},
	"ReplicationController": {"spec", "template"}, "Job": {"spec", "template"}, "CronJob": {"spec", "jobTemplate", "spec", "template"},
	"PodTemplate": {"template"}, "Pod": {},
}

// pods rewrites the pod that an object is or makes.
func (w *work) pods(o object) {
	path, ok := templates[str(o, "kind")]
	if !ok {
		return
	}
	pod := o
	if len(path) > 0 {
		pod = sub(o, path...)
	}
	spec := sub(pod, "spec")
	if spec == nil {
		return
	}
	p := podWork{work: w, meta: sub(pod, "metadata"), spec: spec, in: strings.Join(path, ".")}
	p.account()
	p.annotations()
	p.placement()
	p.volumes()
}

type podWork struct {
	*work
	meta, spec object
	in         string
}

func (p podWork) field(name string) string { return join(p.in, name) }

func (p podWork) account() {
	old, ok := p.spec["serviceAccount"].(string)
	if !ok {
		return
	}
	delete(p.spec, "serviceAccount")
	if now := str(p.spec, "serviceAccountName"); now != "" && now != old {
		p.refuse(p.field("spec.serviceAccount"), "it is "+old+", and serviceAccountName is "+now)
		return
	}
	p.spec["serviceAccountName"] = old
	p.note(p.spec, Changed, p.field("spec.serviceAccount"), "serviceAccount -> serviceAccountName", "the first name is deprecated")
}

// decode reads JSON with its numbers as they are.
func decode(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

// annotations turns what was an annotation before it was a field into that field.
func (p podWork) annotations() {
	said := func(name, where string) { // what became of an annotation
		p.note(p.spec, Changed, p.field("metadata.annotations["+name+"]"), "-> "+where, "the annotation is not read any more")
	}
	fieldOf := func(name, field string, isList bool) {
		text, ok := takeAnnotation(p.meta, name)
		if !ok {
			return
		}
		var v any
		if err := decode(text, &v); err != nil {
			p.refuse(p.field("metadata.annotations["+name+"]"), "it is not JSON: "+err.Error())
			return
		}
		if isList {
			more, _ := v.([]any)
			v = append(slices.Clone(list(p.spec, field)), more...)
		} else if p.spec[field] != nil {
			p.refuse(p.field("spec."+field), "it is there beside the annotation "+name+"; keep one of them")
			return
		}
		p.spec[field] = v
		said(name, "spec."+field)
	}
	fieldOf("scheduler.alpha.kubernetes.io/tolerations", "tolerations", true)
	fieldOf("scheduler.alpha.kubernetes.io/affinity", "affinity", false)
	// Both were written for a while, for two versions of kubelets.
	if _, both := sub(p.meta, "annotations")["pod.beta.kubernetes.io/init-containers"]; both {
		takeAnnotation(p.meta, "pod.alpha.kubernetes.io/init-containers")
	}
	for _, name := range []string{"pod.beta.kubernetes.io/init-containers", "pod.alpha.kubernetes.io/init-containers"} {
		fieldOf(name, "initContainers", true)
	}
	for _, name := range []string{"hostname", "subdomain"} {
		if v, ok := takeAnnotation(p.meta, "pod.beta.kubernetes.io/"+name); ok {
			p.spec[name] = v
			said("pod.beta.kubernetes.io/"+name, "spec."+name)
		}
	}
	if _, ok := takeAnnotation(p.meta, "scheduler.alpha.kubernetes.io/critical-pod"); ok {
		if str(p.spec, "priorityClassName") == "" {
			p.spec["priorityClassName"] = "system-cluster-critical"
		}
		said("scheduler.alpha.kubernetes.io/critical-pod", "spec.priorityClassName: "+str(p.spec, "priorityClassName"))
	}
	p.profiles()
}

// profiles turns annotations about seccomp and AppArmor into fields, of the pod or of its containers.
func (p podWork) profiles() {
	const pod, container, apparmor = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/", "container.apparmor.security.beta.kubernetes.io/"
	for _, name := range keys(sub(p.meta, "annotations")) {
		field, target, owner := "seccompProfile", object(nil), ""
		switch {
		case name == pod:
			target = p.spec
		case strings.HasPrefix(name, container):
			owner = name[len(container):]
		case strings.HasPrefix(name, apparmor):
			field, owner = "appArmorProfile", name[len(apparmor):]
		default:
			continue
		}
		in := p.field("metadata.annotations[" + name + "]")
		for _, l := range []string{"initContainers", "containers"} {
			each(list(p.spec, l), func(_ int, c object) {
				if owner != "" && str(c, "name") == owner {
					target = c
				}
			})
		}
		value, _ := takeAnnotation(p.meta, name)
		profile := profileOf(value)
		switch {
		case target == nil:
			p.refuse(in, "there is no container "+owner)
		case profile == nil:
			p.refuse(in, value+" is not a profile")
		default:
			ensure(target, "securityContext")[field] = profile
			p.note(p.spec, Changed, in, "-> securityContext."+field+": "+short(profile), "the annotation is not read any more")
		}
	}
}

func profileOf(s string) object {
	switch {
	case s == "runtime/default" || s == "docker/default":
		return object{"type": "RuntimeDefault"}
	case s == "unconfined":
		return object{"type": "Unconfined"}
	case strings.HasPrefix(s, "localhost/"):
		return object{"type": "Localhost", "localhostProfile": strings.TrimPrefix(s, "localhost/")}
	}
	return nil
}

// labels of nodes that have other names today.
var nodeLabels = map[string]string{
	"node-role.kubernetes.io/master": "node-role.kubernetes.io/control-plane", "beta.kubernetes.io/os": "kubernetes.io/os", "beta.kubernetes.io/arch": "kubernetes.io/arch",
	"beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type", "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
	"failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region", "kubeadm.alpha.kubernetes.io/role": "node-role.kubernetes.io/control-plane",
}

// taints of nodes that have other names today.
var nodeTaints = map[string]string{
	"node-role.kubernetes.io/master": "node-role.kubernetes.io/control-plane", "node.alpha.kubernetes.io/notReady": "node.kubernetes.io/not-ready",
	"node.alpha.kubernetes.io/unreachable": "node.kubernetes.io/unreachable",
}

func (p podWork) placement() {
	if selector := sub(p.spec, "nodeSelector"); selector != nil {
		for _, old := range keys(selector) {
			now := nodeLabels[old]
			if now == "" {
				continue
			}
			v := selector[old]
			if strings.HasSuffix(now, "/control-plane") {
				v = "" // what kubeadm gives it
			}
			delete(selector, old)
			selector[now] = v
			p.note(p.spec, Changed, p.field("spec.nodeSelector"), old+" -> "+now, "nodes do not have the old label")
		}
	}
	each(list(p.spec, "tolerations"), func(i int, t object) {
		if now := nodeTaints[str(t, "key")]; now != "" {
			p.note(p.spec, Changed, p.field(index("spec.tolerations", i)), str(t, "key")+" -> "+now, "nodes do not have the old taint")
			t["key"] = now
		}
	})
	p.labelsIn(sub(p.spec, "affinity"), p.field("spec.affinity"))
}

// labelsIn renames labels of nodes wherever an affinity names them.
func (p podWork) labelsIn(v any, in string) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range keys(v) {
			if s, ok := v[k].(string); ok && (k == "key" || k == "topologyKey") && nodeLabels[s] != "" {
				v[k] = nodeLabels[s]
				p.note(p.spec, Changed, join(in, k), s+" -> "+nodeLabels[s], "nodes do not have the old label")
				continue
			}
			p.labelsIn(v[k], join(in, k))
		}
	case []any:
		for i := range v {
			p.labelsIn(v[i], index(in, i))
		}
	}
}

// tokenSecret is how the cluster named the Secrets in which it kept tokens.
var tokenSecret = regexp.MustCompile(`-token-[a-z0-9]{5}$`)

func (p podWork) volumes() {
	each(list(p.spec, "volumes"), func(i int, v object) {
		in := p.field(index("spec.volumes", i))
		if v["gitRepo"] != nil {
			p.refuse(in+".gitRepo", "such volumes are off for good in 1.36, as a repository could run programs on the node: use an emptyDir, and an init container that runs git clone "+str(v, "gitRepo", "repository"))
		}
		if s := str(v, "secret", "secretName"); tokenSecret.MatchString(s) {
			p.note(p.spec, Warning, in+".secret", s+" is not made by the cluster any more", "a pod gets a token of its own below /var/run/secrets/kubernetes.io/serviceaccount; for one elsewhere use a projected volume")
		}
		for _, cloud := range []string{"awsElasticBlockStore", "azureDisk", "azureFile", "cinder", "gcePersistentDisk", "vsphereVolume", "glusterfs", "rbd", "cephfs", "flocker", "quobyte", "scaleIO", "storageos", "portworxVolume"} {
			if v[cloud] != nil {
				p.note(p.spec, Warning, in+"."+cloud, "Kubernetes itself has no such volumes any more", "they come from CSI drivers; install one, or use a PersistentVolumeClaim")
			}
		}
	})
}

func index(in string, i int) string { return in + "[" + strconv.Itoa(i) + "]" }
