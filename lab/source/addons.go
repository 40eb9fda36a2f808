package source

const commonVersion = "github.com/prometheus/common/version."

// addonBuilds lists what addons run, the longest first.
var addonBuilds = []goBuild{
	{
		Name:     "traefik",
		Sources:  []string{"traefik"},
		Packages: map[string]string{"traefik": "{module}/cmd/traefik"},
		Stamp:    []string{"{module}/pkg/version.Version={version}", "{module}/pkg/version.BuildDate=1970-01-01T00:00:00Z"},
	},
	{
		Name: "prometheus-operator",
		// Two modules of its own repository, whose older versions it names.
		Sources: []string{"prometheus-operator", "prometheus-operator-apis", "prometheus-operator-client"},
		Packages: map[string]string{
			"prometheus-operator":        "{module}/cmd/operator",
			"prometheus-config-reloader": "{module}/cmd/prometheus-config-reloader",
		},
		Stamp: []string{commonVersion + "Version={version}"},
	},
	{
		// What it can find things by is here Kubernetes, DNS, files and HTTP: the clouds' own ways are half of it.
		Name:     "prometheus",
		Sources:  []string{"prometheus", "prometheus-operator"},
		Packages: map[string]string{"prometheus": "{module}/cmd/prometheus"},
		Tags:     "netgo osusergo remove_all_sd enable_kubernetes_sd enable_dns_sd",
		Stamp:    []string{commonVersion + "Version={version}"},
	},
	{
		// Built with the operator's versions of Kubernetes' libraries, which are a patch release later than its own: these are compiled once for the
		// three of them.
		Name:     "metrics-server",
		Sources:  []string{"metrics-server", "prometheus-operator"},
		Packages: map[string]string{"metrics-server": "{module}/cmd/metrics-server"},
		Stamp:    []string{clientVersion + "gitVersion={version}", clientVersion + "gitCommit=", clientVersion + "buildDate=1970-01-01T00:00:00Z"},
	},
	{
		Name:     "kube-rbac-proxy",
		Sources:  []string{"kube-rbac-proxy", "prometheus-operator"}, // as metrics-server
		Packages: map[string]string{"kube-rbac-proxy": "{module}/cmd/kube-rbac-proxy"},
		Stamp: []string{componentVersion + "gitVersion={version}", componentVersion + "gitCommit=", componentVersion + "buildDate=1970-01-01T00:00:00Z",
			"k8s.io/component-base/version/verflag.programName=kube-rbac-proxy"},
	},
	{
		Name:     "kube-state-metrics",
		Sources:  []string{"kube-state-metrics"},
		Packages: map[string]string{"kube-state-metrics": "{module}"},
		Stamp:    []string{commonVersion + "Version={version}"},
	},
	{
		Name:     "node-exporter",
		Sources:  []string{"node-exporter"},
		Packages: map[string]string{"node-exporter": "{module}"},
		Tags:     "netgo osusergo",
		Stamp:    []string{commonVersion + "Version={version}"},
	},
	{
		Name:     "local-path-provisioner",
		Sources:  []string{"local-path-provisioner"},
		Packages: map[string]string{"local-path-provisioner": "{module}"},
		Stamp:    []string{"main.VERSION={version}"},
	},
}
