package phases

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/kubewright/kubewright/ops"
)

const (
	containerdPath = "/etc/containerd/config.toml"
	containerdCRI  = "io.containerd.cri.v1.runtime"
	containerdPull = "io.containerd.cri.v1.images"
	certsDir       = "/etc/containerd/certs.d"
	containerdSock = "/run/containerd/containerd.sock"
)

// containerdConfig is what containerd's configuration must say (containerd 2.x, docs/cri/config.md). Whatever else its owner has written there stays: their
// own registries, runtimes, log level. Version 3 is that of containerd 2.0; version 4, of 2.3, has moved the server's own settings only.
func containerdConfig(in Input, pause string) ops.Merge {
	config := ops.Merge{Path: containerdPath, Mode: 0o644, Clashes: containerdClashes()}
	config.Settings = append(config.Settings,
		ops.Setting{At: []string{"version"}, Value: value(3), Or: []json.RawMessage{value(4)}},
		ops.Setting{At: []string{"root"}, Value: value("/var/lib/containerd")},
		ops.Setting{At: []string{"state"}, Value: value("/run/containerd")},
		ops.Setting{At: []string{"disabled_plugins"},
			// It would make /opt/containerd for programs that nobody installs that way.
			Elements: []json.RawMessage{value("io.containerd.internal.v1.opt")},
			// Docker's packages of containerd come with it turned off.
			Without: []json.RawMessage{value("cri"), value("io.containerd.grpc.v1.cri"), value(containerdCRI), value(containerdPull)}})
	all := settings([]string{"plugins", containerdPull}, table{
		"snapshotter":   "overlayfs",
		"pinned_images": table{"sandbox": pause},
		"registry":      table{"config_path": certsDir},
	})
	for i := range all { // containerd's own default is as good: ours is its first folder
		if all[i].At[len(all[i].At)-1] == "config_path" {
			all[i].Or = []json.RawMessage{value(certsDir + ":/etc/docker/certs.d")}
		}
	}
	config.Settings = append(config.Settings, all...)
	config.Settings = append(config.Settings, settings([]string{"plugins", containerdCRI}, table{
		"restrict_oom_score_adj": in.Cluster.Spec.Containerd.RestrictOOMScoreAdj,
		"cni":                    table{"bin_dirs": []string{"/opt/cni/bin"}, "conf_dir": "/etc/cni/net.d"},
		"containerd": table{
			"default_runtime_name": "runc",
			"runtimes": table{"runc": table{
				"runtime_type": "io.containerd.runc.v2",
				"options":      table{"BinaryName": "/usr/local/sbin/runc", "SystemdCgroup": true},
			}},
		},
	})...)
	return config
}

// containerdClashes are what containerd, or the cluster, would not start with.
func containerdClashes() []ops.Clash {
	const layout = "is the layout of containerd 1, whose keys have other names than those that kubewright sets: " +
		"convert the file by `containerd config migrate` of containerd 2, or move it away"
	const socket = "containerd would not answer at " + containerdSock + ", where the kubelet asks: take the key out, or give it this value"
	return []ops.Clash{
		{At: []string{"version"}, Except: []json.RawMessage{value(3), value(4)}, Why: "this version " + layout},
		{At: []string{"plugins"}, Unless: []string{"version"}, Why: "a file without a version " + layout},
		{At: []string{"plugins", containerdPull, "registry", "mirrors"},
			Why: "containerd does not start with mirrors beside config_path: write the mirrors as hosts.toml below " + certsDir},
		{At: []string{"grpc", "address"}, Except: []json.RawMessage{value(containerdSock)}, Why: socket},
		{At: []string{"plugins", "io.containerd.server.v1.grpc", "address"}, Except: []json.RawMessage{value(containerdSock)}, Why: socket},
	}
}

// settings are the leaves of a table, in the order of their names; a table's own values before those of the tables in it.
func settings(at []string, t table) []ops.Setting {
	var out, below []ops.Setting
	for _, name := range slices.Sorted(maps.Keys(t)) {
		here := append(slices.Clone(at), name)
		if sub, ok := t[name].(table); ok {
			below = append(below, settings(here, sub)...)
			continue
		}
		out = append(out, ops.Setting{At: here, Value: value(t[name])})
	}
	return append(out, below...)
}

func value(v any) json.RawMessage {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err) // constants encode
	}
	return out
}
