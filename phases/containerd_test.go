package phases_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

// TestAContainerdConfigThatCannotStand is refused, by host, path, line and column, while hosts are looked at; nothing is changed on any of them.
func TestAContainerdConfigThatCannotStand(t *testing.T) {
	for _, row := range []struct{ name, text, says string }{
		{"cut off", "version = 3\n[plugins.'io.containerd.cri.v1.images'\n", "line 2, column 39: "},
		{"of containerd 1", "# mine\n\nversion = 2\n", "line 3, column 1: this version is the layout of containerd 1"},
		{"of the first containerd", "root = \"/x\"\n[plugins.cri]\n", "line 2, column 1: a file without a version is the layout of containerd 1"},
		{"with mirrors", "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'docker.io']\nendpoint = ['https://mirror']\n",
			"line 2, column 1: containerd does not start with mirrors beside config_path"},
		{"with another socket", "version = 3\n[grpc]\n  address = '/run/mine.sock'\n", "line 3, column 3: containerd would not answer at /run/containerd/containerd.sock"},
		{"with a key where a table should be", "version = 3\nplugins = 1\n", "line 2, column 1: plugins is a value, expected a table"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFleet(t, course(t), machineFacts())
			if err := put(f.machines["node-0002"], "/etc/containerd/config.toml", row.text); err != nil {
				t.Fatal(err)
			}
			before := map[string]string{}
			for name, m := range f.machines {
				before[name], _ = m.Snapshot()
			}
			err := f.up()
			var step *engine.StepError
			want := "containerd: node-0002: merge:/etc/containerd/config.toml: /etc/containerd/config.toml " + row.says
			if !errors.As(err, &step) || step.Target != "node-0002" || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			for name, m := range f.machines {
				if after, _ := m.Snapshot(); differences(before[name], after) != "" {
					t.Errorf("%s was changed:\n%s", name, differences(before[name], after))
				}
			}
		})
	}
}

// TestContainerdsOwnDumpStays: what `containerd config default` prints is taken as it is, of version 3 and of version 4.
func TestContainerdsOwnDumpStays(t *testing.T) {
	op, _ := find(t, course(t), machineFacts(), "node-0001", "merge:/etc/containerd/config.toml")
	for _, version := range []string{"3", "4"} {
		m := ops.NewPretend(t.TempDir())
		dump := "version = " + version + "\nroot = '/var/lib/containerd'\nstate = '/run/containerd'\ntemp = ''\ndisabled_plugins = []\nrequired_plugins = []\noom_score = 0\nimports = ['/etc/containerd/conf.d/*.toml']\n\n" +
			"[plugins]\n  [plugins.'io.containerd.cri.v1.images']\n    snapshotter = 'overlayfs'\n    disable_snapshot_annotations = true\n\n" +
			"    [plugins.'io.containerd.cri.v1.images'.pinned_images]\n      sandbox = 'registry.k8s.io/pause:3.10.1'\n\n" +
			"    [plugins.'io.containerd.cri.v1.images'.registry]\n      config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n\n[timeouts]\n  'io.containerd.timeout.shim.load' = '5s'\n"
		if err := put(m, "/etc/containerd/config.toml", dump); err != nil {
			t.Fatal(err)
		}
		first, err := op.Observe(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if err := op.Set(t.Context(), m, first); err != nil {
			t.Fatal(err)
		}
		now, _ := os.ReadFile(m.Path("/etc/containerd/config.toml"))
		for _, line := range []string{
			"version = " + version + "\nroot", "disabled_plugins = [\"io.containerd.internal.v1.opt\"]\n", "      sandbox = \"192.168.1.100:5000/pause@", "certs.d:/etc/docker/certs.d'\n",
			"\n\n    [plugins.'io.containerd.cri.v1.runtime'.cni]\n      bin_dirs = [\"/opt/cni/bin\"]\n",
		} {
			if !strings.Contains(string(now), line) {
				t.Errorf("there is no %q in\n%s", line, now)
			}
		}
		if err := first.Set(t.Context(), m, op); err != nil {
			t.Fatal(err)
		}
		if now, _ := os.ReadFile(m.Path("/etc/containerd/config.toml")); string(now) != dump {
			t.Errorf("undone, it is\n%s", now)
		}
	}
}
