package convert

import (
	"encoding/json"
	"slices"
	"strings"
)

func webhooks(w *work, o object, _ string) {
	each(list(o, "webhooks"), func(i int, h object) {
		in := index("webhooks", i)
		w.keep(h, in, "failurePolicy", "Ignore", "the old default; Fail is the default today")
		w.keep(h, in, "matchPolicy", "Exact", "the old default; Equivalent is the default today")
		w.keep(h, in, "timeoutSeconds", json.Number("30"), "the old default; 10 is the default today")
		w.keep(h, in, "admissionReviewVersions", []any{"v1beta1"}, "the old default; it has to be said today. If the webhook knows v1 too, put it first")
		each(list(h, "rules"), func(j int, r object) { w.webhookRule(r, index(in+".rules", j)) })
		if e := str(h, "sideEffects"); e != "None" && e != "NoneOnDryRun" {
			w.refuse(in+".sideEffects", "it has to be None or NoneOnDryRun, and only who wrote the webhook knows which is true; write it into the old file")
		}
	})
}

// webhookRule adds where the objects of an old rule are today: matched exactly, as they were, they would pass the webhook by.
func (w *work) webhookRule(r object, in string) {
	groups, versions := list(r, "apiGroups"), list(r, "apiVersions")
	wasGroups, wasVersions := len(groups), len(versions)
	if slices.Contains(versions, any("*")) && !slices.Contains(groups, any("extensions")) {
		return
	}
	for _, v := range list(r, "resources") {
		name, _ := v.(string)
		name, _, _ = strings.Cut(name, "/")
		moved := places[name]
		if moved == "" || !slices.Contains(groups, any("extensions")) && !slices.Contains(groups, any(moved)) || slices.Contains(versions, any("v1")) && slices.Contains(groups, any(moved)) {
			continue
		}
		if !slices.Contains(groups, any(moved)) {
			groups = append(groups, moved)
		}
		if !slices.Contains(versions, any("v1")) && !slices.Contains(versions, any("*")) {
			versions = append(versions, "v1")
		}
	}
	if len(groups) > wasGroups || len(versions) > wasVersions {
		r["apiGroups"], r["apiVersions"] = groups, versions
		w.note(r, Changed, in, short(object{"apiGroups": groups, "apiVersions": versions}), "the objects are of these groups and versions today; see that the webhook knows them")
	}
}
