package convert

import (
	"slices"
	"strings"
)

func binding(w *work, o object, from string) {
	const rbac = "rbac.authorization.k8s.io"
	if ref := sub(o, "roleRef"); ref != nil {
		if str(ref, "apiGroup") == "" {
			ref["apiGroup"] = rbac
			w.note(o, Changed, "roleRef.apiGroup", rbac, "it is required")
		}
		w.drop(ref, "roleRef", "apiVersion", "a role is named by its group")
	}
	each(list(o, "subjects"), func(i int, s object) {
		in := index("subjects", i)
		w.drop(s, in, "apiVersion", "a subject is named by its group")
		if str(s, "kind") == "User" && str(s, "name") == "*" && from == "rbac.authorization.k8s.io/v1alpha1" {
			s["kind"], s["name"] = "Group", "system:authenticated"
			w.note(o, Changed, in, "User * -> Group system:authenticated", "a name with a star meant everybody in v1alpha1, and means nobody since")
		}
		if str(s, "kind") == "ServiceAccount" && str(s, "namespace") == "" {
			w.refuse(in+".namespace", "it is missing, and there is a ServiceAccount "+str(s, "name")+" in any namespace that has one; name it")
		}
		if k := str(s, "kind"); (k == "User" || k == "Group") && str(s, "apiGroup") == "" {
			s["apiGroup"] = rbac
		}
	})
}

// powerful warns of accounts that may do everything.
func powerful(w *work, o object) {
	if str(o, "roleRef", "name") != "cluster-admin" {
		return
	}
	each(list(o, "subjects"), func(i int, s object) {
		switch name := str(s, "name"); {
		case str(s, "kind") == "ServiceAccount":
			w.note(o, Warning, index("subjects", i), "the ServiceAccount "+name+" may do everything in the cluster", "whoever has its token has the cluster; the role view is enough to look")
		case str(s, "kind") == "Group" && strings.HasPrefix(name, "system:") && name != "system:masters":
			w.note(o, Warning, index("subjects", i), "everybody in "+name+" may do everything in the cluster", "name those who are meant")
		}
	})
}

// places are where resources of the group extensions are today.
var places = map[string]string{
	"deployments": "apps", "daemonsets": "apps", "replicasets": "apps", "ingresses": "networking.k8s.io", "networkpolicies": "networking.k8s.io",
	"statefulsets": "apps", "horizontalpodautoscalers": "autoscaling", "jobs": "batch", "cronjobs": "batch",
}

func role(w *work, o object) {
	each(list(o, "rules"), func(i int, r object) {
		for _, v := range list(r, "resources") {
			if v == any("podsecuritypolicies") || v == any("thirdpartyresources") || v == any("podpresets") {
				w.note(o, Told, index("rules", i), v.(string)+" are gone", "the rule allows nothing of them, and harms nothing")
			}
		}
		groups := list(r, "apiGroups")
		if !slices.Contains(groups, any("extensions")) {
			return
		}
		var added []string
		for _, v := range list(r, "resources") {
			name, _ := v.(string)
			base, _, _ := strings.Cut(name, "/")
			wanted := []string{places[base]}
			if base == "*" {
				wanted = []string{"apps", "networking.k8s.io", "autoscaling", "batch"}
			}
			for _, g := range wanted {
				if g != "" && !slices.Contains(groups, any(g)) {
					groups, added = append(groups, g), append(added, g)
				}
			}
		}
		if len(added) > 0 {
			r["apiGroups"] = groups
			w.note(o, Changed, index("rules", i)+".apiGroups", "+ "+strings.Join(added, ", "), "what was in extensions is there today")
		}
	})
}

func serviceAccount(w *work, o object) {
	if len(list(o, "secrets")) > 0 {
		w.drop(o, "", "secrets", "tokens are not kept in Secrets since 1.24, and pods get one that is theirs and short; kubectl create token prints one")
	}
}

func secret(w *work, o object) {
	if str(o, "type") != "kubernetes.io/service-account-token" {
		return
	}
	w.note(o, Warning, "type", "a token that never ends", "it still works and is written into this Secret; kubectl create token "+str(o, "metadata", "annotations", "kubernetes.io/service-account.name")+" prints one that ends by itself")
	data := sub(o, "data")
	for _, key := range []string{"token", "ca.crt", "namespace"} {
		w.drop(data, "data", key, "it is another cluster's: a token that is there stays, and opens nothing here")
	}
	if data != nil && len(data) == 0 {
		delete(o, "data")
	}
	const uid = "kubernetes.io/service-account.uid"
	if _, ok := takeAnnotation(sub(o, "metadata"), uid); ok {
		w.note(o, Dropped, "metadata.annotations["+uid+"]", "left out", "it is another cluster's account; the Secret of one that is not there is deleted at once")
	}
}

// namespace refuses the annotation that isolated pods before there were policies for it: without it they are open to all.
func namespace(w *work, o object) {
	const name = "net.beta.kubernetes.io/network-policy"
	if v, ok := takeAnnotation(sub(o, "metadata"), name); ok && strings.Contains(v, "DefaultDeny") {
		w.refuse("metadata.annotations["+name+"]", "it isolates nothing any more; leave it out, and write a NetworkPolicy whose podSelector is {} and whose policyTypes are [Ingress]")
	}
}
