package phases_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
)

// mixed is a cluster with a node of each kind: a control plane and a worker in Docker, a worker in containerd.
func mixed(t *testing.T) *inventory.Cluster {
	return parse(t, []byte(`
apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: mixed}
spec:
  runtime: docker
  hosts:
  - {name: master, address: 192.168.1.21, roles: [control-plane]}
  - {name: node-0001, address: 192.168.1.31, roles: [worker]}
  - {name: node-0002, address: 192.168.1.32, roles: [worker], runtime: containerd}
  - {name: registry, address: 192.168.1.100, roles: [registry]}
  docker:
    mirrors: [https://mirror.example.org]
    insecureRegistries: [old.example.org:5000]
    runc: /usr/lib/runc-wrapper
`))
}

// dockerFacts are hosts of which the first worker has a Docker of somebody's that runs.
func dockerFacts() map[string]agent.Facts {
	out := machineFacts()
	node := out["node-0001"]
	node.Docker = "docker.io"
	node.Units = map[string]ops.UnitState{"docker.service": {Exists: true, Enabled: true, Active: true, Since: time.Now().Add(-time.Hour)}}
	out["node-0001"] = node
	return out
}

// userDaemon is a daemon.json as somebody may have written it, whose last line has no end.
const userDaemon = "{\n    \"debug\": true, \"exec-opts\": [\"native.umask=normal\", \"native.cgroupdriver=cgroupfs\"],\n    \"log-opts\": {\"tag\": \"{{.Name}}\"},\n    \"registry-mirrors\": [\"https://theirs.example.org\"]}"

// docker makes a host one that Docker can run on.
func (w *world) docker(name string, m *ops.Pretend) error {
	running := func(unit string) func() bool {
		return func() bool {
			s, err := m.Units().State(w.ctx, unit)
			return err == nil && s.Active
		}
	}
	h, _ := w.cluster.Host(name)
	if !h.Docker() {
		m.ServeCRI(running("containerd.service"))
		return nil
	}
	theirs := w.facts[name].Units["docker.service"].Active
	m.Offer([]ops.PretendPackage{{Name: "docker.io", Version: "20.10.24", Files: map[string]string{
		"/usr/sbin/dockerd": "dockerd", "/lib/systemd/system/docker.service": "[Service]\nExecStart=/usr/sbin/dockerd\n",
	}}}, map[bool][]string{true: {"docker.io=20.10.24"}}[theirs]...)
	d := &ops.PretendDocker{Running: running("docker.service"), Driver: func() string { return cgroupDriver(m) }}
	d.Pull = func(ref string) error {
		if ca := "/etc/docker/certs.d/" + w.cluster.Registry() + "/ca.crt"; !there(m, "/etc/kubewright/pki/registry-ca.crt") || !linked(m, ca) {
			return fmt.Errorf("%s: x509: certificate signed by unknown authority", ref)
		}
		for _, c := range w.lock.Components {
			if c.Kind == bundle.KindGzip && c.Pinned(w.cluster.Registry()) == ref && w.stored(c) {
				return nil
			}
		}
		return fmt.Errorf("manifest for %s not found", ref)
	}
	m.ServeDocker(d)
	m.ServeCRI(running("cri-docker.service"))
	m.OnUnit("docker.service", func(active bool) {
		if active {
			w.leaves(name, "docker", m, "/run/docker", "netns/default")
			w.leaves(name, "docker", m, "/var/lib/docker", "overlay2/x")
			w.needs(name, "docker", m, "/etc/docker/daemon.json")
			if err := d.Stop(); err != nil {
				w.problem("%s: docker: %v", name, err)
			}
			if links, _ := m.Links(); !slices.Contains(links, "docker0") {
				m.Grow([]string{"docker0"}, nil, false)
			}
		}
	})
	m.OnUnit("cri-docker.service", func(active bool) {
		if active {
			w.needs(name, "cri-dockerd", m, "/usr/local/bin/cri-dockerd", "/etc/systemd/system/cri-docker.socket", "/etc/cni/net.d/10-flannel.conflist")
			w.leaves(name, "cri-dockerd", m, "/var/lib/cri-dockerd", "sandbox/x")
			if !d.Running() {
				w.problem("%s: cri-dockerd was started without Docker", name)
			}
		}
	})
	if theirs {
		m.Grow([]string{"docker0"}, nil, false)
		for path, content := range map[string]string{
			"/etc/docker/daemon.json": userDaemon, "/run/docker/netns/default": "docker's\n", "/var/lib/docker/overlay2/x": "docker's\n",
		} {
			if err := put(m, path, content); err != nil {
				return err
			}
		}
		return d.Run("theirs", "theirs", false, "example.org/theirs@sha256:1")
	}
	return nil
}

// pod is what the kubelet has Docker run.
func (w *world) pod(m *ops.Pretend) {
	d := &ops.PretendDocker{}
	m.ServeStore(d)
	if err := d.Run("a-pod", "of-a-pod", true, "example.org/pod@sha256:2"); err != nil {
		w.problem("%v", err)
	}
}

func linked(m *ops.Pretend, path string) bool {
	_, err := os.Readlink(m.Path(path))
	return err == nil
}

