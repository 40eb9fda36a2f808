package addons

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/inventory"
)

// own is an addon of the user's.
func own(o inventory.Own) Addon {
	return Addon{Name: o.Name, Short: "the user's own manifests", Needs: o.Needs, Make: func(Env) (Parts, error) {
		objects, err := decode(string(o.Manifests))
		if err != nil {
			var errs []error
			for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
				errs = append(errs, fmt.Errorf("addon %s: %w", o.Name, e))
			}
			return Parts{}, errors.Join(errs...)
		}
		p := Parts{}
		for _, u := range objects {
			p.Objects = append(p.Objects, u)
			if slices.Contains(awaited, u.GetKind()) {
				p.Ready = append(p.Ready, Ready{Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(), Within: addonWithin, OK: true})
			}
		}
		return p, nil
	}}
}

// awaited are the kinds that are waited for wherever they come from.
var awaited = []string{"Deployment", "DaemonSet", "StatefulSet", "Job", "APIService"}

// clusterWide are the kinds of Kubernetes' own that are in no namespace.
var clusterWide = []string{
	"Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", definitionKind, "APIService", "StorageClass", "IngressClass", "PriorityClass",
	"RuntimeClass", "CSIDriver", "CSINode", "VolumeAttachment", "VolumeAttributesClass", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
	"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "FlowSchema",
	"PriorityLevelConfiguration", "CertificateSigningRequest", "ClusterTrustBundle", "DeviceClass", "ResourceSlice", "IPAddress", "ServiceCIDR",
}
