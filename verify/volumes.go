package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const kubelets = "kubectl describe the pod; journalctl -u kubelet on its node"

// write puts a text into a file of a container.
func (e *Env) write(ctx context.Context, pod, container, path, text string) error {
	_, err := e.exec(ctx, e.Namespace, pod, container, []byte(text), "busybox", "tee", path)
	return err
}

// reads holds that a file of a container has that text.
func (e *Env) reads(ctx context.Context, pod, container, path, want string) error {
	got, err := e.exec(ctx, e.Namespace, pod, container, nil, "busybox", "cat", path)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s in %s says %q, not %q", path, pod, got, want)
	}
	return nil
}

var configMap = Check{
	Name: "configmap", Short: "a ConfigMap reaches a pod as its environment and as files, and a file follows a change", Remedy: kubelets,
	Run: func(ctx context.Context, e *Env) error {
		c := e.idle("reader")
		c.Env = []corev1.EnvVar{{Name: greeting, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "words"}, Key: "word",
		}}}}
		// Ready is what the file says, so that the change can be watched for.
		c.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 5, ProbeHandler: execProbe("grep", "-q", "two", "/words/word")}
		spec := podSpec(c)
		mount(&spec, corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "words"}}}, "/words")
		words := &corev1.ConfigMap{ObjectMeta: named("words"), Data: map[string]string{"word": "one", "whole.conf": "line 1\nline 2\n"}}
		if err := e.create(ctx, words, pod("reader", spec)); err != nil {
			return err
		}
		if _, err := await(ctx, e, "reader", running); err != nil {
			return err
		}
		env, err := e.exec(ctx, e.Namespace, "reader", "", nil, "busybox", "env")
		if err != nil {
			return err
		}
		if !slices.Contains(strings.Split(env, "\n"), greeting+"=one") {
			return fmt.Errorf("the pod does not have %s=one in its environment", greeting)
		}
		if err := e.reads(ctx, "reader", "", "/words/word", "one"); err != nil {
			return err
		}
		if err := e.reads(ctx, "reader", "", "/words/whole.conf", words.Data["whole.conf"]); err != nil {
			return err
		}
		e.Saw("the pod has the word as a variable of its environment and as a file, and a file of two lines as it is")
		if _, err := patch[*corev1.ConfigMap](ctx, e, "words", map[string]any{"data": map[string]any{"word": "two"}}); err != nil {
			return err
		}
		// The kubelet looks at a pod's files when the pod changes, and else about once a minute, which nobody has to wait for.
		if _, err := patch[*corev1.Pod](ctx, e, "reader", map[string]any{"metadata": map[string]any{"annotations": map[string]any{runLabel: "look"}}}); err != nil {
			return err
		}
		if _, err := e.pod(ctx, "reader"); err != nil {
			return fmt.Errorf("the file does not follow the ConfigMap: %w", err)
		}
		e.Saw("the ConfigMap was changed, and so was the file in the running pod")
		return nil
	},
}

// execProbe asks a program of busybox.
func execProbe(argv ...string) corev1.ProbeHandler {
	return corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: append([]string{"busybox"}, argv...)}}
}

// running is what is lacking until a pod's containers run, whatever their probes say.
func running(p *corev1.Pod) string {
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Running == nil {
			return "it does not run" + trouble([]*corev1.Pod{p})
		}
	}
	if p.Status.Phase == corev1.PodRunning {
		return ""
	}
	return "it does not run" + trouble([]*corev1.Pod{p})
}

var emptyDir = Check{
	Name: "empty-dir", Short: "the containers of a pod share a volume and a network, and the volume outlives a container", Remedy: kubelets,
	Run: func(ctx context.Context, e *Env) error {
		spec := podSpec(e.web(), e.idle("writer"))
		mount(&spec, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, "/shared")
		if err := e.create(ctx, pod("pair", spec)); err != nil {
			return err
		}
		if _, err := e.pod(ctx, "pair"); err != nil {
			return err
		}
		if err := e.write(ctx, "pair", "writer", "/shared/note", "from the writer"); err != nil {
			return err
		}
		if err := e.reads(ctx, "pair", "web", "/shared/note", "from the writer"); err != nil {
			return err
		}
		e.Saw("what one container wrote the other one read")
		got, err := e.exec(ctx, e.Namespace, "pair", "writer", nil, "busybox", "timeout", patience, "busybox", "wget", "-q", "-O", "-", "http://localhost:8080/hostname")
		if err != nil {
			return err
		}
		if got != "pair" {
			return fmt.Errorf("one container asked the other one over localhost, which answered %q", got)
		}
		e.Saw("one container reached the other one over localhost")
		if _, err := e.exec(ctx, e.Namespace, "pair", "writer", nil, "busybox", "kill", "1"); err != nil {
			return err
		}
		if _, err := await(ctx, e, "pair", func(p *corev1.Pod) string {
			if restarts(p) == 1 && ready(p) {
				return ""
			}
			return fmt.Sprintf("a container was ended, and restarted %d times", restarts(p))
		}); err != nil {
			return err
		}
		if err := e.reads(ctx, "pair", "writer", "/shared/note", "from the writer"); err != nil {
			return err
		}
		e.Saw("the file was still there when the container that wrote it had been started again")
		return nil
	},
}

