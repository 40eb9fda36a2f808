package convert

// slice is an EndpointSlice of before v1: where an endpoint is was a map of labels.
func slice(w *work, o object, _ string) {
	if at(o, "addressType") == "IP" {
		w.refuse("addressType", "it is IP, which was left to the reader; write IPv4 or IPv6")
	}
	each(list(o, "endpoints"), func(i int, e object) {
		in := index("endpoints", i)
		topology := sub(e, "topology")
		for _, m := range []struct{ label, field string }{{"kubernetes.io/hostname", "nodeName"}, {"topology.kubernetes.io/zone", "zone"}} {
			v, ok := topology[m.label]
			if !ok {
				continue
			}
			delete(topology, m.label)
			if e[m.field] == nil {
				e[m.field] = v
			}
			w.note(o, Changed, in+".topology["+m.label+"]", "-> "+m.field, "v1 has fields for the node and the zone")
		}
		if len(topology) == 0 {
			delete(e, "topology")
			return
		}
		w.rename(e, in, "topology", "deprecatedTopology", "nothing reads other labels")
	})
}

func request(w *work, o object, _ string) {
	if str(o, "spec", "signerName") == "" {
		w.refuse("spec.signerName", "it is required, and only who asks knows whom: kubernetes.io/kube-apiserver-client for a user, kubernetes.io/kubelet-serving for a node. "+
			"What was signed without one (kubernetes.io/legacy-unknown) no API takes any more; for a server of yours name a signer of yours, or sign it with a CA of yours")
	}
	w.keep(ensure(o, "spec"), "spec", "usages", []any{"digital signature", "key encipherment"}, "the old default; they have to be said today")
}

func runtimeClass(w *work, o object, from string) {
	spec := sub(o, "spec")
	if from != "node.k8s.io/v1alpha1" || spec == nil {
		return
	}
	delete(o, "spec")
	for now, old := range map[string]string{"handler": "runtimeHandler", "overhead": "overhead", "scheduling": "scheduling"} {
		if v, ok := spec[old]; ok {
			o[now] = v
			delete(spec, old)
		}
	}
	if len(spec) > 0 {
		o["spec"] = spec // refused for what it is
	}
	w.note(o, Changed, "spec", "-> handler", "the object has no spec any more")
}
