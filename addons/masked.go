package addons

import (
	"slices"
	"strings"

	"github.com/kubewright/kubewright/inventory"
)

// Masked is a cluster as it may be shown: what the Secrets among the user's own manifests hold is not.
func Masked(c *inventory.Cluster) *inventory.Cluster {
	masked := *c
	masked.Spec.Addons.Own = slices.Clone(c.Spec.Addons.Own)
	for i := range masked.Spec.Addons.Own {
		o := &masked.Spec.Addons.Own[i]
		o.Manifests = inventory.Lines(maskedText(string(o.Manifests)))
	}
	return &masked
}

// maskedText is manifests as they are where there is no Secret among them. What cannot be read might be one.
func maskedText(text string) string {
	objects, err := decode(text)
	if err != nil {
		return "# not shown, for it cannot be read: see kubewright config validate\n"
	}
	if !slices.ContainsFunc(objects, isSecret) {
		return text
	}
	var out strings.Builder
	for _, u := range objects {
		out.WriteString("---\n" + Object{Manifest: u.Object}.Text())
	}
	return out.String()
}
