package convert

import "encoding/json"

func petSet(w *work, o object, from string) {
	if _, ok := takeAnnotation(sub(o, "metadata"), "pod.alpha.kubernetes.io/initialized"); ok {
		w.note(o, Dropped, "metadata.annotations[pod.alpha.kubernetes.io/initialized]", "left out", "it was a debugging aid of PetSet")
	}
	if _, ok := takeAnnotation(sub(o, "spec", "template", "metadata"), "pod.alpha.kubernetes.io/initialized"); ok {
		w.note(o, Dropped, "spec.template.metadata.annotations[pod.alpha.kubernetes.io/initialized]", "left out", "it was a debugging aid of PetSet: a pod without it was never followed by the next")
	}
	w.keep(ensure(o, "spec"), "spec", "podManagementPolicy", "OrderedReady", "pods were always made in order; it is the default today as well")
	statefulSet(w, o, from)
}

func statefulSet(w *work, o object, from string) {
	spec := ensure(o, "spec")
	if str(spec, "serviceName") == "" {
		w.note(o, Warning, "spec.serviceName", "it names no headless Service", "without one the pods have no DNS names of their own")
	}
	if from != "apps/v1beta2" {
		w.keep(ensure(spec, "updateStrategy"), "spec.updateStrategy", "type", "OnDelete", "the old default: pods changed when they were deleted; RollingUpdate is the default today")
	}
}

func daemonSet(w *work, o object, from string) {
	spec := ensure(o, "spec")
	w.drop(spec, "spec", "templateGeneration", "revisions are objects of their own")
	if from == "extensions/v1beta1" {
		w.keep(ensure(spec, "updateStrategy"), "spec.updateStrategy", "type", "OnDelete", "the old default: pods changed when they were deleted; RollingUpdate is the default today")
	}
}

func deployment(w *work, o object, from string) {
	spec := ensure(o, "spec")
	w.drop(spec, "spec", "rollbackTo", "kubectl rollout undo does this")
	if str(spec, "strategy", "type") == "Recreate" {
		w.drop(sub(spec, "strategy"), "spec.strategy", "rollingUpdate", "Recreate takes all pods away first")
	}
	if from == "extensions/v1beta1" {
		if str(spec, "strategy", "type") != "Recreate" {
			rolling := ensure(spec, "strategy", "rollingUpdate")
			w.keep(rolling, "spec.strategy.rollingUpdate", "maxSurge", json.Number("1"), "the old default; 25% is the default today")
			w.keep(rolling, "spec.strategy.rollingUpdate", "maxUnavailable", json.Number("1"), "the old default; 25% is the default today")
		}
		if _, ok := spec["progressDeadlineSeconds"]; !ok {
			w.note(o, Told, "spec.progressDeadlineSeconds", "a rollout counts as failed after 600 s without progress", "there was no such limit")
		}
	}
	if _, ok := spec["revisionHistoryLimit"]; !ok && from != "apps/v1beta2" {
		old := "2 were kept"
		if from == "extensions/v1beta1" {
			old = "all were kept"
		}
		w.note(o, Told, "spec.revisionHistoryLimit", "10 old ReplicaSets are kept for rolling back", old)
	}
}

func oldJob(w *work, o object, _ string) {
	w.drop(ensure(o, "spec"), "spec", "autoSelector", "a Job selects its pods by itself")
}

func budget(w *work, o object, _ string) {
	spec := ensure(o, "spec")
	if s, ok := spec["selector"].(map[string]any); ok && len(s) == 0 {
		delete(spec, "selector")
		w.note(o, Dropped, "spec.selector", "left out", "empty, it selected no pod; in policy/v1 it would select all of them")
	}
}

func claims(w *work, o object) {
	each(list(o, "spec", "volumeClaimTemplates"), func(i int, c object) { w.claim(c, index("spec.volumeClaimTemplates", i)) })
}
