package convert

import (
	"encoding/json"
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
	p.critical(str(o, "metadata", "namespace"))
	p.account()
	p.annotations()
	p.profiles()
	p.placement()
	p.volumes()
	p.containers()
	p.security(str(o, "metadata", "namespace"))
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
	// Servers of 1.6 and 1.7 wrote both annotations beside the field, for two ages of kubelets.
	for _, name := range []string{"pod.beta.kubernetes.io/init-containers", "pod.alpha.kubernetes.io/init-containers"} {
		if len(list(p.spec, "initContainers")) == 0 {
			fieldOf(name, "initContainers", true)
		} else if _, ok := takeAnnotation(p.meta, name); ok {
			p.note(p.spec, Dropped, p.field("metadata.annotations["+name+"]"), "left out", "spec.initContainers is there")
		}
	}
	for _, a := range []struct{ name, field string }{
		{"pod.beta.kubernetes.io/hostname", "hostname"}, {"pod.beta.kubernetes.io/subdomain", "subdomain"}, {"scheduler.alpha.kubernetes.io/name", "schedulerName"},
	} {
		if v, ok := takeAnnotation(p.meta, a.name); ok {
			if str(p.spec, a.field) == "" {
				p.spec[a.field] = v
			}
			said(a.name, "spec."+a.field+": "+str(p.spec, a.field))
		}
	}
	for _, name := range []string{"security.alpha.kubernetes.io/sysctls", "security.alpha.kubernetes.io/unsafe-sysctls"} {
		text, ok := takeAnnotation(p.meta, name)
		if !ok {
			continue
		}
		security := ensure(p.spec, "securityContext")
		for _, one := range strings.Split(text, ",") {
			k, v, ok := strings.Cut(one, "=")
			if !ok {
				p.refuse(p.field("metadata.annotations["+name+"]"), one+" is no name=value")
			}
			security["sysctls"] = append(list(security, "sysctls"), object{"name": k, "value": v})
		}
		said(name, "spec.securityContext.sysctls")
		if strings.Contains(name, "unsafe") {
			p.note(p.spec, Warning, p.field("spec.securityContext.sysctls"), text, "a kubelet takes a pod with unsafe ones only if it is told so (allowedUnsafeSysctls)")
		}
	}
	for _, name := range []string{"pod.beta.kubernetes.io/init-container-statuses", "pod.alpha.kubernetes.io/init-container-statuses", "kubernetes.io/created-by", "kubernetes.io/limit-ranger"} {
		if _, ok := takeAnnotation(p.meta, name); ok {
			p.note(p.spec, Dropped, p.field("metadata.annotations["+name+"]"), "left out", "it is the cluster's to write")
		}
	}
}

// critical turns the annotation of critical pods into a priority. It was heeded in the system's namespace only.
func (p podWork) critical(namespace string) {
	const name = "scheduler.alpha.kubernetes.io/critical-pod"
	if _, ok := takeAnnotation(p.meta, name); !ok {
		return
	}
	if namespace != "kube-system" {
		p.note(p.spec, Dropped, p.field("metadata.annotations["+name+"]"), "left out", "it was heeded in the namespace kube-system only; if this goes there, write priorityClassName: system-cluster-critical")
		return
	}
	if str(p.spec, "priorityClassName") == "" {
		p.spec["priorityClassName"] = "system-cluster-critical"
	}
	p.note(p.spec, Changed, p.field("metadata.annotations["+name+"]"), "-> spec.priorityClassName: "+str(p.spec, "priorityClassName"), "the annotation is not read any more")
}

func index(in string, i int) string { return in + "[" + strconv.Itoa(i) + "]" }
