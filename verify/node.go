package verify

import corev1 "k8s.io/api/core/v1"

// Node is a node of the cluster as checks see it.
type Node struct {
	Name    string
	Address string // its InternalIP
	Ready   bool
	// Free tells whether any pod may be put there: it is Ready, not cordoned, and has no taint that keeps pods away.
	Free bool
	// ControlPlane tells whether it has the taint of the control plane.
	ControlPlane bool
}

func nodeOf(n *corev1.Node) Node {
	out := Node{Name: n.Name}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP && out.Address == "" {
			out.Address = a.Address
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out.Ready = c.Status == corev1.ConditionTrue
		}
	}
	out.Free = out.Ready && !n.Spec.Unschedulable
	for _, t := range n.Spec.Taints {
		if t.Key == "node-role.kubernetes.io/control-plane" {
			out.ControlPlane = true
		}
		if t.Effect != corev1.TaintEffectPreferNoSchedule && t.Key != runLabel {
			out.Free = false
		}
	}
	return out
}
