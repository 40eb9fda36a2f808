package convert

import "slices"

// selector sees to it that a workload selects its own pods, as apps/v1 requires; older versions took the selector from the template.
func selector(w *work, o object) {
	spec := ensure(o, "spec")
	if o["spec"] != nil && sub(o, "spec") == nil {
		return // refused for what it is
	}
	labels := sub(spec, "template", "metadata", "labels")
	if len(labels) == 0 {
		w.refuse("spec.template.metadata.labels", "the pods have no labels, so nothing can select them; give them some")
		return
	}
	for _, k := range keys(labels) {
		if labels[k] == nil {
			w.refuse("spec.template.metadata.labels", k+` has no value; write ""`)
			return
		}
	}
	if p := str(spec, "template", "spec", "restartPolicy"); p != "" && p != "Always" {
		w.refuse("spec.template.spec.restartPolicy", "it is "+p+", and has to be Always: what ends is a Job")
	}
	s := sub(spec, "selector")
	if len(s) == 0 && (spec["selector"] == nil || s != nil) {
		spec["selector"] = object{"matchLabels": copied(labels)}
		w.note(o, Changed, "spec.selector", short(spec["selector"]), "it is required, and was taken from the template's labels; it cannot be changed later")
		return
	}
	if flat(s) {
		s = object{"matchLabels": s}
		spec["selector"] = s
		w.note(o, Changed, "spec.selector", short(s), "labels alone are the form of a ReplicationController")
	}
	for _, k := range keys(sub(s, "matchLabels")) {
		want, _ := sub(s, "matchLabels")[k].(string)
		if have, ok := labels[k].(string); !ok || have != want {
			w.refuse("spec.selector.matchLabels", "it selects "+k+"="+short(sub(s, "matchLabels")[k])+", which the pods of the template do not have")
		}
	}
	each(list(s, "matchExpressions"), func(i int, e object) {
		have, there := labels[str(e, "key")].(string)
		among := slices.Contains(list(e, "values"), any(have))
		if op := str(e, "operator"); op == "In" && (!there || !among) || op == "NotIn" && there && among || op == "Exists" && !there || op == "DoesNotExist" && there {
			w.refuse(index("spec.selector.matchExpressions", i), short(e)+" does not select the pods of the template")
		}
	})
}

// oldest checks the selector of a ReplicationController, which is labels alone and may be left out.
func oldest(w *work, o object) {
	w.note(o, Told, "", "a ReplicationController still works", "a Deployment can do rolling updates; kubectl rolling-update is gone since 1.18")
	s := sub(o, "spec", "selector")
	for _, k := range keys(s) {
		if have, want := at(o, "spec", "template", "metadata", "labels", k), s[k]; short(have) != short(want) {
			w.refuse("spec.selector", "it selects "+k+"="+short(want)+", which the pods of the template do not have")
		}
	}
}

// flat says whether a selector is labels and nothing else, as that of a ReplicationController or a Service.
func flat(s object) bool {
	for _, v := range s {
		if _, ok := v.(string); !ok {
			return false
		}
	}
	return len(s) > 0
}
