package convert

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
