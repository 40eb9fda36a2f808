package convert

import "encoding/json"

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
