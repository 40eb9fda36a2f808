package convert

import "strings"

// oldestScaler is the autoscaler of extensions/v1beta1.
func oldestScaler(w *work, o object, from string) {
	spec := ensure(o, "spec")
	if ref := sub(spec, "scaleRef"); ref != nil {
		delete(ref, "subresource")
		w.rename(spec, "spec", "scaleRef", "scaleTargetRef", "")
	}
	if n := at(spec, "cpuUtilization", "targetPercentage"); n != nil {
		delete(spec, "cpuUtilization")
		spec["targetCPUUtilizationPercentage"] = n
		w.note(o, Changed, "spec.cpuUtilization", "-> a metric", "")
	}
	scaler(w, o, from)
}

func scaler(w *work, o object, from string) {
	spec := ensure(o, "spec")
	if ref := sub(spec, "scaleTargetRef"); ref != nil {
		w.reference(o, ref, "spec.scaleTargetRef")
	}
	var metrics []any
	if n, ok := spec["targetCPUUtilizationPercentage"]; ok {
		delete(spec, "targetCPUUtilizationPercentage")
		metrics = append(metrics, object{"type": "Resource", "resource": object{"name": "cpu", "target": object{"type": "Utilization", "averageUtilization": n}}})
		w.note(o, Changed, "spec.targetCPUUtilizationPercentage", "-> spec.metrics: cpu, "+short(n)+"% of what pods request", "v2 has a list of metrics; they come from metrics-server, as heapster is gone since 1.11")
	}
	for _, a := range []string{"autoscaling.alpha.kubernetes.io/conditions", "autoscaling.alpha.kubernetes.io/current-metrics"} {
		if _, ok := takeAnnotation(sub(o, "metadata"), a); ok {
			w.note(o, Dropped, "metadata.annotations["+a+"]", "left out", "it is the cluster's to write")
		}
	}
	if raw, ok := takeAnnotation(sub(o, "metadata"), "autoscaling.alpha.kubernetes.io/metrics"); ok {
		var more []any
		if err := decode(raw, &more); err != nil {
			w.refuse("metadata.annotations[autoscaling.alpha.kubernetes.io/metrics]", "it is not the JSON of a list of metrics")
		}
		each(more, func(i int, m object) { w.metric(m, index("spec.metrics", len(metrics)+i)) })
		metrics = append(metrics, more...)
		w.note(o, Changed, "metadata.annotations[autoscaling.alpha.kubernetes.io/metrics]", "-> spec.metrics", "")
	}
	for _, a := range keys(sub(o, "metadata", "annotations")) {
		if strings.HasPrefix(a, "alpha/") {
			takeAnnotation(sub(o, "metadata"), a)
			w.note(o, Dropped, "metadata.annotations["+a+"]", "left out", "heapster's custom metrics are gone since 1.11; such a metric is one of type Pods or External today, from an adapter that serves custom.metrics.k8s.io")
		}
	}
	if from == "autoscaling/v2beta1" || from == "autoscaling/v2alpha1" {
		each(list(spec, "metrics"), func(i int, m object) { w.metric(m, index("spec.metrics", i)) })
	}
	if len(metrics) > 0 {
		spec["metrics"] = append(metrics, list(spec, "metrics")...)
	}
	if len(list(spec, "metrics")) == 0 {
		w.note(o, Told, "spec.metrics", "it names no metric", "80% of the requested cpu is the default")
	}
}

// reference gives a reference to a workload the version that it has today.
func (w *work) reference(o, ref object, in string) {
	version, of := str(ref, "apiVersion"), str(ref, "kind")
	m, ok := moves()[version+" "+of]
	if !ok {
		if now, _, _ := strings.Cut(today(of), " "); now != "" && !known(version, of) && own(version) {
			ref["apiVersion"] = now
			w.note(o, Changed, in+".apiVersion", now, "a "+of+" is found by its group today")
		}
		return
	}
	to, kind, other := strings.Cut(m.to, " ")
	w.note(o, Changed, in, str(ref, "apiVersion")+" "+str(ref, "kind")+" -> "+m.to, "it is converted with the rest")
	ref["apiVersion"] = to
	if other {
		ref["kind"] = kind
	}
}

// metric writes a metric of v2beta1 in the form of v2.
func (w *work) metric(m object, in string) {
	take := func(from object, field string) any { v := from[field]; delete(from, field); return v }
	kind := str(m, "type")
	field := strings.ToLower(kind[:min(1, len(kind))]) + kind[min(1, len(kind)):]
	source := sub(m, field)
	if source == nil || sub(source, "target", "type") != nil || str(source, "target", "type") != "" {
		return
	}
	target := object{}
	for _, f := range []struct{ old, kind, now string }{
		{"targetAverageUtilization", "Utilization", "averageUtilization"}, {"targetAverageValue", "AverageValue", "averageValue"},
		{"averageValue", "AverageValue", "averageValue"}, {"targetValue", "Value", "value"},
	} {
		if v := take(source, f.old); v != nil {
			target["type"], target[f.now] = f.kind, v
		}
	}
	if name := take(source, "metricName"); name != nil {
		metric := object{"name": name}
		for _, s := range []string{"selector", "metricSelector"} {
			if v := take(source, s); v != nil {
				metric["selector"] = v
			}
		}
		source["metric"] = metric
	}
	if field == "object" {
		if described := sub(source, "target"); described != nil {
			w.reference(m, described, in+".object.describedObject")
			source["describedObject"] = described
		}
	}
	if len(target) == 0 {
		w.refuse(in, "it names no target value: "+short(m))
	}
	source["target"] = target
	w.note(m, Changed, in, short(m), "v2 keeps a metric and its target apart")
}
