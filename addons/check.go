package addons

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/inventory"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Check says what is wrong with a cluster's addons that the inventory's own rules cannot see: manifests that cannot be read, and what two addons want to
// have. It asks nobody.
func Check(c *inventory.Cluster) error {
	var errs []error
	owner := map[string]string{}
	ports := map[int]string{}
	for _, h := range c.Nodes() {
		if h.SSH.Address == h.Address.String() {
			ports[h.SSH.Port] = "sshd on " + h.Name
		}
	}
	for port, addon := range c.Spec.Addons.NodePorts() {
		ports[port] = "the addon " + addon
	}
	env := Env{Cluster: c, Image: func(name string) string { return name }, File: standIn}
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
			if isOwn(c, a.Name) && ofCluster(id) {
				errs = append(errs, fmt.Errorf("addon %s: %s is the cluster's own, and would go with the addon; leave it out", a.Name, id))
			}
			if other, twice := owner[id.String()]; twice {
				errs = append(errs, fmt.Errorf("addon %s: %s is in the addon %s as well; leave it out of one of them", a.Name, id, other))
			}
			owner[id.String()] = a.Name
			o, ok := m.(Object)
			if !ok || !isOwn(c, a.Name) {
				continue
			}
			errs = append(errs, imagesWrong(a.Name, o)...)
			if id.Kind == "Service" {
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

// standIn is what a bundle's file would say here: which kinds the operator of the addon monitoring defines.
func standIn(name string) []byte {
	if name != operatorDefinitions {
		return nil
	}
	var out []byte
	for _, kind := range operatorKinds {
		plural := strings.ToLower(kind) + "s"
		if strings.HasSuffix(kind, "s") {
			plural = strings.ToLower(kind) + "es"
		}
		out = fmt.Appendf(out, "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: %s.%s}\nspec: {names: {kind: %s}}\n", plural, operatorGroup, kind)
	}
	return out
}

// portClash says which NodePorts of a Service are none or are somebody else's, and keeps the others. Two ports of one Service may have the same if their protocols differ.
func portClash(addon string, service Object, taken map[int]string) []error {
	var errs []error
	all, _, _ := unstructured.NestedSlice(service.Manifest, "spec", "ports")
	here := map[int][]string{}
	for _, p := range all {
		number, ok := asMap(p)["nodePort"].(float64)
		if i, is := asMap(p)["nodePort"].(int64); is {
			number, ok = float64(i), true
		}
		port := int(number)
		if !ok || port == 0 {
			continue
		}
		protocol, _ := asMap(p)["protocol"].(string)
		protocol = cmp.Or(protocol, "TCP")
		if port < 30000 || port > 32767 {
			errs = append(errs, fmt.Errorf("addon %s: %s: %d is not a NodePort; write a number from 30000 to 32767", addon, service.ID(), port))
		}
		if other, twice := taken[port]; twice {
			errs = append(errs, fmt.Errorf("addon %s: %s: the NodePort %d is that of %s; choose another", addon, service.ID(), port, other))
		} else if slices.Contains(here[port], protocol) {
			errs = append(errs, fmt.Errorf("addon %s: %s: two of its ports have the NodePort %d; choose another for one", addon, service.ID(), port))
		}
		here[port] = append(here[port], protocol)
	}
	for port := range here {
		taken[port] = service.ID().String() + " of the addon " + addon
	}
	return errs
}
