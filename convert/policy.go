package convert

import (
	"encoding/json"
	"slices"
	"strings"
)

func binding(w *work, o object, from string) {
	const rbac = "rbac.authorization.k8s.io"
	if ref := sub(o, "roleRef"); ref != nil {
		if str(ref, "apiGroup") == "" {
			ref["apiGroup"] = rbac
			w.note(o, Changed, "roleRef.apiGroup", rbac, "it is required")
		}
		w.drop(ref, "roleRef", "apiVersion", "a role is named by its group")
	}
	each(list(o, "subjects"), func(i int, s object) {
		in := index("subjects", i)
		w.drop(s, in, "apiVersion", "a subject is named by its group")
		if str(s, "kind") == "User" && str(s, "name") == "*" && from == "rbac.authorization.k8s.io/v1alpha1" {
			s["kind"], s["name"] = "Group", "system:authenticated"
			w.note(o, Changed, in, "User * -> Group system:authenticated", "a name with a star meant everybody in v1alpha1, and means nobody since")
		}
		if k := str(s, "kind"); (k == "User" || k == "Group") && str(s, "apiGroup") == "" {
			s["apiGroup"] = rbac
		}
	})
}

// powerful warns of accounts that may do everything.
func powerful(w *work, o object) {
	if str(o, "roleRef", "name") != "cluster-admin" {
		return
	}
	each(list(o, "subjects"), func(i int, s object) {
		switch name := str(s, "name"); {
		case str(s, "kind") == "ServiceAccount":
			w.note(o, Warning, index("subjects", i), "the ServiceAccount "+name+" may do everything in the cluster", "whoever has its token has the cluster; the role view is enough to look")
		case str(s, "kind") == "Group" && strings.HasPrefix(name, "system:") && name != "system:masters":
			w.note(o, Warning, index("subjects", i), "everybody in "+name+" may do everything in the cluster", "name those who are meant")
		}
	})
}

// places are where resources of the group extensions are today.
var places = map[string]string{
	"deployments": "apps", "daemonsets": "apps", "replicasets": "apps", "ingresses": "networking.k8s.io", "networkpolicies": "networking.k8s.io",
}

func role(w *work, o object) {
	each(list(o, "rules"), func(i int, r object) {
		groups := list(r, "apiGroups")
		if !slices.Contains(groups, any("extensions")) {
			return
		}
		var added []string
		for _, v := range list(r, "resources") {
			name, _ := v.(string)
			base, _, _ := strings.Cut(name, "/")
			wanted := []string{places[base]}
			if base == "*" {
				wanted = []string{"apps", "networking.k8s.io"}
			}
			for _, g := range wanted {
				if g != "" && !slices.Contains(groups, any(g)) {
					groups, added = append(groups, g), append(added, g)
				}
			}
		}
		if len(added) > 0 {
			r["apiGroups"] = groups
			w.note(o, Changed, index("rules", i)+".apiGroups", "+ "+strings.Join(added, ", "), "what was in extensions is there today")
		}
	})
}

func serviceAccount(w *work, o object) {
	if len(list(o, "secrets")) > 0 {
		w.drop(o, "", "secrets", "tokens are not kept in Secrets since 1.24, and pods get one that is theirs and short; kubectl create token prints one")
	}
}

func secret(w *work, o object) {
	if str(o, "type") != "kubernetes.io/service-account-token" {
		return
	}
	w.note(o, Warning, "type", "a token that never ends", "it still works and is written into this Secret; kubectl create token "+str(o, "metadata", "annotations", "kubernetes.io/service-account.name")+" prints one that ends by itself")
	if data := sub(o, "data"); data["token"] != nil {
		w.note(o, Warning, "data.token", "a token of another cluster is in the file", "the cluster overwrites it, but the file keeps it")
	}
}

func storageClass(w *work, o object) {
	const old = "storageclass.beta.kubernetes.io/is-default-class"
	if v, ok := takeAnnotation(sub(o, "metadata"), old); ok {
		ensure(o, "metadata", "annotations")["storageclass.kubernetes.io/is-default-class"] = v
		w.note(o, Changed, "metadata.annotations["+old+"]", "-> storageclass.kubernetes.io/is-default-class", "the beta annotation is not read any more")
	}
	if p := str(o, "provisioner"); strings.HasPrefix(p, "kubernetes.io/") && p != "kubernetes.io/no-provisioner" {
		w.note(o, Warning, "provisioner", p+" is not in Kubernetes any more", "volumes of clouds and storage systems come from CSI drivers; name the driver's provisioner")
	}
}

func volume(w *work, o object) {
	spec := ensure(o, "spec")
	if str(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
		spec["persistentVolumeReclaimPolicy"] = "Retain"
		w.note(o, Changed, "spec.persistentVolumeReclaimPolicy", "Recycle -> Retain", "Recycle is deprecated, and its helper deletes everything with an image that no private registry has; Retain keeps the data, and the volume has to be freed by hand")
	}
	w.source(spec, "spec")
	w.storage(o, "")
}

