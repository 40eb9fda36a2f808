package phases

import (
	"encoding/json"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
)

const (
	dockerConfig     = "/etc/docker/daemon.json"
	criDockerd       = "cri-docker.service" // upstream's names, which people look for
	criDockerdSocket = "/run/cri-dockerd.sock"
)

var docker = engine.Phase[Input]{
	Name:  "docker",
	Short: "start Docker",
	Long: "Writes Docker's settings, beside whatever else is in its daemon.json, and its trust in the private registry, has Docker installed where it " +
		"is missing, starts it and asks it for its cgroup driver. The settings come first, so that a new Docker starts once.",
	On:    onDocker,
	Steps: dockerSteps,
}

func dockerSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	nodeGrounds(&l)
	l.add("what Docker makes goes away with reset, where it was not there before", dockerClaim())
	l.add("Docker's settings and trust", ops.Dir{Path: "/etc/docker", Mode: 0o755, Owned: true})
	l.add("Docker's own state", ops.Dir{Path: "/var/lib/docker", Mode: 0o710, Owned: true}, ops.Dir{Path: "/run/docker", Mode: 0o700, Owned: true})
	l.add("Docker's package starts a containerd of its own",
		ops.Dir{Path: "/var/lib/containerd", Mode: 0o700, Owned: true}, ops.Dir{Path: "/run/containerd", Mode: 0o711, Owned: true})
	config := daemonConfig(in)
	l.add("systemd cgroups, as the kubelet's; logs that end; containers that outlive a restart; keys of others stay", config)
	l.add("images come from the private registry, verified by its authority",
		ops.Symlink{Path: "/etc/docker/certs.d/" + in.Cluster.Registry() + "/ca.crt", Target: registryCA})
	if d := in.Cluster.Spec.Docker; in.facts().Docker == d.Package || !in.facts().Units["docker.service"].Exists {
		// Else somebody has put it there in another way, and it is used as it is.
		l.add("runs containers; an upgrade by the way would restart it", ops.Package{Name: d.Package, Version: d.Version, Held: true})
	}
	l.add("pods run in it", ops.Unit{Name: "docker.service", Enabled: true, Active: true, Reads: []string{config.Changed()}})
	l.add("Docker has what is forwarded dropped, where it was the one to turn forwarding on", ops.Forward{Range: in.Cluster.Spec.Network.PodCIDR.String(), Open: true})
	l.add("a kubelet whose runtime has another driver crashes", ops.Driver{Runtime: "docker", Want: cgroupDriver, Within: runtimeWithin, OK: true})
	return l.done()
}

// dockerClaim names what Docker makes on a host without being told.
func dockerClaim() ops.Claim {
	return ops.Claim{
		Name: ops.DockerClaim, Links: []string{"docker0", "br-" + strings.Repeat("[0-9a-f]", 12)}, Chains: []string{"DOCKER"}, Tables: []string{"ip docker-bridges", "ip6 docker-bridges"},
		Mounts: []string{"/var/lib/docker", "/run/docker"}, Units: []string{"docker.service"}, Held: true,
	}
}

// daemonConfig is what Docker's configuration must say. Whatever else its owner has written there stays.
func daemonConfig(in Input) ops.Merge {
	d := in.Cluster.Spec.Docker
	set := table{
		"log-opts": table{"max-size": "10m", "max-file": "5"}, // the kubelet cannot rotate Docker's files
		// Pods outlive a restart of the runtime, as they do with containerd.
		"live-restore": true,
	}
	if d.Runc != "" {
		set["runtimes"], set["default-runtime"] = table{"kubewright": table{"path": d.Runc}}, "kubewright"
	}
	config := ops.Merge{Path: dockerConfig, Mode: 0o644, Clashes: daemonClashes()}
	config.Settings = append(config.Settings, ops.Setting{At: []string{"exec-opts"},
		Elements: []json.RawMessage{value("native.cgroupdriver=" + cgroupDriver)}, Without: []json.RawMessage{value("native.cgroupdriver=cgroupfs")}})
	for _, l := range []struct {
		key string
		all []string
	}{{"registry-mirrors", d.Mirrors}, {"insecure-registries", d.InsecureRegistries}} {
		if len(l.all) > 0 {
			config.Settings = append(config.Settings, ops.Setting{At: []string{l.key}, Elements: values(l.all)})
		}
	}
	config.Settings = append(config.Settings, settings(nil, set)...)
	return config
}

func values(all []string) []json.RawMessage {
	var out []json.RawMessage
	for _, s := range all {
		out = append(out, value(s))
	}
	return out
}

// daemonClashes are what pods would not run with.
func daemonClashes() []ops.Clash {
	return []ops.Clash{
		{At: []string{"log-driver"}, Except: values([]string{"json-file"}),
			Why: "kubelets read the files of json-file only, so that kubectl logs would show nothing: take the key and its log-opts out"},
		{At: []string{"userns-remap"}, Except: values([]string{""}),
			Why: "Docker would refuse the system's pods, which share namespaces with the host: take the key out"},
	}
}

var dockerCRI = engine.Phase[Input]{
	Name:  "cri-dockerd",
	Short: "let the kubelet speak with Docker",
	Long:  "Starts cri-dockerd, which answers the kubelet's container runtime interface and passes everything on to Docker, and gives pods their network by CNI.",
	On:    onDocker,
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		l.add("what cri-dockerd remembers of pods", ops.Dir{Path: "/var/lib/cri-dockerd", Mode: 0o755, Owned: true})
		socket := text("/etc/systemd/system/cri-docker.socket", []byte("[Unit]\nDescription=cri-dockerd's socket\n\n"+
			"[Socket]\nListenStream="+criDockerdSocket+"\nSocketMode=0600\nRemoveOnStop=yes\n\n[Install]\nWantedBy=sockets.target\n"))
		l.add("where the kubelet finds the runtime", socket)
		svc := service{
			Name: "cri-docker", Description: "cri-dockerd: the container runtime interface in front of Docker", Type: "notify",
			After: "docker.service network.target", Wants: "docker.service", Requires: "cri-docker.socket",
			Exec: "/usr/local/bin/cri-dockerd --container-runtime-endpoint=fd:// --docker-endpoint=unix://" + ops.DockerSocket + " --network-plugin=cni" +
				" --cni-bin-dir=/opt/cni/bin --cni-conf-dir=/etc/cni/net.d --cni-cache-dir=/var/lib/cni/cache" +
				" --streaming-bind-addr=127.0.0.1 --pod-infra-container-image=" + l.pinned("pause"),
			Reads: [][]byte{socket.Content, []byte(l.binary("cri-dockerd", "").Digest), cniConfig(portsWithNFTables(in))},
			More: []*unit.UnitOption{
				unit.NewUnitOption("Service", "Delegate", "yes"),
				unit.NewUnitOption("Service", "KillMode", "process"),
				unit.NewUnitOption("Service", "TasksMax", "infinity"),
				unit.NewUnitOption("Service", "LimitNOFILE", "infinity"),
			},
		}
		l.add("it starts with the host", svc.file())
		l.add("where the kubelet finds the runtime", ops.Unit{Name: "cri-docker.socket", Enabled: true, Active: true}) // which wants its service's file
		l.add("the kubelet speaks with Docker through it", svc.unit())
		l.add("the kubelet learns the driver from it", ops.Driver{
			Runtime: "cri-dockerd", Socket: criDockerdSocket, Want: cgroupDriver, Within: runtimeWithin, OK: true,
		})
		return l.done()
	},
}
