package phases_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/pki"
)

// world is what surrounds pretend hosts while phases are carried out on them: a registry that serves what was pushed to it and nothing
// else, a kernel whose modules bring their parameters along, a runtime, and a kubelet that runs static pods and makes what kubelets make.
type world struct {
	ctx      context.Context
	cluster  *inventory.Cluster
	facts    map[string]agent.Facts
	lock     bundle.Lock
	answers  *phases.Answers
	registry string                    // the host's name
	sessions map[string]*agent.Session // those of a fleet

	mu       sync.Mutex
	machines map[string]*ops.Pretend // those of the newest fleet
	problems []string                // what a true component would have failed for
}

// userConfig is a containerd configuration as somebody may have written it: with Windows' line ends, comments, keys of their own, Docker's list, and no
// end of the last line.
const userConfig = "# ours, by hand\r\nversion = 0x3\r\ndisabled_plugins = [ \"cri\", # Docker's\r\n  'io.containerd.snapshotter.v1.zfs' ]\r\n\r\n[debug]\r\n" +
	"  level = 'debug' # louder\r\n[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.gvisor]\r\n  runtime_type = 'io.containerd.runsc.v1'"

func newWorld(c *inventory.Cluster, facts map[string]agent.Facts, works []engine.Work) *world {
	w := &world{ctx: context.Background(), cluster: c, facts: facts, lock: lock(), registry: c.With(inventory.Registry)[0].Name}
	w.answers = phases.NewAnswers(c, works, w)
	return w
}

func (w *world) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := fmt.Sprintf(format, args...); !slices.Contains(w.problems, p) {
		w.problems = append(w.problems, p)
	}
}

func (w *world) machine(name string) *ops.Pretend {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.machines[name]
}

