//go:build e2e

package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What differs from one installation to the next and is no difference between a run that was disturbed and one that was not.

// ofState narrows a fingerprint to the state that an installation determines. What pods, images and the store make is compared as what runs and listens.
var ofState = []string{
	"-only", "file,unit,unit-file,user,group,package,sysctl,module,rule,process,listen",
	"-skip", "/run,/tmp,/var/log,/var/lib/containerd,/var/lib/cni,/var/lib/etcd,/var/lib/registry,/var/lib/kubelet/pods,/var/lib/kubelet/plugins_registry," +
		"/var/lib/kubelet/actuated_pods_state,/var/lib/kubelet/allocated_pods_state,/var/lib/kubelet/image_manager," +
		"/var/lib/kubewright/kept,/var/lib/kubewright/blobs,/var/lib/kubewright/digests.json",
}

// made are files whose content is made by chance or carries a time: keys, certificates, what holds them, and our own memory. That they are there, with
// their owner and mode, is compared.
var made = regexp.MustCompile(`^file (/etc/kubernetes/(pki|etcd)/\S+|/etc/kubernetes/\w[\w-]*\.conf|/etc/kubewright/pki/\S+|/var/lib/kubelet/pki/\S+|` +
	`/var/lib/kubewright/(journal\.jsonl|claim-\S+)|/var/lib/kubelet/(cpu|memory)_manager_state) (file|link) `)

// dated are names that carry a time: the kubelet's certificates.
var dated = regexp.MustCompile(`-\d{4}-\d{2}-\d{2}-\d{2}-\d{2}-\d{2}\.pem`)

// passing are facts about what comes and goes with single pods, wherever the scheduler put them, and files that the kubelet was about to rename when it lost
// its power, which it never looks for again.
var passing = regexp.MustCompile(`^file /var/lib/kubelet/\.\d+ |^sysctl net/ipv[46]/(conf|neigh)/(veth|cni0|flannel)|^process (coredns|runc|pause|agnhost|containerd-shim|sleep|iptables|nft) |` +
	`^unit kubepods-\S+-pod|^sysctl (fs/|kernel/keys|net/netfilter/nf_conntrack_max|net/netfilter/nf_conntrack_buckets)|^listen unix `)

// ephemeral is a port that somebody got by chance.
var ephemeral = regexp.MustCompile(`^listen \S+ \S+ port (32[7-9]\d\d|3[3-9]\d{3}|[4-6]\d{4})$`)

// digest is the state of every host, as it is to be compared between installations.
func digest(t *testing.T) map[string][]string {
	t.Helper()
	all := look(t, ofState...)
	for h, lines := range all {
		var out []string
		for _, l := range lines {
			if passing.MatchString(l) || ephemeral.MatchString(l) {
				continue
			}
			l = dated.ReplaceAllString(l, "-DATE.pem")
			if at := made.FindStringIndex(l); at != nil {
				l = withoutContent(l)
			}
			if strings.HasPrefix(l, "process ") {
				l = strings.Join(strings.Fields(l)[:2], " ")
			}
			out = append(out, l)
		}
		slices.Sort(out)
		all[h] = slices.Compact(out)
	}
	return all
}

// withoutContent cuts what a file's line says of its content: file NAME TYPE MODE OWNER [SIZE DIGEST | -> TARGET].
func withoutContent(l string) string {
	return strings.Join(strings.Fields(l)[:5], " ")
}
