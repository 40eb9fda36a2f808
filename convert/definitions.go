package convert

import (
	"slices"
	"strings"
)

func definition(w *work, o object, _ string) {
	spec := ensure(o, "spec")
	w.keep(spec, "spec", "scope", "Namespaced", "the old default; it has to be said today")
	versions := list(spec, "versions")
	if len(versions) == 0 && str(spec, "version") != "" {
		versions = []any{object{"name": spec["version"], "served": true, "storage": true}}
		w.note(o, Changed, "spec.version", "-> spec.versions", "")
	}
	if len(versions) == 0 {
		w.refuse("spec.versions", "it names no version")
	}
	if plural, group := str(spec, "names", "plural"), str(spec, "group"); str(o, "metadata", "name") != plural+"."+group {
		w.refuse("metadata.name", "it has to be spec.names.plural and spec.group: "+plural+"."+group)
	}
	const approved = "api-approved.kubernetes.io"
	if g := str(spec, "group"); (strings.HasSuffix(g, ".k8s.io") || strings.HasSuffix(g, ".kubernetes.io")) && str(o, "metadata", "annotations", approved) == "" {
		ensure(o, "metadata", "annotations")[approved] = "unapproved, of before it was asked for"
		w.note(o, Kept, "metadata.annotations["+approved+"]", "unapproved", "a group below k8s.io has to say whether Kubernetes' project approved it")
	}
	delete(spec, "version")
	schema := sub(spec, "validation", "openAPIV3Schema")
	s := structural{w, spec["preserveUnknownFields"] != false}
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
		for k, x := range copied(shared) { // no two versions share one
			if _, ok := v[k]; !ok {
				v[k] = x
			}
		}
		each(list(v, "additionalPrinterColumns"), func(j int, c object) {
			w.rename(c, index(in+".additionalPrinterColumns", j), "JSONPath", "jsonPath", "")
		})
		own := sub(v, "schema", "openAPIV3Schema")
		switch {
		case own == nil && schema == nil:
			own = object{"type": "object", keepAll: true}
			w.note(o, Changed, in+".schema", short(own), "a schema is required; this one allows everything, as there was none: write a true one")
		case own == nil:
			own = copied(schema)
			w.note(o, Changed, in+".schema", "from spec.validation", "each version has its own")
			fallthrough
		default:
			s.root(own, in+".schema.openAPIV3Schema")
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
		w.note(o, Changed, "spec.conversion", "webhookClientConfig -> webhook.clientConfig", "")
	}
	if c := sub(spec, "conversion"); c != nil {
		delete(c, "webhookClientConfig")
		delete(c, "conversionReviewVersions")
	}
	w.only(spec, "spec", "group names scope versions conversion")
	w.only(sub(spec, "names"), "spec.names", "plural singular kind listKind shortNames categories")
	each(versions, func(i int, v object) {
		w.only(v, index("spec.versions", i), "name served storage schema subresources additionalPrinterColumns deprecated deprecationWarning")
	})
}

// root is the schema of a whole object. Its metadata is Kubernetes' own, and only names may be asked for there.
func (s structural) root(o object, in string) {
	s.keep(o, in, "type", "object", "a schema is one of an object")
	meta := sub(o, "properties", "metadata")
	if meta != nil {
		delete(sub(o, "properties"), "metadata")
	}
	s.node(o, in)
	if s.keeps {
		s.note(o, Kept, in+"."+keepAll, "true, of every object in it", "fields that the schema does not name were kept, and are pruned today")
	}
	if meta != nil {
		sub(o, "properties")["metadata"] = object{"type": "object"}
		if len(sub(meta, "properties")) > 0 || len(list(meta, "required")) > 0 {
			s.note(o, Dropped, in+".properties.metadata", "its schema is left out", "Kubernetes checks metadata itself")
		}
	}
}

// only refuses fields that are not among those of 1.36, of kinds whose types we do not have.
func (w *work) only(o object, in, fields string) {
	for _, k := range keys(o) {
		if !slices.Contains(strings.Fields(fields), k) {
			w.refuse(in+"."+k, "1.36 has no such field")
		}
	}
}

func apiService(w *work, o object, _ string) {
	w.only(sub(o, "spec"), "spec", "group version service caBundle insecureSkipTLSVerify groupPriorityMinimum versionPriority")
	w.only(sub(o, "spec", "service"), "spec.service", "name namespace port")
	if str(o, "spec", "version")+"."+str(o, "spec", "group") != str(o, "metadata", "name") {
		w.refuse("metadata.name", "it has to be spec.version and spec.group: "+str(o, "spec", "version")+"."+str(o, "spec", "group"))
	}
	w.keep(ensure(o, "spec"), "spec", "groupPriorityMinimum", 1000, "it is required")
	w.keep(ensure(o, "spec"), "spec", "versionPriority", 15, "it is required")
}
