package addons

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"k8s.io/apimachinery/pkg/runtime"
)

// Addon is something that runs in a cluster and is not part of what makes it one.
type Addon struct {
	Name, Short string
	Images      []string                 // what only it needs, as the bundle's lock names them
	Texts       []string                 // the bundle's files that it is made from, as the lock names them
	Needs       []string                 // addons that must work first
	Make        func(Env) (Parts, error) // pure
}

// Env is what an addon is made for.
type Env struct {
	Cluster *inventory.Cluster
	// Image is the reference of one of the bundle's images in the private registry.
	Image func(name string) string
	// Has says whether the bundle has an image, for those that it need not have; nil: it has all.
	Has func(name string) bool
	// File is one of the bundle's files that are text for the cluster, such as definitions of kinds of objects.
	File func(name string) []byte
}

// Parts are what an addon is made of.
type Parts struct {
	Objects []runtime.Object
	Secrets []Member         // what is made in the cluster and not written down: keys and passwords
	Ready   []Ready          // what has to be so before the addon works
	Later   []runtime.Object // what is made only when all that is so
	Doors   []Door           // how it is reached
}

// Door is a way to an addon for people.
type Door struct {
	Name, URL string
	Login     string // how to be let in, where that is asked
}

// catalogue are kubewright's own addons, in the order in which they are told. flannel is not among them: without it there is no cluster.
var catalogue = []Addon{metricsServer, ingress, dashboard, monitoring, storage}

// Of are the addons that a cluster is to have, kubewright's and the user's.
func Of(c *inventory.Cluster) []Addon {
	var out []Addon
	for _, a := range catalogue {
		if c.Spec.Addons.Has(a.Name) {
			out = append(out, a)
		}
	}
	for _, o := range c.Spec.Addons.Own {
		out = append(out, own(o))
	}
	return out
}

// Catalogue are all of kubewright's addons.
func Catalogue() []Addon { return slices.Clone(catalogue) }

// Unused are the images that only addons need which the cluster is not to have.
func Unused(c *inventory.Cluster) []string {
	var used, unused []string
	for _, a := range catalogue {
		if c.Spec.Addons.Has(a.Name) {
			used = append(used, a.Images...)
		} else {
			unused = append(unused, a.Images...)
		}
	}
	return slices.DeleteFunc(unused, func(name string) bool { return slices.Contains(used, name) })
}

// Steps are what makes an addon so: who its members are, the kinds of objects that it defines, then the objects, then waiting for all of it, what may come only
// then, and at the end nothing is left of what it had before.
func Steps(a Addon, parts Parts) ([]ops.Step, error) {
	set := Set{Addon: a.Name}
	keep := map[string]bool{}
	members := func(objects []runtime.Object, more ...Member) (all []Member, err error) {
		for _, o := range objects {
			all = append(all, New(o))
		}
		all = append(all, more...)
		for i, m := range all {
			id := m.ID()
			if keep[id.String()] {
				return nil, fmt.Errorf("addon %s: %s is there twice", a.Name, id)
			}
			keep[id.String()] = true
			set.add(id)
			all[i] = m.within(a.Name)
		}
		slices.SortStableFunc(all, func(x, y Member) int { return rank(x) - rank(y) })
		return all, nil
	}
	all, err := members(parts.Objects, parts.Secrets...)
	if err != nil {
		return nil, err
	}
	later, err := members(parts.Later)
	if err != nil {
		return nil, err
	}

	why := a.Short + " (addon " + a.Name + ")"
	steps := []ops.Step{{Op: set.sorted(), Why: "what belongs to the addon " + a.Name + " can be told from what does not"}}
	for i, m := range all {
		if i > 0 && rank(all[i-1]) == rankDefinition && rank(m) != rankDefinition {
			steps = append(steps, established(all[:i])...)
		}
		steps = append(steps, ops.Step{Op: m, Why: why})
	}
	if n := len(all); n > 0 && rank(all[n-1]) == rankDefinition {
		steps = append(steps, established(all)...)
	}
	for _, r := range parts.Ready {
		steps = append(steps, ops.Step{Op: r, Why: "the addon " + a.Name + " works only with it"})
	}
	for _, m := range later {
		steps = append(steps, ops.Step{Op: m, Why: why})
	}
	applied, err := digest(steps)
	if err != nil {
		return nil, err
	}
	return append(steps, ops.Step{Op: Pruned{Addon: a.Name, Applied: applied, keep: keep}, Why: "nothing is left of what the addon " + a.Name + " had before"}), nil
}

// digest sums up what an addon's steps wish.
func digest(steps []ops.Step) (string, error) {
	h := sha256.New()
	for _, s := range steps {
		raw, err := json.Marshal(s.Op)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.Op.Key(), err)
		}
		h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// Applied is the wish that an addon has been applied to its end, by whoever applies it.
func Applied(a Addon, parts Parts) (Ready, error) {
	steps, err := Steps(a, parts)
	if err != nil {
		return Ready{}, err
	}
	return Ready{Kind: kindAddon, Namespace: setNamespace, Name: a.Name, Digest: steps[len(steps)-1].Op.(Pruned).Applied, Within: 2 * addonWithin, OK: true}, nil
}

// established waits for the kinds that an addon defines: only then the API server takes objects of them.
func established(all []Member) []ops.Step {
	var out []ops.Step
	for _, m := range all {
		if id := m.ID(); id.Kind == definitionKind {
			out = append(out, ops.Step{Op: Ready{Kind: definitionKind, Group: id.Group, Name: id.Name, Within: 60, OK: true}, Why: "objects of this kind can be made only then"})
		}
	}
	return out
}

// rolledOut waits for workloads of an addon.
func rolledOut(kind, namespace string, names ...string) []Ready {
	var out []Ready
	for _, name := range names {
		out = append(out, Ready{Kind: kind, Group: "apps", Namespace: namespace, Name: name, Within: addonWithin, OK: true})
	}
	return out
}

// addonWithin is how long an addon's parts may take, in seconds.
const addonWithin = 300
