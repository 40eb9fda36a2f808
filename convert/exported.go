package convert

import "strings"

// exported leaves out what a cluster wrote into an object, and what kubectl get -o yaml therefore has: it is true of that cluster only, or there is no such field
// any more.
func (w *work) exported(o object) {
	meta := sub(o, "metadata")
	for _, f := range []struct{ field, why string }{
		{"resourceVersion", "it is another cluster's; an object that has one is refused"},
		{"uid", "it is another cluster's"},
		{"selfLink", "it is not read any more"},
		{"generation", "it is the cluster's to write"},
		{"clusterName", "there is no such field any more"},
		{"initializers", "they are gone since 1.14"},
		{"managedFields", "it is the cluster's to write"},
		{"ownerReferences", "the owner is another cluster's, and what belongs to none that is there is deleted at once"},
	} {
		if v, ok := meta[f.field]; ok && (v != nil && v != "" || f.field == "clusterName" || f.field == "initializers") {
			w.drop(meta, "metadata", f.field, f.why)
		}
	}
	if v, _ := meta["creationTimestamp"].(string); v != "" {
		w.drop(meta, "metadata", "creationTimestamp", "it is the cluster's to write")
	}
	for _, a := range keys(sub(meta, "annotations")) {
		why := ""
		switch {
		case a == "kubectl.kubernetes.io/last-applied-configuration":
			why = "it is the old object once more; kubectl apply writes it anew"
		case a == "kubernetes.io/created-by", strings.HasPrefix(a, "deployment.kubernetes.io/"), a == "deprecated.daemonset.template.generation", a == "control-plane.alpha.kubernetes.io/leader":
			why = "it is the cluster's to write"
		default:
			continue
		}
		takeAnnotation(meta, a)
		w.note(o, Dropped, "metadata.annotations["+a+"]", "left out", why)
	}
}
