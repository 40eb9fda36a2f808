package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// onDisk notes that a check is about to make something on a node's disk, and has it removed afterwards: by this run or, where that is killed, by the next.
func (e *Env) onDisk(ctx context.Context, node, file string) error {
	key := filesPrefix + strings.TrimPrefix(e.Namespace, e.hands.home+"-")
	if err := e.note(ctx, key, node+":"+file); err != nil {
		return err
	}
	e.Undo(func(ctx context.Context) error { return e.wipe(ctx, node, file) })
	return nil
}

// wipe removes a file or directory of ours from a node, through a pod there.
func (e *Env) wipe(ctx context.Context, node, file string) error {
	if !strings.HasPrefix(path.Base(file), prefix) || path.Clean(file) != file || !path.IsAbs(file) {
		return fmt.Errorf("%s is not ours", file)
	}
	if _, err := e.Client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return nil // it left the cluster, and its disk with it
	}
	home := e.inHome()
	spec := podSpec(e.tool("wipe", "rm", "-rf", "/disk/"+path.Base(file)))
	spec.NodeName, spec.Tolerations, spec.RestartPolicy = node, []corev1.Toleration{everywhere}, corev1.RestartPolicyNever
	mount(&spec, hostVolume(path.Dir(file), corev1.HostPathDirectory), "/disk")
	p := pod("", spec)
	p.GenerateName = "wipe-"
	if err := home.create(ctx, p); err != nil {
		return err
	}
	_, err := await(ctx, home, p.Name, func(p *corev1.Pod) string {
		if p.Status.Phase == corev1.PodSucceeded {
			return ""
		}
		return fmt.Sprintf("it is %s%s", p.Status.Phase, trouble([]*corev1.Pod{p}))
	})
	return err
}

// taint gives a node our taint with that effect, in place of any other effect that it had from this run.
func (e *Env) taint(ctx context.Context, node string, effect corev1.TaintEffect) error {
	return e.retaint(ctx, node, func(all []corev1.Taint) []corev1.Taint {
		return append(without(all, e.Run), corev1.Taint{Key: runLabel, Value: e.Run, Effect: effect})
	})
}

// untaint takes away the taint of a run.
func (e *Env) untaint(ctx context.Context, node, run string) error {
	return e.retaint(ctx, node, func(all []corev1.Taint) []corev1.Taint { return without(all, run) })
}

// without are the taints that are not of that run.
func without(all []corev1.Taint, run string) []corev1.Taint {
	out := []corev1.Taint{}
	for _, t := range all {
		if t.Key != runLabel || t.Value != run {
			out = append(out, t)
		}
	}
	return out
}

// retaint changes a node's taints, and nobody else's meanwhile: a taint that somebody sets at the same time is kept.
func (e *Env) retaint(ctx context.Context, node string, change func([]corev1.Taint) []corev1.Taint) error {
	for {
		n, err := e.Client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		raw, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": n.ResourceVersion},
			"spec":     map[string]any{"taints": change(n.Spec.Taints)},
		})
		if err != nil {
			return err
		}
		_, err = e.Client.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, raw, metav1.PatchOptions{})
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

// hostVolume is a path of the node.
func hostVolume(path string, is corev1.HostPathType) corev1.VolumeSource {
	return corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path, Type: &is}}
}

// mount gives every container of a pod the volume at that path.
func mount(spec *corev1.PodSpec, source corev1.VolumeSource, at string) {
	name := fmt.Sprintf("v%d", len(spec.Volumes))
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	for _, all := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range all {
			all[i].VolumeMounts = append(all[i].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: at})
		}
	}
}
