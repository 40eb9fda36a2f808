package phases_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/ops"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// What a node's own programs do on a pretend machine, as far as the phases depend on it or have to clean up after it.

// ctr knows the three things that are asked of it, and pulls only what the registry has, by digest, the way containerd was told.
func (w *world) ctr(m *ops.Pretend) func([]string) ([]byte, error) {
	// Images are containerd's, and go with its directory.
	const store = "/var/lib/containerd/pretend-images"
	return func(argv []string) ([]byte, error) {
		if len(argv) < 6 || argv[1] != "-n" || argv[2] != "k8s.io" || argv[3] != "images" {
			return nil, fmt.Errorf("ctr: %q is not understood", argv)
		}
		ref := strings.TrimPrefix(argv[len(argv)-1], "name==")
		have, _ := os.ReadFile(m.Path(store))
		images := strings.Fields(string(have))
		switch argv[4] {
		case "ls":
			if slices.Contains(images, ref) {
				return []byte(ref + "\n"), nil
			}
			return nil, nil
		case "pull":
			if hosts := "/etc/containerd/certs.d/" + w.cluster.Registry() + "/hosts.toml"; !there(m, hosts) {
				return nil, fmt.Errorf("ctr: %s is not there", hosts)
			}
			for _, c := range w.lock.Components {
				if c.Kind != bundle.KindFile && c.Pinned(w.cluster.Registry()) == ref && w.stored(c) {
					return nil, put(m, store, strings.Join(append(images, ref), "\n"))
				}
			}
			return nil, fmt.Errorf("ctr: %s: not found", ref)
		case "rm":
			return nil, put(m, store, strings.Join(slices.DeleteFunc(images, func(i string) bool { return i == ref }), "\n"))
		}
		return nil, fmt.Errorf("ctr: %q is not understood", argv)
	}
}

// needs notes what a program would have missed when it started.
func (w *world) needs(host, program string, m *ops.Pretend, paths ...string) {
	for _, p := range paths {
		if !there(m, p) {
			w.problem("%s: %s was started without %s", host, program, p)
		}
	}
}

// leaves makes what a program makes, in directories that have to be there before.
func (w *world) leaves(host, program string, m *ops.Pretend, dir string, files ...string) {
	w.needs(host, program, m, dir)
	for _, f := range files {
		if err := put(m, dir+"/"+f, program+"'s\n"); err != nil {
			w.problem("%s: %s: %v", host, program, err)
		}
	}
}

func (w *world) containerd(host string, m *ops.Pretend, active bool) {
	if !active {
		return
	}
	w.needs(host, "containerd", m, "/usr/local/bin/containerd", "/usr/local/bin/containerd-shim-runc-v2", "/usr/local/sbin/runc", "/etc/containerd/config.toml")
	w.leaves(host, "containerd", m, "/var/lib/containerd", "io.containerd.content.v1.content/blobs/x")
	w.leaves(host, "containerd", m, "/run/containerd", "io.containerd.runtime.v2.task/k8s.io/x/pid")
	w.leaves(host, "containerd", m, "/run", "nri/nri.sock")
}

// kubelet is the kubelet and, since it starts them, all that runs in pods.
func (w *world) kubelet(host string, m *ops.Pretend, active bool) {
	if !active {
		return
	}
	w.needs(host, "kubelet", m, "/usr/local/bin/kubelet", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env", "/etc/kubernetes/kubelet.conf",
		"/var/lib/kubelet/pki/kubelet-client-current.pem", "/var/lib/kubelet/pki/kubelet-server.key", "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/manifests",
		"/etc/cni/net.d/10-flannel.conflist")
	if h, _ := w.cluster.Host(host); h.Docker() {
		w.pod(m)
	} else {
		w.needs(host, "kubelet", m, "/run/containerd/containerd.sock")
	}
	for _, plugin := range []string{"bridge", "flannel", "host-local", "loopback", "portmap"} {
		w.needs(host, "kubelet", m, "/opt/cni/bin/"+plugin)
	}
	w.leaves(host, "kubelet", m, "/var/lib/kubelet", "cpu_manager_state", "pods/x/volumes/token/ca.crt")
	w.leaves(host, "kubelet", m, "/var/log/pods", "kube-system_x/x/0.log")
	w.leaves(host, "kubelet", m, "/var/log/containers", "x.log")
	w.leaves(host, "kubelet", m, "/usr/libexec/kubernetes", "kubelet-plugins/volume/exec/.keep")
	w.leaves(host, "the CNI plugins", m, "/var/lib/cni", "networks/cbr0/10.244.0.2")
	w.leaves(host, "flannel", m, "/run/flannel", "subnet.env")
	w.leaves(host, "kube-proxy", m, "/run", "xtables.lock")
	for name, value := range map[string]string{"kernel/panic": "10", "vm/overcommit_memory": "1"} {
		if err := put(m, "/proc/sys/"+name, value+"\n"); err != nil {
			w.problem("%s: %v", host, err)
		}
	}
	for _, dir := range []string{"/run/netns", "/sys/fs/cgroup/cpuset/kubepods.slice/kubepods-burstable.slice/x"} {
		if err := os.MkdirAll(m.Path(dir), 0o755); err != nil {
			w.problem("%s: %v", host, err)
		}
	}
	const volume = "60 22 0:40 / /var/lib/kubelet/pods/x/volumes/token rw - tmpfs tmpfs rw\n"
	if mounts, _ := os.ReadFile(m.Path("/proc/self/mountinfo")); !strings.Contains(string(mounts), volume) {
		if err := put(m, "/proc/self/mountinfo", string(mounts)+volume); err != nil {
			w.problem("%s: %v", host, err)
		}
	}
	if links, _ := m.Links(); !slices.Contains(links, "cni0") {
		m.Grow([]string{"cni0", "flannel.1"}, []string{"ip kube-proxy", "ip flannel-ipv4"}, false)
	}
	m.Give("kubepods.slice", ops.UnitState{Active: true})
}

