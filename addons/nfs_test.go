package addons

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/inventory"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// sharing is a cluster with the addon storage, whose volumes come from its registry host, or from somebody's server.
func sharing(t *testing.T, nfs string) Env {
	t.Helper()
	c, err := inventory.Parse("cluster.yaml", append(inventory.Example(), "\n  addons: {storage: {enabled: true, nfs: "+nfs+"}}\n"...))
	if err != nil {
		t.Fatal(err)
	}
	return Env{Cluster: c, Image: func(name string) string { return "registry/" + name }}
}

func keys(t *testing.T, a Addon, e Env) []string {
	t.Helper()
	parts, err := a.Make(e)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Steps(a, parts)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range steps {
		out = append(out, string(s.Op.Key()))
	}
	return out
}

// TestVolumesComeWhenEveryNodeHasMountedThem: first the trial, then what it is a trial of, and both are the addon's own.
func TestVolumesComeWhenEveryNodeHasMountedThem(t *testing.T) {
	all := keys(t, storage, sharing(t, "{enabled: true, exports: [{path: /srv/nfs}, {path: /srv/Web_1, size: 2Gi}]}"))
	want := []string{
		"object:DaemonSet/nfs/nfs-trial", "ready:Deployment/local-path-storage/local-path-provisioner", "ready:DaemonSet/nfs/nfs-trial",
		"object:PersistentVolume/srv-nfs", "object:PersistentVolume/srv-web-1-", "object:StorageClass/nfs", "pruned:storage",
	}
	at := -1
	for _, w := range want {
		next := slices.IndexFunc(all, func(k string) bool { return strings.HasPrefix(k, w) })
		if next <= at {
			t.Fatalf("%s is not where it should be in\n%s", w, strings.Join(all, "\n"))
		}
		at = next
	}
	parts, err := storage.Make(sharing(t, "{enabled: true}"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Steps(storage, parts)
	if err != nil {
		t.Fatal(err)
	}
	if set := steps[0].Op.(Set); !slices.Contains(set.Kinds, "PersistentVolume") || !steps[len(steps)-1].Op.(Pruned).keep["PersistentVolume/srv-nfs"] {
		t.Errorf("the volumes are nobody's: %v", set)
	}
	if without := keys(t, storage, sharing(t, "{enabled: false}")); slices.Contains(without, "object:Namespace/nfs") {
		t.Error("there is something of NFS where none is wanted")
	}
}

// TestVolumesSayWhereTheyAre: the server that nodes mount from, in the trial as in the volumes; the data stays, and any node may write.
func TestVolumesSayWhereTheyAre(t *testing.T) {
	for nfs, server := range map[string]string{"{enabled: true}": "192.168.1.100", "{enabled: true, server: nas.example.net}": "nas.example.net"} {
		parts, err := storage.Make(sharing(t, nfs))
		if err != nil {
			t.Fatal(err)
		}
		var sources []*corev1.NFSVolumeSource
		for _, o := range slices.Concat(parts.Objects, parts.Later) {
			switch o := o.(type) {
			case *corev1.PersistentVolume:
				sources = append(sources, o.Spec.NFS)
				size := o.Spec.Capacity[corev1.ResourceStorage]
				if o.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain || !slices.Equal(o.Spec.AccessModes, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}) ||
					size.String() != "10Gi" || o.Labels[labelExport] != "srv-nfs" || !strings.HasPrefix(o.Name, "srv-nfs") {
					t.Errorf("the volume is %+v", o)
				}
			case interface{ GetName() string }:
				if d := New(o.(runtime.Object)).of(); d.GetName() == nfsTrial {
					volumes, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "volumes")
					from, _, _ := unstructured.NestedStringMap(volumes[0].(map[string]any), "nfs")
					sources = append(sources, &corev1.NFSVolumeSource{Server: from["server"], Path: from["path"]})
				}
			}
		}
		if len(sources) != 2 || *sources[0] != (corev1.NFSVolumeSource{Server: server, Path: "/srv/nfs"}) || *sources[1] != *sources[0] {
			t.Errorf("%s: mounted are %v", nfs, sources)
		}
	}
}

