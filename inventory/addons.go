package inventory

// Addons is what runs in the cluster besides what makes it one.
type Addons struct {
	Flannel       Flannel       `json:"flannel,omitzero"`
	Ingress       Ingress       `json:"ingress,omitzero"`
	MetricsServer MetricsServer `json:"metricsServer,omitzero"`
	Dashboard     Dashboard     `json:"dashboard,omitzero"`
	Monitoring    Monitoring    `json:"monitoring,omitzero"`
	Storage       Storage       `json:"storage,omitzero"`
	Own           []Own         `json:"own,omitempty"` // the user's
}

// Flannel is the pod network, which every cluster has.
type Flannel struct {
	Backend string `json:"backend,omitempty"` // how packets reach other nodes: vxlan (default), host-gw, where all nodes are in one network, or wireguard
	MTU     int    `json:"mtu,omitempty"`     // of the network between nodes, of which pods have what the backend leaves; default: their interface's
}

// Ingress brings HTTP from outside to Services: Traefik, for the classes traefik and nginx.
type Ingress struct {
	Enabled   bool   `json:"enabled"`
	Expose    string `json:"expose,omitempty"`    // hostPort (default): ports 80 and 443 of every worker; or nodePort
	HTTPPort  int    `json:"httpPort,omitempty"`  // with nodePort: default 30080
	HTTPSPort int    `json:"httpsPort,omitempty"` // with nodePort: default 30443
	// DefaultClass is the class of an Ingress that names none: traefik (default), nginx or none.
	DefaultClass string `json:"defaultClass,omitempty"`
	// Domain is what the default certificate is for, besides every name right below it; default: the cluster's name and .internal. The cluster's
	// authority signs it.
	Domain string `json:"domain,omitempty"`
	// Certificate is the user's own, instead.
	Certificate KeyPair `json:"certificate,omitzero"`
}

// KeyPair is a certificate and its private key in files of the workstation.
type KeyPair struct {
	CertFile string `json:"certFile,omitempty"` // PEM, the chain with it; relative to the inventory
	KeyFile  string `json:"keyFile,omitempty"`  // PEM
}

// MetricsServer answers kubectl top and the HorizontalPodAutoscaler.
type MetricsServer struct {
	Enabled bool `json:"enabled"`
}

// Dashboard is Headlamp, the cluster in a browser.
type Dashboard struct {
	Enabled  bool   `json:"enabled"`
	NodePort int    `json:"nodePort,omitempty"` // default 30000
	Host     string `json:"host,omitempty"`     // a name at which the addon ingress serves it, instead of a NodePort
	Admin    bool   `json:"admin,omitempty"`    // there is also an account that may change everything
}

// Monitoring is Prometheus and what belongs to it.
type Monitoring struct {
	Enabled   bool   `json:"enabled"`
	Profile   string `json:"profile,omitempty"`   // operator (default), or plain, for small labs
	NodePort  int    `json:"nodePort,omitempty"`  // of Prometheus' own page; default 30090
	Retention string `json:"retention,omitempty"` // how long samples are kept; default 24h
	// ControlPlane says whether the control plane's parts are watched as well; default true.
	ControlPlane *bool   `json:"controlPlane,omitempty"`
	Grafana      Grafana `json:"grafana,omitzero"`
}

// Grafana shows dashboards. Its image has to be in the bundle.
type Grafana struct {
	Enabled  bool `json:"enabled,omitempty"`
	NodePort int  `json:"nodePort,omitempty"` // default 30002
}

// Storage makes volumes where a claim asks for one: a directory on the node where the pod runs.
type Storage struct {
	Enabled bool   `json:"enabled"`
	Path    string `json:"path,omitempty"` // where on the nodes; default /var/lib/kubewright-volumes
	NFS     NFS    `json:"nfs,omitzero"`
}

// NFS is a server whose exports are volumes that pods on all nodes may write to.
type NFS struct {
	Enabled bool     `json:"enabled,omitempty"`
	Server  string   `json:"server,omitempty"`  // an address or name that is there already; default: the registry host becomes one
	Exports []Export `json:"exports,omitempty"` // default: one, /srv/nfs of 10Gi
}

// Export is a directory on the NFS server that becomes a PersistentVolume.
type Export struct {
	Path string `json:"path"`           // on the server
	Size string `json:"size,omitempty"` // what the volume says of itself; default 10Gi
}

// Own is an addon of the user's: manifests that are applied, pruned and awaited like the others'.
type Own struct {
	Name      string   `json:"name"`
	Path      string   `json:"path,omitempty"`      // a file or a folder of manifests; relative to the inventory
	Manifests Lines    `json:"manifests,omitempty"` // or the manifests themselves
	Needs     []string `json:"needs,omitempty"`     // addons that must work first
}

// Lines is text of several lines.
type Lines string

// NFSHost is the host that becomes the addon storage's NFS server, if one does.
func (c *Cluster) NFSHost() (h Host, ok bool) {
	if !c.NFS() || c.Spec.Addons.Storage.NFS.Server != "" {
		return Host{}, false
	}
	for _, h := range c.With(Registry) {
		return h, true
	}
	return Host{}, false
}

// NFSServer is where nodes find the exports: what the inventory says, or the address of the host that becomes the server.
func (c *Cluster) NFSServer() string {
	if h, ok := c.NFSHost(); ok {
		return h.Address.String()
	}
	return c.Spec.Addons.Storage.NFS.Server
}

// NFS says whether the cluster is to have volumes of an NFS server.
func (c *Cluster) NFS() bool {
	return c.Spec.Addons.Storage.Enabled && c.Spec.Addons.Storage.NFS.Enabled
}
