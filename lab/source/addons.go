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
		Name:     "metrics-server",
		Sources:  []string{"metrics-server"},
		Packages: map[string]string{"metrics-server": "{module}/cmd/metrics-server"},
		Stamp:    []string{clientVersion + "gitVersion={version}", clientVersion + "gitCommit=", clientVersion + "buildDate=1970-01-01T00:00:00Z"},
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
