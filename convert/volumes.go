package convert

import (
	"regexp"
	"slices"
	"strings"
)

// tokenSecret is how the cluster named the Secrets in which it kept tokens.
var tokenSecret = regexp.MustCompile(`-token-[a-z0-9]{5}$`)

// tokenPath is where a pod has its token, in every age.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// drivers took the place of volumes that were Kubernetes' own. Their old form is still understood where the driver is.
var drivers = map[string]string{
	"awsElasticBlockStore": "ebs.csi.aws.com", "azureDisk": "disk.csi.azure.com", "azureFile": "file.csi.azure.com", "cinder": "cinder.csi.openstack.org",
	"gcePersistentDisk": "pd.csi.storage.gke.io", "vsphereVolume": "csi.vsphere.vmware.com", "portworxVolume": "pxd.portworx.com",
}

// lost are volumes that no kubelet mounts any more, in whatever form.
var lost = map[string]string{
	"flocker": "1.25", "quobyte": "1.25", "storageos": "1.25", "scaleIO": "1.22", "photonPersistentDisk": "1.16", "glusterfs": "1.26", "cephfs": "1.31", "rbd": "1.31",
}

// source tells what became of a volume's source, of a pod or a PersistentVolume.
func (w *work) source(v object, in string) {
	for _, name := range keys(v) {
		if driver := drivers[name]; driver != "" {
			w.note(v, Warning, in+"."+name, "Kubernetes itself has no such volumes any more", "the CSI driver "+driver+" takes them over, if it is installed")
		}
		if since := lost[name]; since != "" {
			remedy := "nfs, or a PersistentVolumeClaim of a CSI driver, takes its place"
			if name == "cephfs" || name == "rbd" {
				remedy = "a PersistentVolumeClaim of the CSI driver " + name + ".csi.ceph.com takes its place"
			}
			w.refuse(in+"."+name, "no kubelet mounts such a volume since "+since+": "+remedy)
		}
	}
}

func (p podWork) volumes() {
	volumes := list(p.spec, "volumes")
	each(volumes, func(i int, v object) {
		in := p.field(index("spec.volumes", i))
		if v["gitRepo"] != nil {
			p.refuse(in+".gitRepo", "such volumes are off for good in 1.36, as a repository could run programs on the node: use an emptyDir, and an init container that runs git clone "+str(v, "gitRepo", "repository"))
		}
		if s := str(v, "secret", "secretName"); tokenSecret.MatchString(s) {
			if p.token(str(v, "name")) {
				volumes[i] = nil
				p.note(p.spec, Dropped, in, "left out, with its mounts", s+" is not made by the cluster any more; a pod gets a token of its own at the same path")
				return
			}
			p.note(p.spec, Warning, in+".secret", s+" is not made by the cluster any more", "a pod gets a token of its own below "+tokenPath+"; for one elsewhere use a projected volume")
		}
		if path := str(v, "hostPath", "path"); strings.HasSuffix(path, "/docker.sock") || strings.HasPrefix(path, "/var/lib/docker") {
			p.note(p.spec, Warning, in+".hostPath", path+" is Docker's", "nodes that run containerd do not have it: logs are below /var/log/pods, and images are built without a socket of the node's")
		}
		p.source(v, in)
	})
	if left := slices.DeleteFunc(volumes, func(v any) bool { return v == nil }); len(left) > 0 {
		p.spec["volumes"] = left
	} else if len(volumes) > 0 {
		delete(p.spec, "volumes")
	}
}

// token takes the mounts of a volume away if all are where a pod has its token anyway.
func (p podWork) token(volume string) bool {
	if p.spec["automountServiceAccountToken"] == false {
		return false
	}
	mine := func(v any) bool { m, ok := v.(map[string]any); return ok && volume != "" && str(m, "name") == volume }
	var with []object
	ours := true
	for _, l := range []string{"initContainers", "containers"} {
		each(list(p.spec, l), func(_ int, c object) {
			for _, m := range list(c, "volumeMounts") {
				if mine(m) {
					with = append(with, c)
					ours = ours && str(m.(map[string]any), "mountPath") == tokenPath
				}
			}
		})
	}
	if !ours || len(with) == 0 {
		return false
	}
	for _, c := range with {
		if c["volumeMounts"] = slices.DeleteFunc(list(c, "volumeMounts"), mine); len(list(c, "volumeMounts")) == 0 {
			delete(c, "volumeMounts")
		}
	}
	return true
}