// prepare makes a host as its facts say it is.
func (w *world) prepare(name string, m *ops.Pretend) error {
	w.mu.Lock()
	if name == w.cluster.Spec.Hosts[0].Name { // the first of a new fleet
		w.machines = map[string]*ops.Pretend{}
	}
	w.machines[name] = m
	w.mu.Unlock()

	f := w.facts[name]
	files := map[string]string{
		"/etc/hosts":                     "127.0.0.1 localhost\n127.0.1.1 " + name, // whose last line does not end
		"/proc/sys/net/ipv4/ip_forward":  "0\n",
		"/etc/passwd":                    "root:x:0:0:root:/root:/bin/bash\n",
		"/etc/shadow":                    "root:*:19000:0:99999:7:::\n",
		"/proc/self/mountinfo":           "22 1 8:1 / / rw - ext4 /dev/vda1 rw\n",
		"/proc/sys/kernel/panic":         "0\n",
		"/proc/sys/vm/overcommit_memory": "0\n",
	}
	if h, _ := w.cluster.Host(name); !h.Docker() && (name == "node-0001" || name == "box") { // where somebody has had containerd before
		files["/etc/containerd/config.toml"] = userConfig
	}
	if len(f.Swaps) > 0 {
		files["/proc/swaps"] = "Filename\tType\tSize\tUsed\tPriority\n" + f.Swaps[0] + "\tpartition\t1024\t0\t-2\n"
		files["/etc/fstab"] = "# by hand\nUUID=1 / ext4 rw 0 1\n" + f.Swaps[0] + "\tnone swap sw 0 0"
	}
	if f.Firewall.UFW {
		files["/etc/ufw/ufw.conf"] = "# on or off\nENABLED=yes\n"
		files["/etc/ufw/user.rules"] = "*filter\n### RULES ###\n\n### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A rule\n\n### END RULES ###\nCOMMIT\n"
	}
	if f.Firewall.Load != "" {
		files[f.Firewall.Load] = "flush ruleset\ntable inet filter {}\n"
	}
	for _, c := range f.Firewall.Chains {
		m.Filter(c)
	}
	if f.Units["firewalld.service"].Active {
		m.Filter(ops.Chain{Table: "inet firewalld"})
		files["/usr/lib/firewalld/zones/public.xml"], files["/usr/lib/firewalld/zones/trusted.xml"] = "<zone></zone>\n", "<zone/>\n"
		files["/etc/firewalld/zones/public.xml"] = "<zone> <!-- ours --> </zone>\n"
	}
	if f.Container != "" || f.Modules["br_netfilter"] == "builtin" {
		files["/proc/sys/net/bridge/bridge-nf-call-iptables"] = "0\n"
		files["/proc/sys/net/bridge/bridge-nf-call-ip6tables"] = "0\n"
	}
	dirs := []string{"/sys/fs/cgroup/cpuset", "/sys/module", "/proc/sys/net", "/var/log", "/usr/local/bin"}
	if name == "master" { // on a host with modules; the others have a kernel without any directory for them
		dirs = append(dirs, "/lib/modules")
	}
	for module, state := range f.Modules {
		if state == "loaded" {
			dirs = append(dirs, "/sys/module/"+module)
		}
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(m.Path(dir), 0o755); err != nil {
			return err
		}
	}
	for path, content := range files {
		if err := put(m, path, content); err != nil {
			return err
		}
	}
	for unit, state := range f.Units {
		m.Give(unit, state)
	}
	m.Offer([]ops.PretendPackage{
		{Name: "chrony", Version: "4.3-2", Group: "_chrony", Files: map[string]string{"/usr/sbin/chronyd": "chronyd", "/usr/lib/systemd/system/chrony.service": "[Service]\n"}},
		{Name: "nfs-common", Version: "2.6", Depends: []string{"rpcbind"}, Leaves: map[string]string{"/var/lib/nfs/state": "x"}},
		{Name: "rpcbind", Version: "1.2"},
		{Name: "nfs-kernel-server", Version: "2.6", Depends: []string{"nfs-common"}, Files: map[string]string{"/lib/systemd/system/nfs-server.service": "[Service]\nType=oneshot\n"}},
	}, w.theirNFS(name)...)
	m.Handle("modprobe", func(argv []string) ([]byte, error) { return nil, w.modprobe(name, m, argv) })
	m.Handle("ctr", w.ctr(m))
	m.OnUnit("containerd.service", func(active bool) { w.containerd(name, m, active) })
	m.OnUnit("kubelet.service", func(active bool) { w.kubelet(name, m, active) })
	if err := w.docker(name, m); err != nil {
		return err
	}
	if err := w.nfs(name, m); err != nil {
		return err
	}
	for _, area := range f.Swaps {
		if !f.Zram || !strings.HasPrefix(area, "/dev/zram") {
			continue
		}
		swap := func(active bool) {
			var err error
			if _, config := os.Lstat(m.Path("/etc/systemd/zram-generator.conf")); active && config == nil {
				err = errors.New("the generator is off")
			} else if active {
				err = m.SwapOn(area, 100)
			} else {
				err = m.SwapOff(area)
			}
			if err != nil {
				w.problem("%s: %s: %v", name, area, err)
			}
		}
		m.Give("dev-zram0.swap", ops.UnitState{Active: true})
		swap(true)
		m.OnUnit("dev-zram0.swap", swap)
	}
	m.Serve("https://"+w.cluster.Registry()+"/", http.HandlerFunc(w.serveRegistry))
	m.Serve("http://127.0.0.1:10248/healthz", w.whilePods(name, m)) // the kubelet itself
	m.Serve("http://127.0.0.1:2381/readyz", w.whilePods(name, m, "etcd"))
	h, _ := w.cluster.Host(name)
	m.Serve("https://"+h.Address.String()+":6443/readyz", w.whilePods(name, m, "etcd", "kube-apiserver"))
	return nil
}

