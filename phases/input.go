package phases

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// ClusterTarget is the name of the target that is not a host: the cluster itself, through its API.
const ClusterTarget = "cluster"

// AddonTarget is the target of one addon: the cluster's API as well, but what fails on it harms no other.
func AddonTarget(addon string) string { return addonTargets + addon }

const addonTargets = "addon/"

// OfCluster says whether a target is the cluster, or an addon in it.
func OfCluster(target string) bool {
	return target == ClusterTarget || strings.HasPrefix(target, addonTargets)
}

// Input is all that steps are computed from.
type Input struct {
	Cluster *inventory.Cluster
	Host    inventory.Host         // the zero Host for the cluster target and those of addons
	Addon   addons.Addon           // the zero Addon for the others
	Facts   map[string]agent.Facts // what each host said of itself, by its name
	Lock    bundle.Lock
	Texts   map[string][]byte // the bundle's files that are text for the cluster, by their names
}

// Inputs are the inputs of a cluster's hosts, in the inventory's order, of the cluster target, and of its addons.
func Inputs(c *inventory.Cluster, facts map[string]agent.Facts, lock bundle.Lock, texts map[string][]byte) []engine.At[Input] {
	var out []engine.At[Input]
	in := Input{Cluster: c, Facts: facts, Lock: lock, Texts: texts}
	for _, h := range c.Spec.Hosts {
		in.Host = h
		out = append(out, engine.At[Input]{Name: h.Name, In: in})
	}
	in.Host = inventory.Host{}
	out = append(out, engine.At[Input]{Name: ClusterTarget, In: in})
	for _, in.Addon = range addons.Of(c) {
		out = append(out, engine.At[Input]{Name: AddonTarget(in.Addon.Name), In: in})
	}
	return out
}

// The predicates that say where a phase runs.
func onEvery(in Input) bool        { return in.Host.Name != "" }
func onNodes(in Input) bool        { return in.Host.Node() }
func onContainerd(in Input) bool   { return in.Host.Node() && !in.Host.Docker() }
func onDocker(in Input) bool       { return in.Host.Docker() }
func onControlPlane(in Input) bool { return in.Host.Has(inventory.ControlPlane) }
func onRegistry(in Input) bool     { return in.Host.Has(inventory.Registry) }
func onCluster(in Input) bool      { return in.Host.Name == "" && in.Addon.Name == "" }
func onAddon(in Input) bool        { return in.Addon.Name != "" }
func onWorkers(in Input) bool      { return in.Host.Node() && !in.Host.Has(inventory.ControlPlane) }

// facts are the facts of the input's own host.
func (in Input) facts() agent.Facts { return in.Facts[in.Host.Name] }

// inContainer says whether any of the cluster's nodes is a system container, whose kernel settings belong to the machine below.
func (in Input) inContainer() bool {
	for _, h := range in.Cluster.Nodes() {
		if in.Facts[h.Name].Container != "" {
			return true
		}
	}
	return false
}

// list collects the steps of a phase, so that a phase reads as a list and its one error is handed over at the end.
type list struct {
	in    Input
	steps []engine.Step
	err   error
}

func (l *list) add(why string, all ...ops.Op) {
	for _, op := range all {
		l.steps = append(l.steps, engine.Step{Op: op, Why: why})
	}
}

// fail keeps the first thing that went wrong.
func (l *list) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

func (l *list) done() ([]engine.Step, error) { return l.steps, l.err }

// text is a small file of ours, readable by all.
func text(p string, content []byte) ops.File { return ops.File{Path: p, Content: content, Mode: 0o644} }

// private is a file that only root reads.
func private(p string, content []byte) ops.File {
	return ops.File{Path: p, Content: content, Mode: 0o600}
}

// binary is a program from the bundle: fetched from the private registry by digest.
func (l *list) binary(name, dir string) ops.File {
	c, err := l.in.Lock.File(name)
	l.fail(err)
	return ops.File{
		Path: path.Join(dir, name), Digest: c.Digest, Mode: 0o755,
		From: "https://" + l.in.Cluster.Registry() + c.BlobPath(),
		CA:   registryCA,
	}
}

// image is the reference of one of the bundle's images in the private registry: the digest decides, the tag is for people and for
// kubeadm, which reads versions from it.
func (l *list) image(name string) string { return l.locked(name).Reference(l.in.Cluster.Registry()) }

// pinned is the reference by digest alone, which is the name that the runtime keeps the image under.
func (l *list) pinned(name string) string { return l.locked(name).Pinned(l.in.Cluster.Registry()) }

// pulled is the wish that the host's runtime has the image.
func (l *list) pulled(name string) ops.Image {
	return ops.Image{Ref: l.pinned(name), Docker: l.in.Host.Docker(), Present: true}
}

// ofEveryNode are the images that one object of the cluster has run on any node, besides those of addons.
var ofEveryNode = []string{"kube-proxy", "flannel", "coredns"}

// image finds an image in the form that whoever runs it can read: the host's own runtime or, where one reference is for all nodes, every runtime of
// the cluster.
func (in Input) image(name string) (bundle.Component, error) {
	docker := in.Host.Docker()
	if in.Host.Name == "" || slices.Contains(ofEveryNode, name) {
		docker = in.Cluster.UsesDocker()
	}
	if docker {
		return in.Lock.Gzip(name)
	}
	return in.Lock.Image(name)
}

func (l *list) locked(name string) bundle.Component {
	c, err := l.in.image(name)
	l.fail(err)
	return c
}

// Stocked are the components that the cluster's registry holds: all, but without a Docker host nothing that only Docker needs, and nothing that only addons
// need which it is not to have.
func Stocked(c *inventory.Cluster, lock bundle.Lock) []bundle.Component {
	unused := addons.Unused(c)
	return slices.DeleteFunc(slices.Clone(lock.Components), func(x bundle.Component) bool {
		return !c.UsesDocker() && (x.Kind == bundle.KindGzip || x.Name == "cri-dockerd") || slices.Contains(unused, x.Name)
	})
}

// digestOf sums up what a unit reads when it starts.
func digestOf(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}