var hostPath = Check{
	Name: "host-path", Short: "a hostPath volume is a directory of the node, which the next pod there finds", Level: "privileged", Remedy: kubelets,
	Run: func(ctx context.Context, e *Env) error {
		n, err := e.aNode()
		if err != nil {
			return err
		}
		dir := "/var/tmp/" + prefix + e.Run
		if err := e.onDisk(ctx, n.Name, dir); err != nil {
			return err
		}
		for _, step := range []struct {
			pod string
			is  corev1.HostPathType
			do  func(pod string) error
		}{
			{"first", corev1.HostPathDirectoryOrCreate, func(pod string) error { return e.write(ctx, pod, "", "/node/note", "from the first pod") }},
			{"second", corev1.HostPathDirectory, func(pod string) error { return e.reads(ctx, pod, "", "/node/note", "from the first pod") }},
		} {
			spec := podSpec(e.idle("user"))
			spec.NodeName = n.Name
			mount(&spec, hostVolume(dir, step.is), "/node")
			p := pod(step.pod, spec)
			if err := e.create(ctx, p); err != nil {
				return err
			}
			if _, err := e.pod(ctx, step.pod); err != nil {
				return err
			}
			if err := step.do(step.pod); err != nil {
				return err
			}
			if err := e.remove(ctx, p, p.Name, &p.UID); err != nil {
				return err
			}
			if err := awaitGone[*corev1.Pod](ctx, e, p.Name); err != nil {
				return err
			}
		}
		e.Saw("on %s: the directory %s was made, and what one pod wrote there another one read when the first was gone", n.Name, dir)
		return nil
	},
}

// aNode is a node that any pod may be on, a worker where there is one.
func (e *Env) aNode() (Node, error) {
	if free := e.free(); len(free) > 0 {
		return free[0], nil
	}
	return Node{}, errNoFreeNode
}

var nfs = Check{
	Name: "nfs", Short: "an NFS volume is claimed, and written from two pods on two nodes", Needs: []Need{NFS, Workers},
	Remedy: "the export on the server, the NFS client's package on the nodes, and what kubectl describe says of the pods",
	Run: func(ctx context.Context, e *Env) error {
		name := prefix + e.Run
		volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: quantity("1Mi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: e.NFS.Server, Path: e.NFS.Path}},
			ClaimRef:                      &corev1.ObjectReference{Namespace: e.Namespace, Name: "shared"},
		}}
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: named("shared"), Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: volume.Spec.AccessModes, StorageClassName: ptr(""), VolumeName: name,
			Resources: corev1.VolumeResourceRequirements{Requests: volume.Spec.Capacity},
		}}
		if err := e.create(ctx, volume, claim); err != nil {
			return err
		}
		if _, err := await(ctx, e, "shared", func(c *corev1.PersistentVolumeClaim) string {
			if c.Status.Phase == corev1.ClaimBound {
				return ""
			}
			return "the claim is " + string(c.Status.Phase)
		}); err != nil {
			return err
		}
		two := e.free()[:2]
		for i, n := range two {
			spec := podSpec(e.idle("writer"))
			spec.NodeName = n.Name
			mount(&spec, corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "shared"}}, "/shared")
			if err := e.create(ctx, pod(fmt.Sprintf("writer-%d", i), spec)); err != nil {
				return err
			}
		}
		for i, n := range two {
			if _, err := e.pod(ctx, fmt.Sprintf("writer-%d", i)); err != nil {
				return fmt.Errorf("%s:%s on %s: %w", e.NFS.Server, e.NFS.Path, n.Name, err)
			}
		}
		// What the export holds else is somebody's.
		dir := "/shared/" + name
		if _, err := e.exec(ctx, e.Namespace, "writer-0", "", nil, "busybox", "mkdir", "-m", "0777", dir); err != nil {
			return err
		}
		e.Undo(func(ctx context.Context) error {
			_, err := e.exec(ctx, e.Namespace, "writer-0", "", nil, "busybox", "rm", "-rf", dir)
			return err
		})
		for i := range two {
			if err := e.write(ctx, fmt.Sprintf("writer-%d", i), "", fmt.Sprintf("%s/from-%d", dir, i), fmt.Sprintf("pod %d", i)); err != nil {
				return err
			}
		}
		for i := range two {
			if err := e.reads(ctx, fmt.Sprintf("writer-%d", i), "", fmt.Sprintf("%s/from-%d", dir, 1-i), fmt.Sprintf("pod %d", 1-i)); err != nil {
				return errors.Join(err, fmt.Errorf("the pods on %s and %s do not see the same", two[0].Name, two[1].Name))
			}
		}
		e.Saw("%s:%s is mounted on %s and %s, and each pod read what the other one wrote", e.NFS.Server, e.NFS.Path, two[0].Name, two[1].Name)
		return nil
	},
}