func (w *work) claim(o object, in string) { w.storage(o, in) }

// storage turns the annotations that named a class into the field.
func (w *work) storage(o object, in string) {
	meta := sub(o, "metadata")
	if class, ok := takeAnnotation(meta, "volume.beta.kubernetes.io/storage-class"); ok {
		if _, there := ensure(o, "spec")["storageClassName"]; !there {
			ensure(o, "spec")["storageClassName"] = class
		}
		w.note(o, Changed, join(in, "metadata.annotations[volume.beta.kubernetes.io/storage-class]"), "-> spec.storageClassName: "+class, "")
	}
	if _, ok := takeAnnotation(meta, "volume.alpha.kubernetes.io/storage-class"); ok {
		w.note(o, Dropped, join(in, "metadata.annotations[volume.alpha.kubernetes.io/storage-class]"), "left out", "whatever it said, it meant the default class, which a claim without a class gets; for a volume that has no class write storageClassName: \"\"")
	}
	for _, a := range []string{"volume.beta.kubernetes.io/storage-provisioner", "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"} {
		if _, ok := takeAnnotation(meta, a); ok {
			w.note(o, Dropped, join(in, "metadata.annotations["+a+"]"), "left out", "it is the cluster's to write")
		}
	}
}

func definition(w *work, o object, _ string) {
	spec := ensure(o, "spec")
	w.keep(spec, "spec", "scope", "Namespaced", "the old default; it has to be said today")
	versions := list(spec, "versions")
	if len(versions) == 0 {
		versions = []any{object{"name": spec["version"], "served": true, "storage": true}}
		w.note(o, Changed, "spec.version", "-> spec.versions", "")
	}
	delete(spec, "version")
	schema := sub(spec, "validation", "openAPIV3Schema")
	keepsUnknown := spec["preserveUnknownFields"] != false
	shared := object{}
	for _, field := range []string{"additionalPrinterColumns", "subresources"} {
		if v, ok := spec[field]; ok {
			shared[field] = v
			delete(spec, field)
			w.note(o, Changed, "spec."+field, "-> each version", "")
		}
	}
	delete(spec, "validation")
	delete(spec, "preserveUnknownFields")
	each(versions, func(i int, v object) {
		in := index("spec.versions", i)
		for k, x := range shared {
			if _, ok := v[k]; ok {
				continue
			}
			v[k] = x
			if l, ok := x.([]any); ok {
				v[k] = copied(object{k: l})[k] // no two versions share one
			}
		}
		each(list(v, "additionalPrinterColumns"), func(j int, c object) {
			w.rename(c, index(in+".additionalPrinterColumns", j), "JSONPath", "jsonPath", "")
		})
		own := sub(v, "schema", "openAPIV3Schema")
		switch {
		case own == nil && schema == nil:
			own = object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
			w.note(o, Changed, in+".schema", short(own), "a schema is required; this one allows everything, as there was none: write a true one")
		case own == nil:
			own = copied(schema)
			w.note(o, Changed, in+".schema", "from spec.validation", "each version has its own")
			fallthrough
		default:
			w.keep(own, in+".schema.openAPIV3Schema", "type", "object", "a schema has to be structural; the API server says where it is not")
			if keepsUnknown {
				w.keep(own, in+".schema.openAPIV3Schema", "x-kubernetes-preserve-unknown-fields", true, "fields that the schema does not name were kept, and are pruned today")
			}
		}
		v["schema"] = object{"openAPIV3Schema": own}
	})
	spec["versions"] = versions
	if c := sub(spec, "conversion"); c != nil && c["webhookClientConfig"] != nil {
		review := c["conversionReviewVersions"]
		if review == nil {
			review = []any{"v1beta1"}
		}
		c["webhook"] = object{"clientConfig": c["webhookClientConfig"], "conversionReviewVersions": review}
		delete(c, "webhookClientConfig")
		delete(c, "conversionReviewVersions")
		w.note(o, Changed, "spec.conversion", "webhookClientConfig -> webhook.clientConfig", "")
	}
}

func copied(o object) object {
	raw, err := json.Marshal(o)
	if err != nil {
		return o
	}
	out := object{}
	if decode(string(raw), &out) != nil {
		return o
	}
	return out
}

func webhooks(w *work, o object, _ string) {
	each(list(o, "webhooks"), func(i int, h object) {
		in := index("webhooks", i)
		w.keep(h, in, "failurePolicy", "Ignore", "the old default; Fail is the default today")
		w.keep(h, in, "matchPolicy", "Exact", "the old default; Equivalent is the default today")
		w.keep(h, in, "timeoutSeconds", json.Number("30"), "the old default; 10 is the default today")
		w.keep(h, in, "admissionReviewVersions", []any{"v1beta1"}, "the old default; it has to be said today. If the webhook knows v1 too, put it first")
		if e := str(h, "sideEffects"); e != "None" && e != "NoneOnDryRun" {
			w.refuse(in+".sideEffects", "it has to be None or NoneOnDryRun, and only who wrote the webhook knows which is true; write it into the old file")
		}
	})
}
