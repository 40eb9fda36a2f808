package phases

import (
	"encoding/json"
	"fmt"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/pelletier/go-toml/v2"
	"sigs.k8s.io/yaml"
)

var cniPlugins = []string{"bandwidth", "bridge", "firewall", "flannel", "host-local", "loopback", "portmap", "tuning"}

var binaries = engine.Phase[Input]{
	Name:  "binaries",
	Short: "fetch the node's programs",
	Long:  "Fetches the container runtime, the CNI plugins and the kubelet from the private registry and checks each against its digest in the lock.",
	On:    onNodes,
	After: []string{"registry"},
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		if !in.Host.Has(inventory.Registry) { // there the authority itself lies
			l.add("hosts verify whom they fetch from", trust(in, registryCAName, registryCA))
		}
		if in.Host.Docker() {
			l.add("the kubelet speaks with Docker through it", l.binary("cri-dockerd", "/usr/local/bin"))
		} else {
			for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
				l.add("the container runtime", l.binary(name, "/usr/local/bin"))
			}
			l.add("starts the containers", l.binary("runc", "/usr/local/sbin"))
		}
		l.add("pod networking", ops.Dir{Path: "/opt/cni", Mode: 0o755, Owned: true})
		for _, name := range cniPlugins {
			l.add("pod networking", l.binary(name, "/opt/cni/bin"))
		}
		l.add("runs the node's pods", l.binary("kubelet", "/usr/local/bin"))
		return l.done()
	},
}

var tools = engine.Phase[Input]{
	Name:  "tools",
	Short: "fetch the tools for whoever works on the host",
	Long:  "Fetches crictl, and kubectl on control-plane hosts. Nothing of the cluster needs them, so nothing waits for them.",
	On:    onNodes,
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		crictl, err := yaml.Marshal(map[string]any{"runtime-endpoint": in.criSocket(), "image-endpoint": in.criSocket()})
		if err != nil {
			return nil, err
		}
		l.add("crictl finds the runtime", text("/etc/crictl.yaml", crictl))
		l.add("shows what the runtime runs", l.binary("crictl", "/usr/local/bin"))
		if in.Host.Has(inventory.ControlPlane) {
			l.add("asks the API", l.binary("kubectl", "/usr/local/bin"))
		}
		return l.done()
	},
}

var containerd = engine.Phase[Input]{
	Name:  "containerd",
	Short: "start the container runtime",
	Long: "Configures containerd with systemd cgroups, the pause image by digest and trust in the private registry, places the " +
		"CNI configuration so that the node is ready the moment it registers, and starts it.",
	On:    onContainerd,
	Steps: containerdSteps,
}

func containerdSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	nodeGrounds(&l)
	l.add("the runtime's own state", ops.Dir{Path: "/var/lib/containerd", Mode: 0o700, Owned: true})
	l.add("the runtime's sockets and mounts", ops.Dir{Path: "/run/containerd", Mode: 0o711, Owned: true})

	config := containerdConfig(in, l.pinned("pause"))
	l.add("systemd cgroups, as the kubelet's; the pause image from the lock; keys of others stay", config)
	hosts, err := toml.Marshal(registryHosts(in.Cluster.Registry()))
	if err != nil {
		return nil, err
	}
	l.add("images come from the private registry, verified by its authority",
		text("/etc/containerd/certs.d/"+in.Cluster.Registry()+"/hosts.toml", hosts))
	svc := service{
		Name: "containerd", Description: "containerd container runtime", Type: "notify",
		After: "network.target dbus.service", Exec: "/usr/local/bin/containerd",
		Reads: [][]byte{value(config.Settings), []byte(l.binary("containerd", "").Digest), []byte(l.binary("runc", "").Digest)},
		Marks: []string{config.Changed()},
		More: []*unit.UnitOption{
			unit.NewUnitOption("Service", "Delegate", "yes"),
			unit.NewUnitOption("Service", "KillMode", "process"), // pods outlive a restart of the runtime
			unit.NewUnitOption("Service", "TasksMax", "infinity"),
			unit.NewUnitOption("Service", "LimitNOFILE", "infinity"),
		},
	}
	l.add("the runtime starts with the host", svc.file())
	wish := svc.unit()
	wish.KillAll = true
	l.add("pods run in it", wish)
	l.add("a kubelet whose runtime has another driver crashes", ops.Driver{
		Runtime: "containerd", Socket: containerdSock, Want: cgroupDriver, Within: runtimeWithin, OK: true,
	})
	return l.done()
}

