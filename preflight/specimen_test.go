package preflight

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
)

// course is the example inventory: a master, two workers, a registry.
func course(t *testing.T) *inventory.Cluster {
	t.Helper()
	c, err := inventory.Parse("cluster.yaml", inventory.Example())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// noon is when all specimens are.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const (
	gib = 1 << 30
	mib = 1 << 20
)

// good is what the hosts of the example inventory say when nothing stands in the way: machines with Debian on them, as they come. The registry is
// smaller than a node may be, and on cgroup v1.
func good(c *inventory.Cluster) map[string]agent.Facts {
	out := map[string]agent.Facts{}
	modules := map[string]string{}
	for m := range optionOf {
		modules[m] = "available"
	}
	for i, h := range c.Spec.Hosts {
		f := agent.Facts{
			Hostname: h.Name, OS: "debian", Kernel: "6.1.0-18-amd64", Arch: "amd64", CPUs: minCPUs, Memory: minMemory, Available: 1 * gib, Now: noon,
			BootID: fmt.Sprintf("%08x-0000-4000-8000-000000000000-17", i+1), MachineID: fmt.Sprintf("%032x", i+1), ProductUUID: fmt.Sprintf("%08x-1111-4000-8000-000000000000", i+1),
			Init: "systemd", Cgroup: 2, Controllers: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"}, Seccomp: true,
			Guard:   agent.Guard{AppArmor: true, AppArmorParser: true},
			Units:   map[string]ops.UnitState{"systemd-timesyncd.service": {Exists: true, Enabled: true, Active: true}, "ufw.service": {Exists: true}},
			Manager: ops.Manager{Version: "252", State: "running"},
			Modules: maps.Clone(modules), Listed: true,
			Options: map[string]string{},
			Sysctls: map[string]string{"fs.inotify.max_user_instances": "128", "fs.inotify.max_user_watches": "15360", "fs.file-max": "9223372036854775807",
				"kernel.pid_max": "4194304", "kernel.threads-max": "15400", "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.eth0.rp_filter": "2", "kernel.modules_disabled": "0"},
			Interfaces: []agent.Interface{
				{Name: "lo", MTU: 65536, Up: true, Addresses: []string{"127.0.0.1/8", "::1/128"}},
				{Name: "eth0", MTU: 1500, MAC: fmt.Sprintf("52:54:00:00:00:%02x", i+1), Up: true, Addresses: []string{"fe80::1/64", h.Address.String() + "/24"}},
			},
			DefaultRoute: "eth0", Defaults: []string{"eth0"}, Routes: []agent.Route{{Network: "192.168.1.0/24", Interface: "eth0"}},
			Listening:   []agent.Listener{{Protocol: "tcp", Address: "0.0.0.0", Port: 22, PID: 400, Process: "sshd"}, {Protocol: "udp", Address: "0.0.0.0", Port: 68, PID: 300, Process: "dhclient"}},
			Nameservers: []string{"192.168.1.254"}, Search: []string{"example.net"}, Names: []string{"127.0.1.1"},
			Clock: agent.Clock{Known: true, Synced: true}, Access: agent.Access{MaxSessions: 10},
		}
		for _, path := range []string{"/etc", "/etc/kubernetes", "/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/kubewright", "/var/lib/registry", "/var/log",
			"/usr/local/bin", "/usr/local/sbin", "/opt/cni/bin"} {
			f.Disks = append(f.Disks, agent.Disk{Path: path, Type: "ext4", Size: 40 * gib, Free: 30 * gib, Inodes: 2600000, IFree: 2500000, Device: 2049})
		}
		f.Disks = append(f.Disks, agent.Disk{Path: "/run", Type: "tmpfs", Size: 400 * mib, Free: 399 * mib, Inodes: 500000, IFree: 499000, Device: 23, Flags: "noexec,nosuid"})
		for o := range options(f) {
			f.Options[o] = "y"
		}
		if h.Name == "registry" {
			f.CPUs, f.Memory, f.Cgroup = 1, 512<<20, 1
		}
		out[h.Name] = f
	}
	return out
}

// options are those that a kernel is asked about here.
func options(f agent.Facts) map[string]bool {
	out := map[string]bool{}
	for _, o := range slices.Concat(requiredOptions, perCgroup[1], perCgroup[2]) {
		out[o] = true
	}
	return out
}

// world is a cluster with what its hosts say and answer, to be spoilt by a test.
type world struct {
	Input
	t *testing.T
}

