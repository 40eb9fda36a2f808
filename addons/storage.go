package addons

import (
	"encoding/json"
	"errors"

	"github.com/kubewright/kubewright/inventory"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

var storage = Addon{
	Name: inventory.AddonStorage, Short: "whoever claims a volume gets one",
	Images: []string{"local-path-provisioner"},
	Make: func(e Env) (Parts, error) {
		objects, err := localPath(e)
		p := Parts{Objects: objects, Ready: rolledOut("Deployment", storageNamespace, "local-path-provisioner")}
		if e.Cluster.NFS() {
			err = errors.Join(err, p.shared(e))
		}
		return p, err
	},
}

const (
	storageNamespace = "local-path-storage"
	storageClass     = "local-path"
	storageProvider  = "rancher.io/local-path"
)

// localPath makes volumes of directories, on the node where the pod that first uses one comes to run. A pod of busybox makes and removes them.
func localPath(e Env) ([]runtime.Object, error) {
	const ns, name = storageNamespace, "local-path-provisioner"
	labels := map[string]string{"app": name}
	config, err := json.Marshal(map[string]any{"nodePathMap": []any{
		map[string]any{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": []string{e.Cluster.Spec.Addons.Storage.Path}},
	}})
	if err != nil {
		return nil, err
	}
	helper, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "helper-pod"},
		"spec": map[string]any{
			"priorityClassName": "system-node-critical", "tolerations": []any{map[string]any{"operator": "Exists"}},
			"terminationGracePeriodSeconds": 0,
			"containers":                    []any{map[string]any{"name": "helper-pod", "image": e.Image("busybox"), "imagePullPolicy": "IfNotPresent"}},
		},
	})
	if err != nil {
		return nil, err
	}
	data := map[string]string{
		"config.json": string(config), "helperPod.yaml": string(helper),
		"setup":    "#!/bin/sh\nset -eu\nmkdir -m 0777 -p \"$VOL_DIR\"\n",
		"teardown": "#!/bin/sh\nset -eu\nrm -rf \"$VOL_DIR\"\n",
	}
	wait, remove := storagev1.VolumeBindingWaitForFirstConsumer, corev1.PersistentVolumeReclaimDelete
	read := []string{"get", "list", "watch"}
	write := append([]string{"create", "patch", "update", "delete"}, read...)
	return []runtime.Object{
		namespaceObject(ns, "privileged"), // its pods mount directories of the host
		serviceAccount(ns, name),
		clusterRole(name,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes", "persistentvolumeclaims", "configmaps", "pods", "pods/log"}, Verbs: read},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"persistentvolumes"}, Verbs: write},
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
			rbacv1.PolicyRule{APIGroups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses"}, Verbs: read}),
		clusterBinding(name, name, ns, name),
		role(ns, name,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "endpoints"}, Verbs: write},
			rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: write}),
		binding(ns, name, "Role", name, ns, name),
		&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "local-path-config"},
			Data:       data,
		},
		&storagev1.StorageClass{
			TypeMeta:    metav1.TypeMeta{APIVersion: storagev1.SchemeGroupVersion.String(), Kind: "StorageClass"},
			ObjectMeta:  metav1.ObjectMeta{Name: storageClass, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
			Provisioner: storageProvider, VolumeBindingMode: &wait, ReclaimPolicy: &remove,
		},
		deployment(ns, name, labels, string(config)+string(helper), 1, oneAtATime(), corev1.PodSpec{
			ServiceAccountName: name, NodeSelector: linux(),
			Containers: []corev1.Container{{
				Name: name, Image: e.Image("local-path-provisioner"), ImagePullPolicy: corev1.PullIfNotPresent,
				Args: []string{
					"start", "--config", "/etc/config/config.json", "--service-account-name", name, "--provisioner-name", storageProvider,
					"--helper-image", e.Image("busybox"), "--configmap-name", "local-path-config",
				},
				Env:             []corev1.EnvVar{fieldEnv("POD_NAMESPACE", "metadata.namespace"), {Name: "CONFIG_MOUNT_PATH", Value: "/etc/config/"}},
				Resources:       requests("20m", "32Mi"),
				SecurityContext: locked(65532),
				VolumeMounts:    []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config/"}},
			}},
			Volumes: []corev1.Volume{configVolume("config", "local-path-config")},
		}),
	}, nil
}
