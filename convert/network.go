package convert

import (
	"encoding/json"
	"strconv"
	"strings"
)

func ingress(w *work, o object, _ string) {
	spec := ensure(o, "spec")
	class, ok := takeAnnotation(sub(o, "metadata"), "kubernetes.io/ingress.class")
	switch {
	case ok && class == "":
		w.note(o, Dropped, "metadata.annotations[kubernetes.io/ingress.class]", "left out", "it names no class; the cluster's default IngressClass takes the Ingress, if there is one")
	case ok:
		if str(spec, "ingressClassName") == "" && class != "" {
			spec["ingressClassName"] = class
		}
		w.note(o, Changed, "metadata.annotations[kubernetes.io/ingress.class]", "-> spec.ingressClassName: "+str(spec, "ingressClassName"), "the annotation is not read any more by all controllers")
	case str(spec, "ingressClassName") == "":
		w.note(o, Told, "spec.ingressClassName", "it names no class", "the cluster's default IngressClass takes it, if there is one")
	}
	w.ingressAnnotations(o)
	if b := sub(spec, "backend"); b != nil {
		delete(spec, "backend")
		spec["defaultBackend"] = b
		w.note(o, Changed, "spec.backend", "backend -> defaultBackend", "")
		w.backend(b, "spec.defaultBackend")
	}
	each(list(spec, "rules"), func(i int, r object) {
		each(list(r, "http", "paths"), func(j int, p object) {
			in := index(index("spec.rules", i)+".http.paths", j)
			if b := sub(p, "backend"); b != nil {
				w.backend(b, in+".backend")
			}
			if str(p, "pathType") != "" {
				return
			}
			kind, why := "ImplementationSpecific", "it is required; this leaves the meaning of the path to the controller, as before"
			if path := str(p, "path"); path == "" || path == "/" {
				kind, why = "Prefix", "it is required; the whole host was meant"
				p["path"] = "/"
			}
			p["pathType"] = kind
			w.note(o, Changed, in+".pathType", kind, why)
		})
	})
}

// backend writes a Service's name and port in the form of v1.
func (w *work) backend(b object, in string) {
	name, port := str(b, "serviceName"), b["servicePort"]
	switch {
	case b["serviceName"] == nil && port == nil:
		return // of a resource, or as it is today
	case name == "":
		w.refuse(in+".serviceName", "it names no Service; a name such as y or 5 is written in quotes")
		return
	}
	delete(b, "serviceName")
	delete(b, "servicePort")
	to := object{}
	switch p := port.(type) {
	case json.Number:
		to["number"] = p
	case string:
		if _, err := strconv.Atoi(p); err == nil {
			to["number"] = json.Number(p)
		} else {
			to["name"] = p
		}
	}
	if len(to) == 0 {
		w.refuse(in+".servicePort", "it names no port of the Service "+name)
		return
	}
	b["service"] = object{"name": name, "port": to}
	w.note(b, Changed, in, "serviceName, servicePort -> service: "+short(b["service"]), "")
}

func service(w *work, o object) {
	const name = "service.alpha.kubernetes.io/tolerate-unready-endpoints"
	spec := ensure(o, "spec")
	if v, ok := takeAnnotation(sub(o, "metadata"), name); ok {
		if v == "true" {
			spec["publishNotReadyAddresses"] = true
		}
		w.note(o, Changed, "metadata.annotations["+name+"]", "-> spec.publishNotReadyAddresses: "+v, "the annotation is not read any more")
	}
	for _, stage := range []string{"alpha", "beta"} {
		traffic, port := "service."+stage+".kubernetes.io/external-traffic", "service."+stage+".kubernetes.io/healthcheck-nodeport"
		if v, ok := takeAnnotation(sub(o, "metadata"), traffic); ok {
			now := map[string]string{"OnlyLocal": "Local", "Global": "Cluster"}[v]
			if spec["externalTrafficPolicy"] = now; now == "" {
				w.refuse("metadata.annotations["+traffic+"]", v+" is neither OnlyLocal nor Global")
			}
			w.note(o, Changed, "metadata.annotations["+traffic+"]", "-> spec.externalTrafficPolicy: "+now, "the annotation is not read any more")
		}
		if v, ok := takeAnnotation(sub(o, "metadata"), port); ok {
			spec["healthCheckNodePort"] = json.Number(v)
			w.note(o, Changed, "metadata.annotations["+port+"]", "-> spec.healthCheckNodePort: "+v, "the annotation is not read any more")
		}
	}
	if len(list(spec, "externalIPs")) > 0 {
		w.note(o, Warning, "spec.externalIPs", short(spec["externalIPs"])+" are refused by kubewright's clusters, and deprecated", "whoever makes such a Service takes traffic to any address; use a NodePort or an Ingress")
	}
}

// oldAnnotations of Ingresses are read by no controller of today, or otherwise.
var oldAnnotations = []struct{ prefix, why string }{
	{"ingress.kubernetes.io/", "it was of controllers before 2018; what nginx reads begins with nginx.ingress.kubernetes.io/"},
	{"traefik.frontend.", "Traefik reads it no more since 2.0; its middlewares took its place"},
	{"traefik.backend.", "Traefik reads it no more since 2.0; its services took its place"},
	{"traefik.ingress.kubernetes.io/rule-type", "Traefik reads it no more since 2.0; its middlewares, or the path's pathType, took its place"},
	{"traefik.ingress.kubernetes.io/frontend-entry-points", "Traefik reads traefik.ingress.kubernetes.io/router.entrypoints since 2.2"},
	{"traefik.ingress.kubernetes.io/redirect-", "Traefik reads it no more since 2.0; its middlewares took its place"},
	{"certmanager.k8s.io/", "cert-manager reads cert-manager.io/ since 0.11"},
}

func (w *work) ingressAnnotations(o object) {
	all := sub(o, "metadata", "annotations")
	for _, name := range keys(all) {
		for _, old := range oldAnnotations {
			if strings.HasPrefix(name, old.prefix) {
				w.note(o, Warning, "metadata.annotations["+name+"]", "it is not read any more", old.why)
			}
		}
	}
	const rewrite = "nginx.ingress.kubernetes.io/rewrite-target"
	target, ok := all[rewrite].(string)
	each(list(o, "spec", "rules"), func(i int, r object) {
		each(list(r, "http", "paths"), func(j int, p object) {
			if path := str(p, "path"); ok && !strings.Contains(target, "$") && len(path) > 1 {
				w.note(o, Warning, "metadata.annotations["+rewrite+"]", "everything below "+path+" becomes "+target, "until 0.22 what followed the path was kept; today the path is "+strings.TrimSuffix(path, "/")+"(/|$)(.*), the target /$2, and nginx.ingress.kubernetes.io/use-regex \"true\"")
			}
		})
	})
}
