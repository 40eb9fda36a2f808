package convert

import "strings"

func storageClass(w *work, o object) {
	const old = "storageclass.beta.kubernetes.io/is-default-class"
	if v, ok := takeAnnotation(sub(o, "metadata"), old); ok {
		ensure(o, "metadata", "annotations")["storageclass.kubernetes.io/is-default-class"] = v
		w.note(o, Changed, "metadata.annotations["+old+"]", "-> storageclass.kubernetes.io/is-default-class", "the beta annotation is not read any more")
	}
	if str(o, "reclaimPolicy") == "Recycle" {
		o["reclaimPolicy"] = "Retain"
		w.note(o, Changed, "reclaimPolicy", "Recycle -> Retain", "a class may say Delete or Retain; Retain keeps the data")
	}
	podWork{work: w, spec: o}.labelsIn(list(o, "allowedTopologies"), "allowedTopologies")
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
	const affinity, options = "volume.alpha.kubernetes.io/node-affinity", "volume.beta.kubernetes.io/mount-options"
	if text, ok := takeAnnotation(sub(o, "metadata"), affinity); ok {
		var v object
		if err := decode(text, &v); err != nil || sub(v, "requiredDuringSchedulingIgnoredDuringExecution") == nil {
			w.refuse("metadata.annotations["+affinity+"]", "it is not the JSON of an affinity that is required")
		} else {
			spec["nodeAffinity"] = object{"required": sub(v, "requiredDuringSchedulingIgnoredDuringExecution")}
			w.note(o, Changed, "metadata.annotations["+affinity+"]", "-> spec.nodeAffinity.required", "the annotation is not read any more")
		}
	}
	if text, ok := takeAnnotation(sub(o, "metadata"), options); ok {
		all := []any{}
		for _, one := range strings.Split(text, ",") {
			all = append(all, strings.TrimSpace(one))
		}
		spec["mountOptions"] = all
		w.note(o, Changed, "metadata.annotations["+options+"]", "-> spec.mountOptions: "+short(all), "the annotation is deprecated since 1.31")
	}
	if spec["local"] != nil && spec["nodeAffinity"] == nil {
		w.refuse("spec.nodeAffinity", "a local volume has to say on which node it is: required, kubernetes.io/hostname")
	}
	podWork{work: w, spec: spec}.labelsIn(sub(spec, "nodeAffinity"), "spec.nodeAffinity")
	if claim := sub(spec, "claimRef"); claim["uid"] != nil || claim["resourceVersion"] != nil {
		delete(claim, "uid")
		delete(claim, "resourceVersion")
		w.note(o, Dropped, "spec.claimRef.uid", "left out", "it is of another cluster's claim; the volume would wait for that one for ever")
	}
	w.source(spec, "spec")
	w.storage(o, "")
}

func (w *work) claim(o object, in string) { w.storage(o, in) }

// storage turns the annotations that named a class into the field. Where both are, the annotation is what Kubernetes reads.
func (w *work) storage(o object, in string) {
	meta := sub(o, "metadata")
	if class, ok := takeAnnotation(meta, "volume.beta.kubernetes.io/storage-class"); ok {
		what := "-> spec.storageClassName: " + class
		if was, there := sub(o, "spec")["storageClassName"]; there && was != any(class) {
			what += ", which was " + short(was)
		}
		ensure(o, "spec")["storageClassName"] = class
		w.note(o, Changed, join(in, "metadata.annotations[volume.beta.kubernetes.io/storage-class]"), what, "")
	}
	if _, ok := takeAnnotation(meta, "volume.alpha.kubernetes.io/storage-class"); ok {
		w.note(o, Dropped, join(in, "metadata.annotations[volume.alpha.kubernetes.io/storage-class]"), "left out", "whatever it said, it meant the default class, which a claim without a class gets; for a volume that has no class write storageClassName: \"\"")
	}
	for _, a := range []string{"volume.beta.kubernetes.io/storage-provisioner", "pv.kubernetes.io/bind-completed", "volume.kubernetes.io/storage-provisioner", "pv.kubernetes.io/bound-by-controller"} {
		if _, ok := takeAnnotation(meta, a); ok {
			w.note(o, Dropped, join(in, "metadata.annotations["+a+"]"), "left out", "it is the cluster's to write")
		}
	}
}
