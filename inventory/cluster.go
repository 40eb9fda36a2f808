// Package inventory is the cluster file: one YAML document that names the hosts, how they are reached and what the
// cluster on them should be. It is read strictly, once, and complained about all together.
package inventory

import "net/netip"

// APIVersion and Kind are what the head of a cluster file must say.
const (
	APIVersion = "kubewright.io/v1alpha1"
	Kind       = "Cluster"
)

// Role is what a host is for. A host may have several.
type Role string

// The roles a host may have.
const (
	ControlPlane Role = "control-plane" // runs etcd, the API server, the controller manager and the scheduler
	Worker       Role = "worker"        // runs pods
	Registry     Role = "registry"      // serves the private registry that every image and binary comes from
)

// Cluster is the inventory after Load: every default is filled in and every rule has been checked.
type Cluster struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata names the cluster.
type Metadata struct {
	Name string `json:"name"` // an RFC 1123 label; also the name in the kubeconfig
}

// Spec is what the cluster should be.
type Spec struct {
	SSH        SSH        `json:"ssh,omitzero"` // defaults for every host's ssh
	Hosts      []Host     `json:"hosts"`
	Network    Network    `json:"network,omitzero"`
	APIServer  APIServer  `json:"apiServer,omitzero"`
	Registry   RegistryAt `json:"registry,omitzero"`
	KubeProxy  KubeProxy  `json:"kubeProxy,omitzero"`
	Runtime    string     `json:"runtime,omitempty"` // what runs the nodes' containers: containerd (default) or docker
	Containerd Containerd `json:"containerd,omitzero"`
	Docker     Docker     `json:"docker,omitzero"`
	Kubelet    Kubelet    `json:"kubelet,omitzero"`
	Preflight  Preflight  `json:"preflight,omitzero"`
	Addons     Addons     `json:"addons,omitzero"`

	// Firewall is managed (default): where firewalld, ufw or nftables runs, what the host's roles need is opened in it, and nodes
	// trust the cluster's ranges; off: all are stopped and disabled; or ignore: nothing is done.
	Firewall string `json:"firewall,omitempty"`

	// Packages are installed on every host, from the repositories that the host has.
	Packages []Package `json:"packages,omitempty"`
	// SELinux is keep (default): it stays as it is; or permissive, now and after a reboot, where there is any.
	SELinux string `json:"selinux,omitempty"`
	// TimeService is keep (default): it stays as it is; or enable: the one that is installed is started, now and at boot.
	TimeService string `json:"timeService,omitempty"`
}

// Package is a package of the hosts' own package manager, apt or dnf.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // as the manager writes it; with a * at its end, what begins so; default: what is there or, else, the newest
	Hold    bool   `json:"hold,omitempty"`    // no upgrade touches it
}

// Host is one machine.
type Host struct {
	Name    string     `json:"name"`    // its host name and node name, an RFC 1123 subdomain
	Address netip.Addr `json:"address"` // where its peers reach it; the node's InternalIP
	Roles   []Role     `json:"roles"`
	Runtime string     `json:"runtime,omitempty"` // of a node: overrides spec.runtime
	SSH     SSH        `json:"ssh,omitzero"`      // overrides spec.ssh field by field
}

// Has says whether the host has the role.
func (h Host) Has(r Role) bool {
	for _, x := range h.Roles {
		if x == r {
			return true
		}
	}
	return false
}

// Node says whether the host becomes a Kubernetes node.
func (h Host) Node() bool { return h.Has(ControlPlane) || h.Has(Worker) }

// SSH says how a host is reached. After Load every host's is complete.
type SSH struct {
	Address        string   `json:"address,omitempty"` // where sshd answers, when not the host's address
	Port           int      `json:"port,omitempty"`    // default 22
	User           string   `json:"user,omitempty"`    // default root; any other needs sudo without a password
	KeyFile        string   `json:"keyFile,omitempty"` // a private key; relative to the inventory; default: the SSH agent, then ~/.ssh/id_*
	KnownHostsFile string   `json:"knownHostsFile,omitempty"`
	HostKeys       []string `json:"hostKeys,omitempty"` // SHA256:... fingerprints; when given, nothing else is believed
}

// Network is the cluster's address plan.
type Network struct {
	PodCIDR     netip.Prefix `json:"podCIDR,omitzero"`     // default 10.244.0.0/16
	ServiceCIDR netip.Prefix `json:"serviceCIDR,omitzero"` // default 10.96.0.0/12
	DNSDomain   string       `json:"dnsDomain,omitempty"`  // default cluster.local
}

// APIServer is how the API server is reached.
type APIServer struct {
	Endpoint string   `json:"endpoint,omitempty"` // host:port of the control plane; default: the first control-plane host, port 6443
	CertSANs []string `json:"certSANs,omitempty"` // further names and addresses in its certificate
}

// RegistryAt is the private registry's port on the registry host.
type RegistryAt struct {
	Port int `json:"port,omitempty"` // default 5000
}

// KubeProxy chooses how Services are programmed.
type KubeProxy struct {
	Mode     string `json:"mode,omitempty"`     // nftables (default), iptables or ipvs
	Fallback string `json:"fallback,omitempty"` // the mode where that is not possible; without one preflight stops there
}

// Preflight says which checks of hosts stand in nobody's way.
type Preflight struct {
	Ignore []string `json:"ignore,omitempty"` // names of PreflightChecks, one by one
}

// Containerd is what is unusual about the runtime on these hosts.
type Containerd struct {
	RestrictOOMScoreAdj bool `json:"restrictOOMScoreAdj,omitempty"` // for hosts without CAP_SYS_RESOURCE
}

// Docker is how Docker is set up on the hosts that run it.
type Docker struct {
	Package            string   `json:"package,omitempty"`            // docker.io (default) or docker-ce, which then has to be in the host's package sources
	Version            string   `json:"version,omitempty"`            // of the package; default: what the host's package sources offer
	Mirrors            []string `json:"mirrors,omitempty"`            // URLs of mirrors of Docker Hub
	InsecureRegistries []string `json:"insecureRegistries,omitempty"` // host:port or ranges of registries without TLS
	Runc               string   `json:"runc,omitempty"`               // a program to start containers with instead of runc; for hosts without CAP_SYS_RESOURCE
}

// Kubelet is what is unusual about the kubelets on these hosts.
type Kubelet struct {
	FailCgroupV1 *bool             `json:"failCgroupV1,omitempty"` // nil: kubelet's default, true
	EvictionHard map[string]string `json:"evictionHard,omitempty"` // as in KubeletConfiguration
	MaxPods      int               `json:"maxPods,omitempty"`      // default 110
}