// clean is a world in which nothing stands in the way, with a survey in which everything went well.
func clean(t *testing.T) *world {
	w := &world{Input: Input{Cluster: course(t), Now: noon, Skews: map[string]Skew{}, Needs: map[string]Needs{}, Surveys: map[string]*agent.Survey{}}, t: t}
	w.Facts = good(w.Cluster)
	for _, h := range w.Cluster.Spec.Hosts {
		w.Skews[h.Name] = Skew{Ahead: 20 * time.Millisecond, Within: 10 * time.Millisecond}
		n := Needs{Platform: "linux/amd64", Room: []Room{{"/var/lib/kubewright", "the agent", 64 * mib}}, Pause: "r/pause@sha256:1"}
		if h.Node() {
			n.Room = append(n.Room, Room{"/var/lib/containerd", "images", 1 * gib})
			n.Pulls = []agent.Manifest{{Repository: "pause", Digest: "sha256:1"}, {Repository: "flannel", Digest: "sha256:2"}}
		}
		w.Needs[h.Name] = n
	}
	// The registry's own program listens, as where a cluster is.
	w.facts("registry", func(f *agent.Facts) {
		f.Changes = 9
		f.Listening = append(f.Listening, agent.Listener{Protocol: "tcp", Address: "192.168.1.100", Port: 5000, PID: 9, Process: "registry"})
	})
	w.ask(Scope{Window: time.Second, Fsync: time.Second, Pulls: true})
	return w
}

// ask makes the survey anew, in which everything goes well.
func (w *world) ask(s Scope) {
	w.Asked = Survey(w.Input, s)
	for name, a := range w.Asked {
		v := &agent.Survey{Heard: noon, Said: noon, Overlay: "ok"}
		for _, o := range a.Listen {
			how := "open"
			for _, held := range w.Facts[name].Listening {
				if held.Port == o.Port && held.Protocol == o.Protocol {
					how = "taken"
				}
			}
			v.Opened = append(v.Opened, how)
		}
		for _, c := range a.Try {
			got := agent.Crossed{State: agent.CrossOK}
			if c.Big {
				got.MTU, got.Passed = 1500, 1500
			}
			v.Crossed = append(v.Crossed, got)
		}
		for range a.Names {
			v.Names = append(v.Names, agent.Resolved{Addresses: []string{"192.168.1.21"}})
		}
		if a.Fsync != "" {
			v.Fsync = &agent.Fsync{Count: 1000, P50: time.Millisecond, P99: 3 * time.Millisecond, Max: 20 * time.Millisecond}
		}
		if a.Registry != nil {
			for range a.Registry.Manifests {
				v.Pulled = append(v.Pulled, "ok")
			}
		}
		if a.Trial != "" {
			v.Trial = "ok"
		}
		w.Surveys[name] = v
	}
}

// facts spoils what a host says of itself.
func (w *world) facts(host string, spoil func(*agent.Facts)) {
	f, known := w.Facts[host]
	if !known {
		w.t.Fatalf("there is no host %s", host)
	}
	spoil(&f)
	w.Facts[host] = f
}

// disk spoils a file system.
func disk(path string, spoil func(*agent.Disk)) func(*agent.Facts) {
	return func(f *agent.Facts) {
		f.Disks = slices.Clone(f.Disks)
		for i := range f.Disks {
			if f.Disks[i].Path == path {
				spoil(&f.Disks[i])
			}
		}
	}
}

// crossed spoils every way from one host to a port of another.
func (w *world) crossed(src, dst string, port int, protocol string, spoil func(*agent.Crossed)) {
	h, _ := w.Cluster.Host(dst)
	for i, c := range w.Asked[src].Try {
		if c.To == h.Address.String() && c.Port == port && c.Protocol == protocol {
			spoil(&w.Surveys[src].Crossed[i])
			return
		}
	}
	w.t.Fatalf("%s is not asked to try %d/%s of %s", src, port, protocol, dst)
}

// opened spoils how listening on a port went.
func (w *world) opened(host string, port int, how string) {
	for i, o := range w.Asked[host].Listen {
		if o.Port == port {
			w.Surveys[host].Opened[i] = how
			return
		}
	}
	w.t.Fatalf("%s is not asked to listen on %d", host, port)
}

// authority makes an authority's certificate for a span of time around noon.
func authority(t *testing.T, ca bool, from, until time.Duration) string {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, NotBefore: noon.Add(from), NotAfter: noon.Add(until),
		IsCA: ca, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}
