//go:build e2e

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/e2e/fingerprint"
	corev1 "k8s.io/api/core/v1"
)

// sharers are two virtual machines, since NFS needs kernels that have it on both ends: a control plane that is the registry, and so the NFS server, and a worker.
const sharers = `
apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  hosts:
  - {name: master, address: 192.168.1.21, roles: [control-plane, worker, registry]}
  - {name: node-0001, address: 192.168.1.31, roles: [worker]}
`

const server = "master"

// TestNFS has pods on two nodes share a volume, in a lab of its own.
func TestNFS(t *testing.T) {
	ownLab(t, sharers, "--vm", "--packages", "nfs-kernel-server")
	before := map[string][]string{}
	for _, host := range []string{server, vm} {
		lookAt(t, host) // asking for the rules of nftables loads its module, and ss one of its own
		on(t, host, "ss", "-ltun")
		before[host] = lookAt(t, host)
	}
	file := sharing(t, "{enabled: true}")
	must(t, kubewright(t, file, "up"))
	fine := t.Run("exported is what is said, to whom it is said", exported)
	fine = fine && t.Run("two pods on two nodes", shared)
	fine = fine && t.Run("the check finds it, and finds it broken", checked)
	fine = fine && t.Run("exports that are changed", changed)
	_ = fine && t.Run("a server that does not answer", unreachable)
	must(t, kubewright(t, file, "reset", "--yes=lab"))
	for host, was := range before {
		logs := func(line string) bool { return strings.HasPrefix(line, "file /var/log/") } // of the package manager
		if diff := fingerprint.Diff(slices.DeleteFunc(was, logs), slices.DeleteFunc(lookAt(t, host), logs)); len(diff) > 0 {
			t.Errorf("reset left something on %s:\n%s", host, strings.Join(diff, "\n"))
		}
	}
}