// cgroupDriver is what Docker makes of its configuration, on a host where cgroupfs is the default.
func cgroupDriver(m *ops.Pretend) string {
	text, err := os.ReadFile(m.Path("/etc/docker/daemon.json"))
	var config struct {
		Opts []string `json:"exec-opts"`
	}
	if err == nil && json.Unmarshal(text, &config) == nil && slices.Contains(config.Opts, "native.cgroupdriver=systemd") {
		return "systemd"
	}
	return "cgroupfs"
}

// TestGoldenDocker is what is done, and written, on a host that runs Docker, as far as no other host has it.
func TestGoldenDocker(t *testing.T) {
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 4, 2, ' ', 0)
	all := map[string]string{}
	for _, w := range expand(t, mixed(t), dockerFacts()) {
		if w.Target != "node-0001" {
			continue
		}
		for _, s := range w.Steps {
			fmt.Fprintf(table, "%s\t%s\t%s\n", w.Phase, readable(string(s.Op.Key())), s.Why)
		}
		for path, content := range files(t, w) {
			if strings.Contains(path, "docker") || path == "/etc/crictl.yaml" || strings.HasSuffix(path, "instance-config.yaml") {
				all[path] = content
			}
		}
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	all["plan.txt"] = out.String()
	golden(t, "testdata/docker", all)
}

// TestUsersDaemonStays: what somebody has written beside our keys, and how, is there when ours come and when they have gone.
func TestUsersDaemonStays(t *testing.T) {
	m := ops.NewPretend(t.TempDir())
	if err := put(m, "/etc/docker/daemon.json", userDaemon); err != nil {
		t.Fatal(err)
	}
	op, _ := find(t, mixed(t), dockerFacts(), "node-0001", "merge:/etc/docker/daemon.json")
	first, err := op.Observe(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := op.Set(t.Context(), m, first); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(m.Path("/etc/docker/daemon.json"))
	for _, keep := range []string{`"debug": true`, `"native.umask=normal"`, `"tag": "{{.Name}}"`, `"https://theirs.example.org"`, `"https://mirror.example.org"`, `"native.cgroupdriver=systemd"`} {
		if !strings.Contains(string(text), keep) {
			t.Errorf("%s is not in\n%s", keep, text)
		}
	}
	if strings.Contains(string(text), "cgroupfs") {
		t.Errorf("two drivers are in\n%s", text)
	}
	if err := first.Set(t.Context(), m, op); err != nil {
		t.Fatal(err)
	}
	if text, _ = os.ReadFile(m.Path("/etc/docker/daemon.json")); string(text) != userDaemon {
		t.Errorf("it was\n%s\nand is\n%s", userDaemon, text)
	}
}

func TestADaemonThatCannotStand(t *testing.T) {
	for name, row := range map[string]struct{ text, says string }{
		"logs that kubectl cannot read": {`{"log-driver": "journald"}`, `line 1, column 2`},
		"users of its own":              {"{\n  \"userns-remap\": \"default\"}", "line 2, column 3"},
		"a comma too many":              {"{\n  \"debug\": true,\n}", "line 3, column 1"},
		"a list that is none":           {`{"exec-opts": "native.cgroupdriver=systemd"}`, "exec-opts"},
	} {
		t.Run(name, func(t *testing.T) {
			m := ops.NewPretend(t.TempDir())
			if err := put(m, "/etc/docker/daemon.json", row.text); err != nil {
				t.Fatal(err)
			}
			op, _ := find(t, mixed(t), dockerFacts(), "node-0001", "merge:/etc/docker/daemon.json")
			if _, err := op.Observe(t.Context(), m); err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), "/etc/docker/daemon.json") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestImagesThatEveryRuntimeReads: what runs on all nodes is in the form that Docker reads, the rest in that of its own host.
func TestImagesThatEveryRuntimeReads(t *testing.T) {
	gzip := map[string]map[bool]bool{} // by host, which forms are pulled
	for _, w := range expand(t, mixed(t), dockerFacts()) {
		for _, s := range w.Steps {
			switch op := s.Op.(type) {
			case ops.Image:
				form := strings.Contains(op.Ref, "/gzip/")
				if gzip[w.Target] == nil {
					gzip[w.Target] = map[bool]bool{}
				}
				gzip[w.Target][form] = true
				if op.Docker && !form {
					t.Errorf("%s: Docker cannot read %s", w.Target, op.Ref)
				}
			case addons.Object:
				for _, ref := range references(t, op, mixed(t).Registry()) {
					if !strings.Contains(ref, "/gzip/") {
						t.Errorf("%s: Docker cannot read %s", op.Key(), ref)
					}
				}
			}
		}
	}
	if !gzip["node-0002"][false] || !gzip["node-0002"][true] || gzip["node-0001"][false] {
		t.Errorf("pulled are %v", gzip)
	}
	c := course(t)
	for _, x := range phases.Stocked(c, lock()) {
		if x.Kind == bundle.KindGzip || x.Name == "cri-dockerd" {
			t.Errorf("the registry of a cluster without Docker gets %s", x.Repository)
		}
	}
	unused := addons.Unused(mixed(t))
	wanted := slices.DeleteFunc(lock().Components, func(x bundle.Component) bool { return slices.Contains(unused, x.Name) })
	if n := len(phases.Stocked(mixed(t), lock())); n != len(wanted) {
		t.Errorf("the registry of a cluster with Docker gets %d of %d", n, len(wanted))
	}
}
