package source

import (
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A recipe is data, never code: its hash decides whether something must be built again. Versions are not part of it;
// wherever {version} or {module} is written, the committed lock's are put in.

// goBuild is one `go build` in a module of its own that requires the sources.
type goBuild struct {
	Name     string            // also the name in the cache
	Sources  []string          // keys of the lock's sources; the first one's go.mod gives the go line, godebug and replaces
	Packages map[string]string // program -> package; {module} is the first source's
	Tags     string
	Stamp    []string // NAME=VALUE variables set by the linker
	Cgo      bool     // needs C; still linked statically
	Stubs    []stub   // modules that are replaced by a stand-in of ours
	Own      string   // instead of sources: a program of ours, in the embedded tree
}

// stub replaces a module that the build names but cannot have.
type stub struct {
	Module string
	Dir    string // in the embedded tree
}

const componentVersion = "k8s.io/component-base/version."
const clientVersion = "k8s.io/client-go/pkg/version."

// goBuilds lists everything that is compiled.
var goBuilds = slices.Concat(clusterBuilds, addonBuilds)

// clusterBuilds lists what a cluster is made of, the longest first.
var clusterBuilds = []goBuild{
	{
		Name:    "kubernetes",
		Sources: []string{"kubernetes"},
		Packages: map[string]string{
			"agnhost":                 "{module}/test/images/agnhost",
			"kube-apiserver":          "{module}/cmd/kube-apiserver",
			"kube-controller-manager": "{module}/cmd/kube-controller-manager",
			"kube-proxy":              "{module}/cmd/kube-proxy",
			"kube-scheduler":          "{module}/cmd/kube-scheduler",
			"kubeadm":                 "{module}/cmd/kubeadm",
			"kubectl":                 "{module}/cmd/kubectl",
			"kubelet":                 "{module}/cmd/kubelet",
		},
		Stamp: []string{
			componentVersion + "gitVersion={version}", componentVersion + "gitMajor={major}", componentVersion + "gitMinor={minor}",
			componentVersion + "gitTreeState=clean", componentVersion + "gitCommit=", componentVersion + "buildDate=1970-01-01T00:00:00Z",
			clientVersion + "gitVersion={version}", clientVersion + "gitMajor={major}", clientVersion + "gitMinor={minor}",
			clientVersion + "gitTreeState=clean", clientVersion + "gitCommit=", clientVersion + "buildDate=1970-01-01T00:00:00Z",
		},
	},
	{
		Name:    "containerd",
		Sources: []string{"containerd"},
		Packages: map[string]string{
			"containerd":              "{module}/cmd/containerd",
			"containerd-shim-runc-v2": "{module}/cmd/containerd-shim-runc-v2",
			"ctr":                     "{module}/cmd/ctr",
		},
		// The snapshotters left out need C or kernel modules that no host of ours is asked for.
		Tags:  "no_btrfs no_devmapper no_zfs no_aufs urfave_cli_no_docs",
		Stamp: []string{"{module}/version.Version={version}"},
	},
	{
		Name:     "runc",
		Sources:  []string{"runc"},
		Packages: map[string]string{"runc": "{module}"},
		Tags:     "seccomp netgo osusergo urfave_cli_no_docs", // without seccomp every pod fails
		Cgo:      true,
	},
	{
		Name:    "cni",
		Sources: []string{"cni"},
		Packages: map[string]string{
			"bandwidth":  "{module}/plugins/meta/bandwidth",
			"bridge":     "{module}/plugins/main/bridge",
			"firewall":   "{module}/plugins/meta/firewall",
			"host-local": "{module}/plugins/ipam/host-local",
			"loopback":   "{module}/plugins/main/loopback",
			"portmap":    "{module}/plugins/meta/portmap",
			"tuning":     "{module}/plugins/meta/tuning",
		},
		Stamp: []string{"{module}/pkg/utils/buildversion.BuildVersion={version}"},
	},
	{
		Name:     "cni-flannel",
		Sources:  []string{"cni-flannel"},
		Packages: map[string]string{"flannel": "{module}/plugins/meta/flannel"},
		Stamp:    []string{"{module}/pkg/utils/buildversion.BuildVersion={version}"},
	},
	{
		Name:    "etcd",
		Sources: []string{"etcd", "etcdctl", "etcdutl"},
		Packages: map[string]string{
			"etcd":    "{module}",
			"etcdctl": "go.etcd.io/etcd/etcdctl/v3",
			"etcdutl": "go.etcd.io/etcd/etcdutl/v3",
		},
		Stamp: []string{"go.etcd.io/etcd/api/v3/version.GitSHA={version}"},
	},
	{
		Name:     "coredns",
		Sources:  []string{"coredns"},
		Packages: map[string]string{"coredns": "{module}"},
	},
	{
		Name:     "flanneld",
		Sources:  []string{"flannel"},
		Packages: map[string]string{"flanneld": "{module}"},
		Tags:     "netgo osusergo",
		Cgo:      true, // its udp backend
		Stamp:    []string{"{module}/pkg/version.Version={version}"},
		Stubs: []stub{
			{"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common", "_tencent/common"},
			{"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/vpc", "_tencent/vpc"},
		},
	},
	{
		Name:     "crictl",
		Sources:  []string{"cri-tools"},
		Packages: map[string]string{"crictl": "{module}/cmd/crictl"},
		Stamp:    []string{"{module}/pkg/version.Version={version}"},
	},
	{
		Name:     "cri-dockerd",
		Sources:  []string{"cri-dockerd"},
		Packages: map[string]string{"cri-dockerd": "{module}"},
		Stamp:    []string{"{module}/cmd/version.Version={version}"},
	},
	{
		Name:     "registry",
		Sources:  []string{"distribution"},
		Packages: map[string]string{"registry": "{module}/cmd/registry"},
		Stamp:    []string{"{module}/version.version={version}"},
	},
	{
		Name:     "iptables-choose",
		Own:      "iptables",
		Packages: map[string]string{"iptables-choose": "{module}"},
	},
	{
		Name:     "headlamp",
		Own:      "headlamp",
		Packages: map[string]string{"headlamp": "{module}"},
	},
}

// cBuild is one C file of a source, compiled by itself.
type cBuild struct {
	Name   string
	Source string // a key of the lock's sources
	File   string
	Image  string // the image whose version is stamped as VERSION
}

// pause is what every pod starts with and what stays to the end: the original is smaller and quicker than a Go program.
var pause = cBuild{Name: "pause", Source: "kubernetes", File: "build/pause/linux/pause.c", Image: "pause"}

// buildOf says which build a program comes from.
func buildOf(program string) string {
	for _, b := range goBuilds {
		if _, ok := b.Packages[program]; ok {
			return b.Name
		}
	}
	return ""
}

// image is a recipe for an image: shared layers, then one of its own.
type image struct {
	Name   string
	Shared []string          // keys of sharedLayers
	Files  map[string]string // path -> program, as BUILD/PROGRAM
	Links  map[string]string // path -> target
	Texts  map[string]string // path -> what is written there
	Dirs   []string          // writable directories
	Certs  bool              // the public certificate authorities
	Page   string            // where the page is put, if it has one
	Config v1.Config
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// plain is an image with programs in /usr/local/bin, where kubeadm's manifests look for them.
func plain(name string, programs ...string) image {
	m := image{Name: name, Files: map[string]string{}, Certs: true, Config: v1.Config{Env: []string{defaultPath}}}
	for _, p := range programs {
		m.Files["usr/local/bin/"+p] = buildOf(p) + "/" + p
	}
	m.Config.Entrypoint = []string{"/usr/local/bin/" + programs[0]}
	return m
}

// onBase is a plain image over the shared layers with a shell and the network tools.
func onBase(m image) image {
	m.Shared = []string{"busybox", "nettools"}
	m.Certs = false // nettools has them
	return m
}

// images lists the images.
var images = slices.Concat(clusterImages, addonImages)

// clusterImages are those that a cluster cannot be without, and agnhost.
var clusterImages = []image{
	plain("kube-apiserver", "kube-apiserver"),
	plain("kube-controller-manager", "kube-controller-manager"),
	plain("kube-scheduler", "kube-scheduler"),
	plain("etcd", "etcd", "etcdctl", "etcdutl"),
	onBase(plain("kube-proxy", "kube-proxy")),
	{
		Name:   "pause",
		Files:  map[string]string{"pause": "pause/pause"},
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{"/pause"}, User: "65535:65535"},
	},
	{
		Name:   "coredns",
		Files:  map[string]string{"coredns": "coredns/coredns"},
		Certs:  true,
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{"/coredns"}, WorkingDir: "/"},
	},
	onBase(image{
		Name:   "flannel",
		Files:  map[string]string{"opt/bin/flanneld": "flanneld/flanneld"},
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{"/opt/bin/flanneld"}},
	}),
	{
		Name:   "agnhost",
		Shared: []string{"busybox"},
		Files:  map[string]string{"agnhost": "kubernetes/agnhost"},
		Links:  map[string]string{"agnhost-2": "agnhost"},
		Dirs:   []string{"uploads"},
		Certs:  true,
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}},
	},
	{
		Name:   "headlamp",
		Files:  map[string]string{"headlamp/headlamp": "headlamp/headlamp"},
		Page:   "headlamp/page",
		Config: v1.Config{Env: []string{defaultPath}, Entrypoint: []string{"/headlamp/headlamp"}, User: "65534:65534"},
	},
}
