package addons

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	nfsNamespace = "nfs"
	nfsClass     = "nfs"
	nfsTrial     = "nfs-trial"

	// labelExport names the volume that is an export, for claims that want that one.
	labelExport = "kubewright.io/export"
)

// shared adds volumes of an NFS server, one an export. Nobody looks whether a PersistentVolume can be mounted before a pod wants it, so that a mistake shows up as a
// pod that never starts: here every node tries every export first, in a pod that does nothing, and there are volumes only when all of them could.
func (p *Parts) shared(e Env) error {
	server := e.Cluster.NFSServer()
	trial := corev1.PodSpec{
		NodeSelector: linux(), Tolerations: everywhere(), AutomountServiceAccountToken: new(false), TerminationGracePeriodSeconds: new(int64(1)),
		Containers: []corev1.Container{{
			Name: "mounted", Image: e.Image("pause"), ImagePullPolicy: corev1.PullIfNotPresent, Resources: requests("1m", "4Mi"), SecurityContext: locked(65534),
		}},
	}
	seen := map[string]bool{}
	for i, x := range e.Cluster.Spec.Addons.Storage.NFS.Exports {
		size, err := resource.ParseQuantity(x.Size)
		if err != nil {
			return fmt.Errorf("the export %s: %q is no size: %w", x.Path, x.Size, err)
		}
		source := corev1.NFSVolumeSource{Server: server, Path: x.Path}
		name := fmt.Sprintf("export-%d", i)
		trial.Volumes = append(trial.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{NFS: &source}})
		c := &trial.Containers[0]
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/exports/" + name})
		volume := exportName(e.Cluster.Spec.Addons.Storage.NFS.Server, x.Path)
		if seen[volume] {
			return fmt.Errorf("two exports would be the volume %s", volume)
		}
		seen[volume] = true
		p.Later = append(p.Later, exportVolume(volume, size, source))
	}
	tries := daemonSet(nfsNamespace, nfsTrial, map[string]string{"app": nfsTrial}, "", trial)
	tries.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable = new(intstr.FromString("100%")) // all at once: nobody uses them
	p.Objects = append(p.Objects, namespaceObject(nfsNamespace, "baseline"), tries)
	p.Ready = append(p.Ready, rolledOut("DaemonSet", nfsNamespace, nfsTrial)...)
	now, keep := storagev1.VolumeBindingImmediate, corev1.PersistentVolumeReclaimRetain
	p.Later = append(p.Later, &storagev1.StorageClass{
		TypeMeta:    metav1.TypeMeta{APIVersion: storagev1.SchemeGroupVersion.String(), Kind: "StorageClass"},
		ObjectMeta:  metav1.ObjectMeta{Name: nfsClass},
		Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: &now, ReclaimPolicy: &keep,
	})
	return nil
}

// exportVolume is an export as a volume that many pods on many nodes may write to, and that keeps its data whatever becomes of the claim.
func exportVolume(name string, size resource.Quantity, source corev1.NFSVolumeSource) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{labelExport: exportLabel(source.Path)}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			StorageClassName:              nfsClass,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{NFS: &source},
		},
	}
}

var plainPath = regexp.MustCompile(`^(/[a-z0-9]+)+$`)

// exportName is the volume's name: /srv/nfs is srv-nfs. A path with other characters has a digest at its end, for another path may read the same without them; and
// so has one of somebody's server, since a volume can never be of another server than it was made of.
func exportName(server, path string) string {
	name := exportLabel(path)
	if server == "" && plainPath.MatchString(path) && len(path) <= maxLabel {
		return name
	}
	sum := sha256.Sum256([]byte(server + ":" + path))
	return strings.TrimPrefix(name+"-"+hex.EncodeToString(sum[:4]), "-")
}

// exportLabel is what an export is called by claims that want it.
func exportLabel(path string) string {
	name := strings.Trim(otherThanNames.ReplaceAllString(strings.ToLower(path), "-"), "-")
	return strings.Trim(name[:min(len(name), maxLabel)], "-")
}

// maxLabel leaves room for a digest in what names may have.
const maxLabel = 50

var otherThanNames = regexp.MustCompile(`[^a-z0-9]+`)
