package phases

import (
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/preflight"
)

// unpacked is how many times an image's size in the lock it takes on a node: its packed layers stay in the runtime's store, beside what they become.
const unpacked = 5

// What the host's own keep: the agent, its journal and what it puts aside; etcd's log, which is made in pieces of 64 MiB, and its database.
const (
	agentRoom = 64 << 20
	etcdRoom  = 512 << 20
)

// Needs are what up puts on each host, by the host's name, and what it gets from the registry.
func Needs(c *inventory.Cluster, lock bundle.Lock) map[string]preflight.Needs {
	out := map[string]preflight.Needs{}
	for _, h := range c.Spec.Hosts {
		n := preflight.Needs{Room: []preflight.Room{{Path: "/var/lib/kubewright", What: "the agent and what it keeps", Bytes: agentRoom}}}
		if k, err := lock.File("kubelet"); err == nil {
			n.Platform = k.Platform
		}
		put := func(path, what string, bytes int64) {
			n.Room = append(n.Room, preflight.Room{Path: path, What: what, Bytes: uint64(bytes)})
		}
		programs := func(path, what string, names ...string) {
			var sum int64
			for _, name := range names {
				if p, err := lock.File(name); err == nil {
					sum += p.Size
					n.Pulls = append(n.Pulls, agent.Manifest{Repository: p.Repository, Digest: p.ManifestDigest()})
				}
			}
			put(path, what, sum)
		}
		if h.Node() {
			store := "/var/lib/containerd"
			if h.Docker() {
				store = "/var/lib/docker"
				programs("/usr/local/bin", "programs", "cri-dockerd", "kubelet", "crictl")
			} else {
				programs("/usr/local/bin", "programs", "containerd", "containerd-shim-runc-v2", "ctr", "kubelet", "crictl")
				programs("/usr/local/sbin", "the program that starts containers", "runc")
			}
			programs("/opt/cni/bin", "network plugins", cniPlugins...)
			images := []string{"pause", "kube-proxy", "flannel", "coredns"}
			if h.Has(inventory.ControlPlane) {
				programs("/usr/local/bin", "kubectl", "kubectl")
				images = append(images, "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
				put("/var/lib/etcd", "etcd", etcdRoom)
			}
			var sum int64
			in := Input{Cluster: c, Host: h, Lock: lock}
			for _, name := range images {
				if i, err := in.image(name); err == nil {
					sum += i.Size
					n.Pulls = append(n.Pulls, agent.Manifest{Repository: i.Repository, Digest: i.ManifestDigest()})
				}
			}
			put(store, "images", unpacked*sum)
			if pause, err := in.image("pause"); err == nil {
				n.Pause = pause.Pinned(c.Registry())
			}
		}
		if h.Has(inventory.Registry) {
			var sum int64
			for _, part := range Stocked(c, lock) {
				sum += part.Size
			}
			put("/var/lib/registry", "the registry", sum)
			if r, err := lock.File("registry"); err == nil {
				put("/usr/local/bin", "the registry's program", r.Size)
				put("/var/lib/kubewright", "the registry's program on its way", r.Size)
			}
		}
		out[h.Name] = n
	}
	return out
}
