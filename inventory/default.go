package inventory

import (
	"net/netip"
)

// The values a field can have, where there are few.
const (
	ModeNFTables = "nftables"
	ModeIPTables = "iptables"
	ModeIPVS     = "ipvs"

	SELinuxKeep       = "keep"       // it stays as it is
	SELinuxPermissive = "permissive" // now and after a reboot, until reset

	TimeServiceKeep   = "keep"   // it stays as it is
	TimeServiceEnable = "enable" // the one that is installed runs, now and after a reboot, until reset

	RuntimeContainerd = "containerd"
	RuntimeDocker     = "docker"

	DockerIO = "docker.io" // Debian's and Ubuntu's own package
	DockerCE = "docker-ce" // Docker's

	BackendVXLAN     = "vxlan"
	BackendHostGW    = "host-gw"   // routes, where all nodes are in one network
	BackendWireguard = "wireguard" // encrypted

	ExposeHostPort = "hostPort" // on ports 80 and 443 of the workers
	ExposeNodePort = "nodePort" // on ports of every node from 30000

	ClassTraefik = "traefik"
	ClassNginx   = "nginx"
	ClassNone    = "none"

	ProfileOperator = "operator" // with the Prometheus operator and its kinds of objects
	ProfilePlain    = "plain"    // one Prometheus with one configuration

	FirewallManaged = "managed" // what the cluster needs is opened in the firewall that runs, until reset
	FirewallOff     = "off"     // firewalls are stopped and disabled, until reset
	FirewallIgnore  = "ignore"  // nothing is done: somebody else looks after it
)

// Default fills in everything the file did not say. It is the only place where defaults are, and may be called again.
func Default(c *Cluster) {
	s := &c.Spec
	orElse(&s.SSH.Port, 22)
	orElse(&s.SSH.User, "root")
	orElse(&s.Runtime, RuntimeContainerd)
	for i := range s.Hosts {
		h := &s.Hosts[i]
		if h.Node() {
			orElse(&h.Runtime, s.Runtime)
		}
		inherit(&h.SSH, s.SSH)
		if h.Address.IsValid() {
			orElse(&h.SSH.Address, h.Address.String())
		}
	}
	orElse(&s.Network.PodCIDR, netip.MustParsePrefix("10.244.0.0/16"))
	orElse(&s.Network.ServiceCIDR, netip.MustParsePrefix("10.96.0.0/12"))
	orElse(&s.Network.DNSDomain, "cluster.local")
	if first := c.With(ControlPlane); len(first) > 0 && first[0].Address.IsValid() {
		orElse(&s.APIServer.Endpoint, netip.AddrPortFrom(first[0].Address, 6443).String())
	}
	orElse(&s.Registry.Port, 5000)
	orElse(&s.KubeProxy.Mode, ModeNFTables)
	if c.UsesDocker() {
		orElse(&s.Docker.Package, DockerIO)
	}
	orElse(&s.Firewall, FirewallManaged)
	orElse(&s.SELinux, SELinuxKeep)
	orElse(&s.TimeService, TimeServiceKeep)
	orElse(&s.Kubelet.MaxPods, 110)
	defaultAddons(&s.Addons)
	if c.Metadata.Name != "" {
		orElse(&s.Addons.Ingress.Domain, c.Metadata.Name+".internal") // which is reserved for private networks
	}
}

// defaultAddons fills in what is chosen for an addon, whether it is enabled or not: what addon values shows is then what enabling it means.
func defaultAddons(a *Addons) {
	orElse(&a.Flannel.Backend, BackendVXLAN)
	orElse(&a.Ingress.Expose, ExposeHostPort)
	if a.Ingress.Expose == ExposeNodePort {
		orElse(&a.Ingress.HTTPPort, 30080)
		orElse(&a.Ingress.HTTPSPort, 30443)
	}
	orElse(&a.Ingress.DefaultClass, ClassTraefik)
	if a.Dashboard.Host == "" {
		orElse(&a.Dashboard.NodePort, 30000)
	}
	orElse(&a.Monitoring.Profile, ProfileOperator)
	orElse(&a.Monitoring.NodePort, 30090)
	orElse(&a.Monitoring.Retention, "24h")
	if a.Monitoring.ControlPlane == nil {
		a.Monitoring.ControlPlane = new(true)
	}
	orElse(&a.Monitoring.Grafana.NodePort, 30002)
	orElse(&a.Storage.Path, "/var/lib/kubewright-volumes")
	if len(a.Storage.NFS.Exports) == 0 {
		a.Storage.NFS.Exports = []Export{{Path: "/srv/nfs"}}
	}
	for i := range a.Storage.NFS.Exports {
		orElse(&a.Storage.NFS.Exports[i].Size, "10Gi")
	}
}

// inherit fills a host's ssh section from spec.ssh, field by field.
func inherit(s *SSH, from SSH) {
	orElse(&s.Address, from.Address)
	orElse(&s.Port, from.Port)
	orElse(&s.User, from.User)
	orElse(&s.KeyFile, from.KeyFile)
	orElse(&s.KnownHostsFile, from.KnownHostsFile)
	if len(s.HostKeys) == 0 {
		s.HostKeys = append([]string(nil), from.HostKeys...)
	}
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
