package source

import (
	_ "embed"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// addonImages are those of addons. Programs lie where upstream's images have them, and run as the users that those name, so that what is
// written for the one is true of the other.
var addonImages = []image{
	single("traefik", "/traefik", "65532:65532"),
	single("metrics-server", "/metrics-server", "65534"),
	single("kube-state-metrics", "/kube-state-metrics", "65534"),
	single("node-exporter", "/bin/node_exporter", "65534"),
	single("prometheus-operator", "/bin/operator", "65534"),
	single("prometheus-config-reloader", "/bin/prometheus-config-reloader", "65534"),
	single("kube-rbac-proxy", "/usr/local/bin/kube-rbac-proxy", "65532:65532"),
	single("local-path-provisioner", "/usr/bin/local-path-provisioner", ""),
	{
		// The page that belongs to it is built from parts of which the module has only the source: a small one of ours is in its place.
		Name:   "prometheus",
		Shared: []string{"busybox"},
		Files:  map[string]string{"bin/prometheus": "prometheus/prometheus"},
		Texts:  map[string]string{"usr/share/prometheus/web/ui/static/mantine-ui/index.html": prometheusPage},
		Dirs:   []string{"prometheus"},
		Certs:  true,
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{"/bin/prometheus"}, User: "65534", WorkingDir: "/usr/share/prometheus",
			Cmd: []string{"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"}},
	},
	{
		Name:   "alertmanager",
		Shared: []string{"busybox", "alertmanager"},
		Dirs:   []string{"alertmanager"},
		Certs:  true,
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{"/usr/bin/prometheus-alertmanager"}, User: "65534", WorkingDir: "/alertmanager",
			Cmd: []string{"--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"}},
	},
	{
		// The pair that lessons put into one pod. nginx is what it starts; the other container's command is php-fpm.
		Name:   "lab-web",
		Shared: []string{"busybox", "web"},
		Texts: map[string]string{
			"etc/nginx/nginx.conf":          nginxConf,
			"etc/nginx/conf.d/default.conf": nginxServer,
			"etc/php/8.2/fpm/php-fpm.conf":  fpmConf,
		},
		Dirs:   []string{"run", "var/lib/nginx", "var/log/nginx"}, // either program may be started as anybody
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{"/usr/sbin/nginx"}, Cmd: []string{"-g", "daemon off;"}},
	},
	{
		// What storage's helper pods and a lesson's first pod run.
		Name:   "busybox",
		Shared: []string{"busybox"},
		Config: v1.Config{Env: []string{defaultPath}, Cmd: []string{"sh"}},
	},
}

//go:embed prometheus.html
var prometheusPage string

// single is an image of one program, which is called like the image, wherever it lies in it.
func single(name, entrypoint, user string) image {
	return image{
		Name:   name,
		Files:  map[string]string{entrypoint[1:]: buildOf(name) + "/" + name},
		Certs:  true,
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{entrypoint}, User: user},
	}
}
