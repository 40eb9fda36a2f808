package addons

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/kubewright/kubewright/inventory"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Wanted is an image that an addon of the user's has pods run from the cluster's registry.
type Wanted struct {
	Addon      string
	Repository string
	Version    string // a digest, or a tag
}

// OwnImages are the images of the user's own addons that are to come from a registry.
func OwnImages(c *inventory.Cluster, registry string) []Wanted {
	var out []Wanted
	for _, o := range c.Spec.Addons.Own {
		parts, err := own(o).Make(Env{})
		if err != nil {
			continue // Check tells it
		}
		for _, object := range parts.Objects {
			for _, ref := range imagesOf(object.(*unstructured.Unstructured).Object) {
				rest, ours := strings.CutPrefix(ref, registry+"/")
				if !ours {
					continue
				}
				w := Wanted{Addon: o.Name}
				if name, digest, ok := strings.Cut(rest, "@"); ok {
					w.Repository, _, _ = strings.Cut(name, ":")
					w.Version = digest
				} else if w.Repository, w.Version, ok = strings.Cut(rest, ":"); !ok {
					w.Version = "latest"
				}
				if !slices.Contains(out, w) {
					out = append(out, w)
				}
			}
		}
	}
	return out
}

// imagesWrong says which of an object's images are names that no runtime takes: its pods would wait for them until somebody looks.
func imagesWrong(addon string, o Object) []error {
	var errs []error
	for _, ref := range imagesOf(o.Manifest) {
		if _, err := name.ParseReference(ref); err != nil {
			errs = append(errs, fmt.Errorf("addon %s: %s: %q is no image; write REGISTRY/NAME:TAG or REGISTRY/NAME@DIGEST, in lower-case letters", addon, o.ID(), ref))
		}
	}
	return errs
}

// imagesOf are the images of the containers in an object, wherever its kind has them: in a pod, in a template for pods, in a template for Jobs.
func imagesOf(v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		for _, field := range []string{"initContainers", "containers"} {
			all, _ := v[field].([]any)
			for _, c := range all {
				if image, ok := asMap(c)["image"].(string); ok {
					out = append(out, image)
				}
			}
		}
		for _, field := range []string{"spec", "template", "jobTemplate"} {
			out = append(out, imagesOf(v[field])...)
		}
	}
	return out
}
