package addons

import (
	"errors"
	"fmt"

	"github.com/kubewright/kubewright/inventory"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Check says what is wrong with a cluster's addons that the inventory's own rules cannot see: manifests that cannot be read, and what two addons want to
// have. It asks nobody.
func Check(c *inventory.Cluster) error {
	var errs []error
	owner := map[string]string{}
	ports := map[int]string{}
	for port, addon := range c.Spec.Addons.NodePorts() {
		ports[port] = "the addon " + addon
	}
	env := Env{Cluster: c, Image: func(name string) string { return name }, File: func(string) []byte { return nil }}
	for _, a := range Of(c) {
		parts, err := a.Make(env)
		if err != nil {
			if isOwn(c, a.Name) { // the others' is told with what the bundle lacks
				errs = append(errs, err)
			}
			continue
		}
		steps, err := Steps(a, parts)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, s := range steps {
			m, ok := s.Op.(Member)
			if !ok {
				continue
			}
			id := m.ID()
			if other, twice := owner[id.String()]; twice {
				errs = append(errs, fmt.Errorf("addon %s: %s is in the addon %s as well; leave it out of one of them", a.Name, id, other))
			}
			owner[id.String()] = a.Name
			if o, ok := m.(Object); ok && id.Kind == "Service" && isOwn(c, a.Name) {
				errs = append(errs, portClash(a.Name, o, ports)...)
			}
		}
	}
	return errors.Join(errs...)
}

func isOwn(c *inventory.Cluster, name string) bool {
	for _, o := range c.Spec.Addons.Own {
		if o.Name == name {
			return true
		}
	}
	return false
}

// portClash says which NodePorts of a Service are none or are somebody else's, and keeps the others.
func portClash(addon string, service Object, taken map[int]string) []error {
	var errs []error
	all, _, _ := unstructured.NestedSlice(service.Manifest, "spec", "ports")
	for _, p := range all {
		number, ok := asMap(p)["nodePort"].(float64)
		if i, is := asMap(p)["nodePort"].(int64); is {
			number, ok = float64(i), true
		}
		port := int(number)
		if !ok || port == 0 {
			continue
		}
		if port < 30000 || port > 32767 {
			errs = append(errs, fmt.Errorf("addon %s: %s: %d is not a NodePort; write a number from 30000 to 32767", addon, service.ID(), port))
		}
		if other, twice := taken[port]; twice {
			errs = append(errs, fmt.Errorf("addon %s: %s: the NodePort %d is that of %s; choose another", addon, service.ID(), port, other))
		}
		taken[port] = service.ID().String() + " of the addon " + addon
	}
	return errs
}
