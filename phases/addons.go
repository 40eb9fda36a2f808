package phases

import (
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
)

var retire = engine.Phase[Input]{
	Name:  "retire",
	Short: "remove addons that are no more",
	Long:  "Removes what belongs to addons that were enabled once and are no more, before others take the ports that they had.",
	On:    onCluster,
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		wanted := addons.Retired{Addons: []string{}}
		for _, a := range addons.Of(in.Cluster) {
			wanted.Addons = append(wanted.Addons, a.Name)
		}
		l.add("the inventory wants these addons only", wanted)
		return l.done()
	},
}

var addon = engine.Phase[Input]{
	Name:  "addon",
	Short: "apply the addon",
	Long: "Applies an addon's objects, server-side, waits by watching until it works, and removes what it had before and has no more. Each addon is a target of " +
		"its own, so that they come up side by side, and one that fails harms no other.",
	On:    onAddon,
	After: []string{"retire"},
	Steps: addonSteps,
}

func addonSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	for _, a := range addons.Of(in.Cluster) {
		if slices.Contains(in.Addon.Needs, a.Name) {
			l.awaits(a)
		}
	}
	parts, err := in.Addon.Make(l.env())
	if err != nil {
		return nil, err
	}
	steps, err := addons.Steps(in.Addon, parts)
	l.fail(err)
	l.steps = append(l.steps, steps...)
	return l.done()
}

// awaits waits for another addon.
func (l *list) awaits(other addons.Addon) {
	parts, err := other.Make(l.env())
	l.fail(err)
	applied, err := addons.Applied(other, parts)
	l.fail(err)
	l.add(fmt.Sprintf("the addon %s needs %s", l.in.Addon.Name, other.Name), applied)
}

// env is what addons are made for; what is missing fails the list.
func (l *list) env() addons.Env { return environment(l.in, l.fail) }

// Env is what a cluster's addons are made for, where nobody minds that something is missing.
func Env(c *inventory.Cluster, lock bundle.Lock, texts map[string][]byte) addons.Env {
	return environment(Input{Cluster: c, Lock: lock, Texts: texts}, func(error) {})
}

func environment(in Input, fail func(error)) addons.Env {
	return addons.Env{
		Cluster: in.Cluster,
		Image: func(name string) string {
			c, err := in.image(name)
			if err != nil {
				fail(err)
			}
			return c.Reference(in.Cluster.Registry())
		},
		Has: func(name string) bool { _, err := in.image(name); return err == nil },
		File: func(name string) []byte {
			text, ok := in.Texts[name]
			if !ok {
				fail(fmt.Errorf("the bundle has no %s", name))
			}
			return text
		},
	}
}
