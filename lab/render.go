package lab

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/kubewright/kubewright/inventory"
)

// settle is the inventory as the lab's hosts fulfil it: reached as root (or the admin) with the lab's key, each known by its
// own host key, and with what a machine shared by all hosts makes necessary.
func settle(c inventory.Cluster, hostKeys map[string]string, vm func(host string) bool) inventory.Cluster {
	c.APIVersion, c.Kind = inventory.APIVersion, inventory.Kind
	if c.Metadata.Name == "" {
		c.Metadata.Name = "lab"
	}
	user := "root"
	if u := c.Spec.SSH.User; u != "" && u != "root" {
		user = admin // the one login that needs sudo
	}
	c.Spec.SSH = inventory.SSH{User: user, KeyFile: keyName}
	c.Spec.Hosts = slices.Clone(c.Spec.Hosts)
	for i := range c.Spec.Hosts {
		h := &c.Spec.Hosts[i]
		h.SSH = inventory.SSH{HostKeys: []string{hostKeys[h.Name]}}
	}
	nodes, vms := 0, 0
	for _, h := range c.Spec.Hosts {
		if h.Node() {
			nodes++
			if vm(h.Name) {
				vms++
			}
		}
		if h.Has(inventory.ControlPlane) && vm(h.Name) && !slices.Contains(c.Spec.Preflight.Ignore, "cpus") {
			c.Spec.Preflight.Ignore = append(slices.Clone(c.Spec.Preflight.Ignore), "cpus") // it has one, and all the time in the world
		}
	}
	if vms < nodes {
		// The machine may lack CAP_SYS_RESOURCE and have cgroup v1.
		c.Spec.Containerd.RestrictOOMScoreAdj = true
		c.Spec.Kubelet.FailCgroupV1 = new(false)
		if c.UsesDocker() {
			c.Spec.Docker.Runc = runcPath
		}
	}
	if vms > 0 {
		settleProxy(&c.Spec.KubeProxy, vms == nodes)
	}
	// The machine's disk shows far more than there is, and a virtual machine's is small, so the kubelet's percentages would evict everything.
	if c.Spec.Kubelet.EvictionHard == nil {
		c.Spec.Kubelet.EvictionHard = map[string]string{
			"nodefs.available": "1Gi", "imagefs.available": "1Gi", "memory.available": "100Mi",
		}
	}
	return c
}

// settleProxy gives kube-proxy a mode that virtual machines can do: their kernel has no nftables for IPv4, and the containers' may have
// no ipvs.
func settleProxy(kp *inventory.KubeProxy, alone bool) {
	if kp.Mode == "" || kp.Mode == inventory.ModeNFTables {
		kp.Mode = inventory.ModeNFTables
		if alone {
			kp.Mode = inventory.ModeIPVS
		}
	}
	if kp.Mode != inventory.ModeIPTables {
		kp.Fallback = inventory.ModeIPTables
	}
}

// render writes an inventory as a user would: in the types' own order and without what was left empty.
func render(c inventory.Cluster) ([]byte, error) {
	v, err := ordered(reflect.ValueOf(c))
	if err != nil {
		return nil, err
	}
	b, err := yaml.MarshalWithOptions(v, yaml.IndentSequence(true))
	if err != nil {
		return nil, err
	}
	return append([]byte("# Written by kubewright lab up; gone with kubewright lab down.\n"), b...), nil
}

// ordered turns a value into what the YAML encoder writes in order. Empty fields are left out, whatever their type: the
// encoders' own omitempty keeps empty structs.
func ordered(v reflect.Value) (any, error) {
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := t.MarshalText()
		return string(b), err
	}
	switch v.Kind() {
	case reflect.Pointer:
		return ordered(v.Elem())
	case reflect.Struct:
		var out yaml.MapSlice
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue
			}
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			x, err := ordered(v.Field(i))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out = append(out, yaml.MapItem{Key: name, Value: x})
		}
		return out, nil
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			x, err := ordered(v.Index(i))
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case reflect.Map:
		m, ok := v.Interface().(map[string]string)
		if !ok {
			return nil, fmt.Errorf("the lab cannot write a %s", v.Type())
		}
		var out yaml.MapSlice
		for _, k := range slices.Sorted(maps.Keys(m)) {
			out = append(out, yaml.MapItem{Key: k, Value: m[k]})
		}
		return out, nil
	case reflect.String:
		return v.String(), nil
	default:
		return v.Interface(), nil
	}
}