func TestNamesOfExports(t *testing.T) {
	seen := map[string]string{}
	for _, path := range []string{"/srv/nfs", "/srv-nfs", "/srv/NFS", "/srv/nfs_", "/srv/n fs", "/", "/_", "/srv/" + strings.Repeat("long/", 30) + "a", "/srv/" + strings.Repeat("long/", 30) + "b"} {
		name := exportName("", path)
		if other, twice := seen[name]; twice {
			t.Errorf("%s and %s are both %s", path, other, name)
		}
		seen[name] = path
		if len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(name, "-") != name || name == "" {
			t.Errorf("%s: %q is no name", path, name)
		}
	}
	if got := exportName("", "/srv/nfs"); got != "srv-nfs" {
		t.Errorf("/srv/nfs is %s", got)
	}
	if one, two := exportName("192.168.1.200", "/srv/nfs"), exportName("192.168.1.201", "/srv/nfs"); one == two || one == "srv-nfs" {
		t.Errorf("volumes of two servers are %s and %s, and could not be changed into each other", one, two)
	}
}

// TestANodeThatCannotMount is named, with what mount says; the others are not.
func TestANodeThatCannotMount(t *testing.T) {
	const failed = "MountVolume.SetUp failed for volume \"export-0\" : mount failed: exit status 32\nMounting command: mount\n" +
		"Mounting arguments: -t nfs 192.168.1.200:/srv/nfs /var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/export-0\nOutput: mount.nfs: Connection timed out\n"
	pod := func(name, node string, ready bool) map[string]any {
		state := map[string]any{"name": "mounted", "ready": ready, "state": map[string]any{"waiting": map[string]any{"reason": "ContainerCreating"}}}
		phase := "Pending"
		if ready {
			state["state"], phase = map[string]any{"running": map[string]any{}}, "Running"
		}
		return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "namespace": "nfs", "labels": map[string]any{"app": nfsTrial}},
			"spec": map[string]any{"nodeName": node}, "status": map[string]any{"phase": phase, "containerStatuses": []any{state}}}
	}
	event := func(name, kind, at, message string) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": "Event", "metadata": map[string]any{"name": name, "namespace": "nfs"}, "type": kind, "lastTimestamp": at, "message": message,
			"involvedObject": map[string]any{"kind": "Pod", "name": "b"}}
	}
	s := newServer(t)
	s.mu.Lock()
	for p, o := range map[string]map[string]any{
		"/apis/apps/v1/namespaces/nfs/daemonsets/nfs-trial": {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": map[string]any{"name": nfsTrial, "namespace": "nfs"},
			"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": nfsTrial}}}},
		"/api/v1/namespaces/nfs/pods/a":   pod("a", "node-0001", true),
		"/api/v1/namespaces/nfs/pods/b":   pod("b", "node-0002", false),
		"/api/v1/namespaces/nfs/events/1": event("1", "Normal", "2026-06-01T12:00:09Z", "Successfully assigned nfs/b to node-0002"),
		"/api/v1/namespaces/nfs/events/2": event("2", "Warning", "2026-06-01T12:00:05Z", failed),
		"/api/v1/namespaces/nfs/events/4": event("4", "Warning", "2026-06-01T12:00:08Z", "Unable to attach or mount volumes: unmounted volumes=[export-0]: timed out waiting for the condition"),
		"/api/v1/namespaces/nfs/events/3": event("3", "Warning", "2026-06-01T12:00:01Z", "an earlier warning"),
	} {
		s.objects[p] = o
	}
	s.mu.Unlock()
	stay := func(send func(string, map[string]any)) {
		send("ADDED", map[string]any{"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": map[string]any{"name": nfsTrial, "namespace": "nfs"},
			"status": map[string]any{"desiredNumberScheduled": 2, "numberReady": 1, "updatedNumberScheduled": 2}})
		time.Sleep(1200 * time.Millisecond)
	}
	s.watches = append(s.watches, stay)
	_, err := apply(t, s.api(), Ready{Kind: "DaemonSet", Group: "apps", Namespace: "nfs", Name: nfsTrial, Within: 1, OK: true})
	want := "ready:DaemonSet/nfs/nfs-trial: not ready after 1 s: 1 of 2 pods are ready; pod b on node-0002: volume export-0 (mount -t nfs 192.168.1.200:/srv/nfs): mount.nfs: Connection timed out"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
