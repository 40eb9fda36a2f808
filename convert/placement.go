package convert

import "slices"

// labels of nodes that have other names today.
var nodeLabels = map[string]string{
	"node-role.kubernetes.io/master": controlPlane, "beta.kubernetes.io/os": "kubernetes.io/os", "beta.kubernetes.io/arch": "kubernetes.io/arch",
	"beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type", "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
	"failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region", "kubeadm.alpha.kubernetes.io/role": controlPlane,
}

const controlPlane = "node-role.kubernetes.io/control-plane"

// taints of nodes that have other names today.
var nodeTaints = map[string]string{
	"node-role.kubernetes.io/master": controlPlane, "node.alpha.kubernetes.io/ismaster": controlPlane, "node.alpha.kubernetes.io/notReady": "node.kubernetes.io/not-ready",
	"node.alpha.kubernetes.io/unreachable": "node.kubernetes.io/unreachable",
}

func (p podWork) placement() {
	if selector := sub(p.spec, "nodeSelector"); selector != nil {
		for _, old := range keys(selector) {
			now := nodeLabels[old]
			if now == "" {
				continue
			}
			v := selector[old]
			if now == controlPlane {
				v = "" // what kubeadm gives it
			}
			delete(selector, old)
			selector[now] = v
			p.note(p.spec, Changed, p.field("spec.nodeSelector"), old+" -> "+now, "nodes do not have the old label")
		}
	}
	p.tolerations()
	p.labelsIn(sub(p.spec, "affinity"), p.field("spec.affinity"))
	p.labelsIn(list(p.spec, "topologySpreadConstraints"), p.field("spec.topologySpreadConstraints"))
}

func (p podWork) tolerations() {
	var kept []any
	for i, v := range list(p.spec, "tolerations") {
		t, _ := v.(map[string]any)
		was := str(t, "key")
		now := nodeTaints[was]
		if was == "dedicated" && str(t, "value") == "master" { // kubeadm's taint until 1.5
			now = controlPlane
		}
		if now == "" {
			kept = append(kept, v)
			continue
		}
		t["key"] = now
		if str(t, "value") != "" { // the taints of today have none
			delete(t, "value")
			t["operator"] = "Exists"
		}
		p.note(p.spec, Changed, p.field(index("spec.tolerations", i)), was+" -> "+now, "nodes do not have the old taint")
		if !slices.ContainsFunc(kept, func(k any) bool { return short(k) == short(t) }) {
			kept = append(kept, t)
		}
	}
	if len(kept) > 0 {
		// One that came after, and said already what an old one says now.
		p.spec["tolerations"] = slices.CompactFunc(kept, func(a, b any) bool { return short(a) == short(b) })
	}
}

// labelsIn renames labels of nodes wherever an affinity names them.
func (p podWork) labelsIn(v any, in string) {
	switch v := v.(type) {
	case map[string]any:
		if v["topologyKey"] == "" {
			p.refuse(join(in, "topologyKey"), "it is empty, which meant hosts, zones and regions; write kubernetes.io/hostname, or topology.kubernetes.io/zone")
		}
		if op := str(v, "operator"); nodeLabels[str(v, "key")] == controlPlane && (op == "In" || op == "NotIn") { // the label of today has no value
			v["operator"] = map[string]string{"In": "Exists", "NotIn": "DoesNotExist"}[op]
			delete(v, "values")
		}
		for _, k := range keys(v) {
			if s, ok := v[k].(string); ok && (k == "key" || k == "topologyKey") && nodeLabels[s] != "" {
				v[k] = nodeLabels[s]
				p.note(p.spec, Changed, join(in, k), s+" -> "+nodeLabels[s], "nodes do not have the old label")
				continue
			}
			p.labelsIn(v[k], join(in, k))
		}
	case []any:
		for i := range v {
			p.labelsIn(v[i], index(in, i))
		}
	}
}