// modprobe loads what the facts say can be loaded. br_netfilter brings the parameters that sysctls of it need.
func (w *world) modprobe(name string, m *ops.Pretend, argv []string) error {
	module, remove := argv[len(argv)-1], argv[1] == "-r"
	if state := w.facts[name].Modules[module]; state != "available" && state != "loaded" {
		return fmt.Errorf("FATAL: Module %s not found", module)
	}
	made := []string{"/sys/module/" + module}
	if module == "br_netfilter" {
		made = append(made, "/proc/sys/net/bridge")
	}
	for _, dir := range made {
		if remove {
			if err := os.RemoveAll(m.Path(dir)); err != nil {
				return err
			}
		} else if err := os.MkdirAll(m.Path(dir), 0o755); err != nil {
			return err
		}
	}
	if module != "br_netfilter" || remove {
		return nil
	}
	return errors.Join(put(m, "/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n"), put(m, "/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0\n"))
}

// serveRegistry is the private registry, while its unit runs.
func (w *world) serveRegistry(rw http.ResponseWriter, r *http.Request) {
	m := w.machine(w.registry)
	if s, err := m.Units().State(r.Context(), "kubewright-registry.service"); err != nil || !s.Active {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	if r.URL.Path == "/v2/" {
		return
	}
	for _, c := range w.lock.Components {
		if c.Kind == bundle.KindFile && r.URL.Path == c.BlobPath() && w.stored(c) {
			rw.Write(program(c.Name))
			return
		}
	}
	rw.WriteHeader(http.StatusNotFound)
}

// link is the file by which the registry knows a component.
func link(c bundle.Component) string {
	return "/var/lib/registry/docker/registry/v2/repositories/" + c.Repository + "/_manifests/revisions/sha256/" + strings.TrimPrefix(c.ManifestDigest(), "sha256:") + "/link"
}

func (w *world) stored(c bundle.Component) bool { return there(w.machine(w.registry), link(c)) }

// answer answers the questions that laws does not, in the way the program does: by Answers.
func (w *world) answer(ctx context.Context, host string, _ *ops.Pretend, q ops.Question) ([]byte, error) {
	return w.answers.Answer(ctx, host, q)
}

// Send puts a program where the host's agent looks for it.
func (w *world) Send(_ context.Context, host, digest string) error {
	for _, c := range w.lock.Components {
		if c.Digest == digest && c.Kind == bundle.KindFile {
			return put(w.machine(host), agent.StateDir+"/blobs/"+strings.TrimPrefix(digest, "sha256:"), string(program(c.Name)))
		}
	}
	return fmt.Errorf("the bundle has no %s", digest)
}

// Push is what the registry does when a component is pushed to it.
func (w *world) Push(ctx context.Context, host, repository string) error {
	m := w.machine(w.registry)
	if s, err := m.Units().State(ctx, "kubewright-registry.service"); err != nil || !s.Active || host != w.registry {
		return errors.New("the registry does not answer")
	}
	for _, c := range w.lock.Components {
		if c.Repository == repository {
			return put(m, link(c), c.ManifestDigest())
		}
	}
	return fmt.Errorf("the bundle has no %s", repository)
}

// Sign and Authority go to the machine that holds the authority; the laws do that themselves.
func (w *world) Sign(ctx context.Context, host, authority string, csr []byte, r pki.Request) ([]byte, error) {
	return w.sessions[host].Sign(ctx, authority, csr, r)
}

// Authority is the certificate of an authority, from the machine that holds it.
func (w *world) Authority(ctx context.Context, host, authority string) ([]byte, error) {
	return w.sessions[host].ReadCA(ctx, authority)
}

// put writes a file. What a test makes on its machine is made with the modes that programs make it with.
func put(m *ops.Pretend, path, content string) error {
	if err := os.MkdirAll(filepath.Dir(m.Path(path)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(m.Path(path), []byte(content), 0o644)
}

func there(m *ops.Pretend, path string) bool {
	_, err := os.Stat(m.Path(path))
	return err == nil
}
