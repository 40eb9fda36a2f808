//go:build e2e

package e2e

import (
	"strings"
	"testing"

	whole "github.com/kubewright/kubewright/e2e/fingerprint"
	corev1 "k8s.io/api/core/v1"
)

const dockerHost = "node-0002"

// TestDockerNode has one worker of a cluster run its pods in Docker, beside others with containerd: first in a Docker that up installs and reset takes away,
// then in one that somebody has there, with settings, containers and images of their own.
func TestDockerNode(t *testing.T) {
	must(t, kubewright(bounded(t), "reset", "--yes=lab"))
	file := inventoryWith(t, func(s string) string {
		s = replaceFirst(s, `(?m)^    - name: `+dockerHost+`$`, "    - name: "+dockerHost+"\n      runtime: docker")
		return replaceFirst(s, `(?m)^  hosts:`, "  docker: {runc: /usr/lib/kwlab/runc}\n  hosts:")
	})
	t.Run("a Docker of ours", func(t *testing.T) {
		const kinds = "file,user,group,package,unit,unit-file,link,address,route,mount,nft,iptables"
		before := factsOf(t, dockerHost, kinds)
		dockerWorks(t, file)
		must(t, inLab(bounded(t), "kubewright", "reset", "--yes=lab", "-f", file))
		if left := whole.Diff(before, factsOf(t, dockerHost, kinds)); len(left) > 0 {
			t.Errorf("%s is not as it was:\n%s", dockerHost, strings.Join(left, "\n"))
		}
		if r := onHost(t, dockerHost, "pgrep -a 'dockerd|containerd|sleep'; ls /var/lib/docker"); r.stdout != "" {
			t.Errorf("there is left:\n%s", r.stdout)
		}
	})
	t.Run("somebody's Docker", func(t *testing.T) {
		ok(t, onHost(t, dockerHost, theirDocker))
		defer onHost(t, dockerHost, "docker rm -f theirs policed; apt-get purge -q -y docker.io containerd runc tini; ip link delete docker0; nft flush ruleset; "+
			"rm -rf /etc/docker /var/lib/docker/* /var/lib/containerd/* /run/docker /run/containerd")
		before := onHost(t, dockerHost, describeDocker).stdout
		if !strings.Contains(before, "FORWARD DROP") || !strings.Contains(before, "cgroupfs") {
			t.Fatalf("their Docker is not what this test is about:\n%s", before)
		}
		dockerWorks(t, file)
		if r := onHost(t, dockerHost, "docker ps --format {{.Names}}"); !strings.Contains(r.stdout, "theirs\n") || !strings.Contains(r.stdout, "policed\n") {
			t.Errorf("their containers do not run:\n%s", r.stdout)
		}
		must(t, inLab(bounded(t), "kubewright", "reset", "--yes=lab", "-f", file))
		if after := onHost(t, dockerHost, describeDocker).stdout; after != before {
			t.Errorf("their Docker is not as it was:\n%s", lineDiff(before, after))
		}
	})
}

// dockerWorks brings the cluster up and uses it: pods on every node reach pods on every other, and answer exec and logs.
func dockerWorks(t *testing.T, file string) {
	t.Helper()
	must(t, inLab(bounded(t), "kubewright", "up", "-f", file))
	for _, n := range decode[corev1.NodeList](t, "nodes").Items {
		runtime, _, _ := strings.Cut(n.Status.NodeInfo.ContainerRuntimeVersion, "://")
		if want := map[bool]string{true: "docker", false: "containerd"}[n.Name == dockerHost]; !ready(n) || runtime != want {
			t.Errorf("%s runs %s, and is %+v", n.Name, runtime, n.Status.Conditions)
		}
	}
	image, err := lock(t).Gzip("agnhost")
	if err != nil {
		t.Fatal(err)
	}
	worksWith(t, 0, image.Pinned(labRegistry))
	notRestarted(t)
	if r := must(t, inLab(bounded(t), "kubewright", "status", "-f", file)); !strings.Contains(r.stdout, "docker 20.") || !strings.Contains(r.stdout, "containerd 2.") {
		t.Errorf("status does not tell the runtimes:\n%s", r.stdout)
	}
	if r := must(t, inLab(bounded(t), "kubewright", "up", "-f", file)); !strings.HasPrefix(r.stdout, "nothing to do") {
		t.Errorf("up again did something:\n%s%s", r.stdout, r.stderr)
	}
	// Pods outlive a restart of Docker, as they do with containerd.
	ok(t, onHost(t, dockerHost, "docker ps -q | sort > /run/before; systemctl restart docker && docker ps -q | sort | diff /run/before - && rm /run/before"))
}

// theirDocker is a Docker as somebody has it: another driver, settings of their own, a container that restarts and one that does not.
const theirDocker = `set -e
mkdir -p /etc/docker
printf '{\n    "debug": false, "exec-opts": ["native.cgroupdriver=cgroupfs"],\n    "default-runtime": "lab", "runtimes": {"lab": {"path": "/usr/lib/kwlab/runc"}},\n    "log-opts": {"tag": "{{.Name}}"}}' > /etc/docker/daemon.json
apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends docker.io
tar c -h /usr/bin/sleep /lib/x86_64-linux-gnu/libc.so.6 /lib64/ld-linux-x86-64.so.2 | docker import - theirs:1
docker run -d --name theirs theirs:1 /usr/bin/sleep 100000
docker run -d --name policed --restart=always theirs:1 /usr/bin/sleep 100000
iptables -P FORWARD DROP`

// describeDocker is what of theirs must be the same afterwards.
const describeDocker = `cat /etc/docker/daemon.json; echo; docker ps -a --format '{{.Names}} {{.Image}} {{.ID}} {{.State}}' | sort; docker images --no-trunc --format '{{.ID}} {{.Tag}}' | sort
docker info --format '{{.CgroupDriver}} {{.LiveRestoreEnabled}} {{.DefaultRuntime}}'; docker network ls --format '{{.Name}} {{.Driver}}' | sort; iptables-save | grep -v '^#' | sed 's/\[.*\]//'
systemctl is-active docker containerd; systemctl is-enabled docker; apt-mark showhold; stat -c '%n %a %U:%G' /etc/docker /etc/docker/daemon.json; ls /etc/docker`