// sharing is the lab's inventory with the addon storage, and with what is said of NFS.
func sharing(t *testing.T, nfs string) string {
	t.Helper()
	raw, err := os.ReadFile(inventory)
	if err != nil {
		t.Fatal(err)
	}
	text, rest, ok := strings.Cut(string(raw), "\n    storage:\n")
	if !ok {
		t.Fatalf("the lab's inventory says nothing of storage:\n%s", raw)
	}
	for strings.HasPrefix(rest, "      ") {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	file := filepath.Join(labDir, "sharing.yaml")
	if err := os.WriteFile(file, []byte(text+"\n    storage: {enabled: true, nfs: "+nfs+"}\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// on is what a command on a host writes, which has to succeed.
func on(t *testing.T, host string, argv ...string) string {
	t.Helper()
	return strings.TrimSpace(must(t, lab(append([]string{"ssh", host, "--"}, argv...)...)).stdout)
}

// exported holds that the nodes alone are served, as nobody, by version 4 alone, and that another run finds nothing to do.
func exported(t *testing.T) {
	table := on(t, server, "cat", "/var/lib/nfs/etab")
	for _, client := range []string{"192.168.1.21", "192.168.1.31"} {
		if !strings.Contains(table, "/srv/nfs\t"+client+"(rw,") || !strings.Contains(table, ",root_squash,") {
			t.Errorf("%s is not served as it should be:\n%s", client, table)
		}
	}
	if n := strings.Count(table, "\n"); n != 1 {
		t.Errorf("something else is exported:\n%s", table)
	}
	if open := on(t, server, "ss -Hltun | grep -cE ':(111|2049) '"); open != "2" { // IPv4 and IPv6
		t.Errorf("%s ports of NFS and its port mapper are listened on:\n%s", open, on(t, server, "ss", "-ltunp"))
	}
	if versions := on(t, server, "cat", "/proc/fs/nfsd/versions"); !strings.HasPrefix(versions, "-3 +4") {
		t.Errorf("spoken are %s", versions)
	}
	file := sharing(t, "{enabled: true}")
	eventually(t, "another run finds nothing to do", func() bool { // an API server on a machine this slow is not always ready
		return run(t, kubewright(t, file, "plan", "--exit-code")).code == 0
	})
}

// claim is a claim on an export, and a pod on each of two nodes that has it.
const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec:
  storageClassName: nfs
  accessModes: [ReadWriteMany]
  resources: {requests: {storage: 1Gi}}
  selector: {matchLabels: {kubewright.io/export: srv-nfs}}
`

const writer = `
---
apiVersion: v1
kind: Pod
metadata: {name: on-%[1]s}
spec:
  nodeName: %[1]s
  tolerations: [{operator: Exists}]
  terminationGracePeriodSeconds: 1
  containers:
  - name: writer
    image: %[2]s
    command: [sh, -c, "sleep 100000"]
    volumeMounts: [{name: shared, mountPath: /shared}]
  volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
`

// shared writes from both nodes, reads on the other, and finds the data again when pods and claim have gone.
func shared(t *testing.T) {
	b, err := bundle.Open(filepath.Join(cache(t), "kubewright", "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := b.Lock.Image("busybox")
	if err != nil {
		t.Fatal(err)
	}
	text := claim
	for _, node := range []string{server, vm} {
		text += fmt.Sprintf(writer, node, image.Pinned("192.168.1.21:5000"))
	}
	cmd := kubectl(t, "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	must(t, cmd)
	must(t, kubectl(t, "wait", "--for=condition=Ready", "pod/on-master", "pod/on-node-0001", "--timeout=300s"))
	in := func(node string, argv ...string) string {
		t.Helper()
		return strings.TrimSpace(must(t, kubectl(t, append([]string{"exec", "on-" + node, "--"}, argv...)...)).stdout)
	}
	for _, way := range [][2]string{{server, vm}, {vm, server}} {
		in(way[0], "sh", "-c", "echo from "+way[0]+" > /shared/"+way[0])
		if got := in(way[1], "cat", "/shared/"+way[0]); got != "from "+way[0] {
			t.Errorf("%s reads %q of what %s wrote", way[1], got, way[0])
		}
	}
	if got := on(t, server, "stat", "-c", "%u", "/srv/nfs/"+vm); got != "65534" {
		t.Errorf("root of a pod is user %s on the server", got)
	}
	must(t, kubectl(t, "delete", "pod/on-master", "pod/on-node-0001", "pvc/shared", "--timeout=300s"))
	if got := on(t, server, "cat", "/srv/nfs/"+vm); got != "from "+vm {
		t.Errorf("with the claim the data has gone: %q", got)
	}
	eventually(t, "the volume is kept", func() bool {
		return decode[corev1.PersistentVolume](t, "pv", "srv-nfs").Status.Phase == corev1.VolumeReleased
	})
	must(t, kubectl(t, "patch", "pv", "srv-nfs", "--type=json", "-p", `[{"op":"remove","path":"/spec/claimRef"}]`))
}

// checked has verify look at it, while the server serves and while it does not.
func checked(t *testing.T) {
	file := sharing(t, "{enabled: true}")
	must(t, kubewright(t, file, "verify", "nfs", "--timeout=5m"))
	on(t, server, "systemctl", "stop", "nfs-server.service")
	r := run(t, kubewright(t, file, "verify", "nfs", "--timeout=60s"))
	on(t, server, "systemctl", "start", "nfs-server.service")
	if r.code != 5 || !strings.Contains(r.stdout, "FAIL") {
		t.Errorf("without a server verify ends with %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// changed adds an export and takes it away again, and has the server forget another: all of that is seen, and mended without a restart.
func changed(t *testing.T) {
	since := on(t, server, "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "nfs-server.service")
	must(t, kubewright(t, sharing(t, "{enabled: true, exports: [{path: /srv/nfs}, {path: /srv/more, size: 1Gi}]}"), "up"))
	if more := decode[corev1.PersistentVolume](t, "pv", "srv-more"); more.Spec.NFS == nil || more.Spec.NFS.Path != "/srv/more" {
		t.Errorf("there is no volume of the new export: %+v", more)
	}
	file := sharing(t, "{enabled: true}")
	must(t, kubewright(t, file, "up"))
	if table := on(t, server, "cat", "/var/lib/nfs/etab"); strings.Contains(table, "/srv/more") || !strings.Contains(table, "/srv/nfs") {
		t.Errorf("exported is\n%s", table)
	}
	if r := run(t, kubectl(t, "get", "pv", "srv-more")); r.code == 0 {
		t.Error("the volume of an export that is no more is still there")
	}
	on(t, server, "exportfs", "-u", "192.168.1.31:/srv/nfs")
	if r := run(t, kubewright(t, file, "plan", "--exit-code")); r.code != 20 || !strings.Contains(r.stdout, "exports:nfs") {
		t.Errorf("plan --exit-code ended with %d:\n%s", r.code, r.stdout)
	}
	must(t, kubewright(t, file, "up"))
	if now := on(t, server, "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "nfs-server.service"); now != since {
		t.Errorf("the server was started at %s, and again at %s", since, now)
	}
}

// unreachable wants the volumes of a server that is not there: what is told is which node could not mount, and why.
func unreachable(t *testing.T) {
	r := run(t, kubewright(t, sharing(t, "{enabled: true, server: 192.168.1.200}"), "up"))
	if r.code == 0 || !strings.Contains(r.stderr, "nfs-trial") || !strings.Contains(r.stderr, " on "+vm+": volume export-0") || !strings.Contains(r.stderr, "mount.nfs: ") {
		t.Errorf("exit %d, want the node and what mount says:\n%s", r.code, r.stderr)
	}
	must(t, kubewright(t, sharing(t, "{enabled: true}"), "up"))
	// What mount(8) has started to try version 3 with that server runs on: it is nobody's wish, and nobody's to stop.
	for _, host := range []string{server, vm} {
		on(t, host, "systemctl stop rpc-statd.service rpc-statd-notify.service rpcbind.socket rpcbind.service remote-fs-pre.target nss-lookup.target rpcbind.target; systemctl disable --runtime rpc-statd.service; "+
			"rm -f /run/rpc.statd.lock /run/rpcbind.lock /run/rpcbind/*.xdr; rmdir /run/systemd/system/remote-fs.target.wants; : > /var/lib/nfs/state; chown statd:root /var/lib/nfs/state; true")
	}
}