// whilePods answers while the kubelet runs and has the static pods, and notes why a pod could not have run.
func (w *world) whilePods(host string, m *ops.Pretend, names ...string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if s, err := m.Units().State(r.Context(), "kubelet.service"); err != nil || !s.Active {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		for _, name := range names {
			text, err := os.ReadFile(m.Path("/etc/kubernetes/manifests/" + name + ".yaml"))
			if err != nil {
				rw.WriteHeader(http.StatusBadGateway)
				return
			}
			var pod corev1.Pod
			if err := yaml.UnmarshalStrict(text, &pod); err != nil {
				w.problem("%s: %s: %v", host, name, err)
				continue
			}
			w.run(host, m, &pod)
		}
	})
}

// run runs a static pod, and looks for what would keep it from running: an image that is not there, a volume that is not, a flag that names
// a file which no volume brings.
func (w *world) run(host string, m *ops.Pretend, pod *corev1.Pod) {
	images, _ := os.ReadFile(m.Path("/var/lib/containerd/pretend-images"))
	if h, _ := w.cluster.Host(host); h.Docker() {
		images, _ = os.ReadFile(m.Path("/var/lib/docker/pretend.json"))
	}
	c := pod.Spec.Containers[0]
	// The runtime keeps an image that was pulled by digest under that, whatever the tag says.
	name, digest, _ := strings.Cut(c.Image, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	if !strings.Contains(string(images), name+"@"+digest) {
		w.problem("%s: %s runs %s, which was not pulled", host, pod.Name, c.Image)
	}
	for _, v := range pod.Spec.Volumes {
		fi, err := os.Stat(m.Path(v.HostPath.Path))
		if err != nil || fi.IsDir() != (*v.HostPath.Type == corev1.HostPathDirectory) {
			w.problem("%s: %s: volume %s: %s is not a %s", host, pod.Name, v.Name, v.HostPath.Path, *v.HostPath.Type)
		}
	}
	for _, arg := range c.Command[1:] {
		flag, value, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(value, "/") {
			continue
		}
		mounted := slices.ContainsFunc(c.VolumeMounts, func(v corev1.VolumeMount) bool {
			return value == v.MountPath || strings.HasPrefix(value, v.MountPath+"/")
		})
		if !mounted {
			w.problem("%s: %s: %s names %s, which no volume brings", host, pod.Name, flag, value)
		}
		if value == "/var/log/kubernetes/audit/audit.log" { // which it makes
			w.leaves(host, pod.Name, m, "/var/log/kubernetes/audit", "audit.log")
		}
		if flag == "--data-dir" {
			w.leaves(host, pod.Name, m, value, "member/snap/db")
			for _, made := range []string{"member", "member/snap", "member/snap/db"} {
				if as := pod.Spec.SecurityContext; as.RunAsUser != nil {
					if err := m.Chown(m.Path(value+"/"+made), int(*as.RunAsUser), int(*as.RunAsGroup)); err != nil {
						w.problem("%s: %v", host, err)
					}
				}
			}
		}
		fi, err := os.Stat(m.Path(value))
		if err != nil {
			w.problem("%s: %s: %s names %s, which is not there", host, pod.Name, flag, value)
			continue
		}
		if as := pod.Spec.SecurityContext.RunAsUser; as != nil && fi.Mode()&0o004 == 0 {
			if uid, _ := m.OwnerOf(fi.Sys().(*syscall.Stat_t)); uid != int(*as) {
				w.problem("%s: %s: %s names %s, which is user %d's and not open to user %d", host, pod.Name, flag, value, uid, *as)
			}
		}
	}
}