// nodeGrounds is what every runtime's node stands on: what grows there is claimed before anything can grow, and the directories that
// components share are ours.
func nodeGrounds(l *list) {
	l.add("what grows here while the cluster runs goes away with reset", claim(l.in.Cluster))
	l.add("what CNI plugins remember", ops.Dir{Path: "/var/lib/cni", Mode: 0o711, Owned: true})
	l.add("what pods write to their logs", ops.Dir{Path: "/var/log/pods", Mode: 0o750, Owned: true}, ops.Dir{Path: "/var/log/containers", Mode: 0o755, Owned: true})
	l.add("flannel tells its CNI plugin the node's subnet here", ops.Dir{Path: "/run/flannel", Mode: 0o755, Owned: true})
	l.add("kube-proxy looks for kernel modules here, and a pod would make it", ops.Dir{Path: "/lib/modules", Mode: 0o755})
	l.add("pod networking", ops.Dir{Path: "/etc/cni/net.d", Mode: 0o755, Owned: true})
	l.add("read as soon as the runtime starts: a node with it is ready when it registers",
		text("/etc/cni/net.d/10-flannel.conflist", cniConfig(portsWithNFTables(l.in))))
}

// criSocket is where the kubelet finds the host's runtime.
func (in Input) criSocket() string {
	if in.Host.Docker() {
		return "unix://" + criDockerdSocket
	}
	return "unix://" + containerdSock
}

const (
	// cgroupDriver is the kubelet's and every runtime's: systemd's own tree has one writer.
	cgroupDriver = "systemd"
	// runtimeWithin is how long a runtime may take to answer once its unit runs, in seconds.
	runtimeWithin = 60
)

// claim names what a node's components make on the host without being told.
func claim(c *inventory.Cluster) ops.Claim {
	var routes []string
	if overlay, _ := c.Overlay(); overlay == "" {
		routes = []string{c.Spec.Network.PodCIDR.String()} // those of an overlay go with its link
	}
	return ops.Claim{
		Links:  []string{"cni0", "flannel.1", "flannel-wg", "kube-ipvs0"},
		Routes: routes,
		Tables: []string{"ip kube-proxy", "ip6 kube-proxy", "ip flannel-ipv4", "ip6 flannel-ipv6", "inet cni_hostport", "ip cni_hostport", "ip6 cni_hostport"},
		Chains: []string{"KUBE-", "FLANNEL-", "CNI-"},
		Mounts: []string{"/var/lib/kubelet", "/run/containerd", "/run/netns/cni-*"},
		Files:  []string{"/run/netns", "/run/nri", "/run/nri/nri.sock", "/run/xtables.lock"},
		// The kubelet's (protectKernelDefaults is off), then kube-proxy's.
		Sysctls: []string{
			"kernel.keys.root_maxbytes", "kernel.keys.root_maxkeys", "kernel.panic", "kernel.panic_on_oops", "vm.overcommit_memory", "vm.panic_on_oom",
			"net.ipv4.conf.all.arp_announce", "net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.route_localnet", "net.ipv4.vs.conn_reuse_mode",
			"net.ipv4.vs.conntrack", "net.ipv4.vs.expire_nodest_conn", "net.ipv4.vs.expire_quiescent_template", "net.netfilter.nf_conntrack_buckets",
			"net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_be_liberal", "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
			"net.netfilter.nf_conntrack_tcp_timeout_established", "net.netfilter.nf_conntrack_udp_timeout", "net.netfilter.nf_conntrack_udp_timeout_stream",
		},
		Held: true,
	}
}

// pods names the processes of pods and, where Docker keeps them, their containers and images. It is stated just before the kubelet, so that reset ends
// them as soon as it has stopped the kubelet, before it removes what they write to and the images they use.
func pods(in Input) ops.Claim {
	return ops.Claim{Name: "pods", Slices: []string{"kubepods.slice"}, Docker: in.Host.Docker(), Held: true}
}

// cniConfig delegates to the bridge plugin with the subnet that flannel writes; flannel's own plugin wants cniVersion 0.3.1.
func cniConfig(nftables bool) []byte {
	ports := map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}}
	if nftables {
		ports["backend"] = "nftables"
	}
	out, err := json.MarshalIndent(map[string]any{
		"name": "cbr0", "cniVersion": "0.3.1",
		"plugins": []any{
			map[string]any{"type": "flannel", "delegate": map[string]any{"hairpinMode": true, "isDefaultGateway": true}},
			ports,
		},
	}, "", "  ")
	if err != nil {
		panic(err) // constants encode
	}
	return append(out, '\n')
}

type table = map[string]any

// registryHosts is containerd's hosts.toml: the registry and the authority that its certificate must come from.
func registryHosts(registry string) table {
	url := fmt.Sprintf("https://%s", registry)
	return table{
		"server": url,
		"host":   table{url: table{"capabilities": []string{"pull", "resolve"}, "ca": registryCA}},
	}
}

var images = engine.Phase[Input]{
	Name:  "images",
	Short: "pull the images the host will run",
	Long: "Pulls, by digest and from the private registry, what this host will run first, before its kubelet starts and while other hosts do " +
		"other work.",
	On: onNodes,
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		names := []string{"pause", "kube-proxy", "flannel"}
		if in.Host.Has(inventory.ControlPlane) {
			names = []string{"pause", "etcd", "kube-apiserver"}
		}
		for _, name := range names {
			l.add("its pods start without waiting for the registry", l.pulled(name))
		}
		return l.done()
	},
}
