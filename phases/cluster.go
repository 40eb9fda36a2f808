package phases

import (
	"net"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

var clusterObjects = engine.Phase[Input]{
	Name:  "cluster",
	Short: "apply the cluster's own objects",
	Long: "Applies, server-side, the roles and ConfigMaps that kubeadm's tools look for, kube-proxy and flannel, while " +
		"the nodes join.",
	On:    onCluster,
	After: []string{"control-plane"},
	Steps: clusterSteps,
}

func clusterSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	config, err := kubeadmConfig(in)
	if err != nil {
		return nil, err
	}
	kubelet, err := sharedKubeletConfig(in)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyConfig(in)
	if err != nil {
		return nil, err
	}
	l.objects("who may do what, as in a cluster made by kubeadm", roles()...)
	l.objects("kubeadm's tools read how the cluster was made",
		configMap("kubeadm-config", "ClusterConfiguration", string(config)),
		configMap("kubelet-config", "kubelet", string(kubelet)))
	l.add("where a new node finds the cluster", addons.ClusterInfo{Server: "https://" + in.Cluster.Endpoint()})
	mode, why := ProxyMode(in.Cluster, in.Facts)
	if why == "" {
		why = "Services reach their pods (" + mode + ")"
	}
	l.objects(why, addons.KubeProxy(addons.KubeProxySettings{
		Image: l.image("kube-proxy"), Config: string(proxy), Server: "https://" + in.Cluster.Endpoint(), Guard: rulesMayVanish(in),
	})...)
	host, port, err := net.SplitHostPort(in.Cluster.Endpoint())
	if err != nil {
		return nil, err
	}
	flannel, err := addons.Flannel(addons.FlannelSettings{
		Image: l.image("flannel"), PodCIDR: in.Cluster.Spec.Network.PodCIDR.String(), Backend: in.Cluster.Spec.Addons.Flannel.Backend, MTU: in.Cluster.Spec.Addons.Flannel.MTU, NFTables: mode == "nftables",
		Guard:   rulesMayVanish(in),
		APIHost: host, APIPort: port,
	})
	if err != nil {
		return nil, err
	}
	l.objects("pods on different nodes reach each other", flannel...)
	return l.done()
}

var dns = engine.Phase[Input]{
	Name:  "dns",
	Short: "apply CoreDNS",
	Long: "Applies CoreDNS and waits for it. Its pods need the pod network: made before it works, their first try fails and the " +
		"kubelet waits ten seconds before the next.",
	On:    onCluster,
	Steps: dnsSteps,
}

func dnsSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	objects, err := addons.CoreDNS(addons.CoreDNSSettings{
		Image: l.image("coredns"), ClusterIP: in.Cluster.ServiceIP(10).String(), Domain: in.Cluster.Spec.Network.DNSDomain,
		Upstream: haveUpstream(in), Replicas: min(2, int32(len(in.Cluster.Nodes()))),
	})
	if err != nil {
		return nil, err
	}
	l.objects("pods find Services by name", objects...)
	l.ready("the cluster works only with it", "Deployment", metav1.NamespaceSystem, "coredns")
	return l.done()
}

// How long the cluster may take to become ready, in seconds, before up says what is lacking.
const readyWithin = 300

var clusterReady = engine.Phase[Input]{
	Name:  "ready",
	Short: "wait until the cluster works",
	Long:  "Waits, by watching, until every node is Ready and kube-proxy and flannel are rolled out.",
	On:    onCluster,
	After: []string{"controllers", "join"}, // what has failed there is not waited for here
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		for _, h := range in.Cluster.Nodes() {
			l.ready("the node takes pods", "Node", "", h.Name)
		}
		for _, h := range in.Cluster.With(inventory.ControlPlane) {
			l.objects("the field's tools tell control-plane nodes by these labels", &corev1.Node{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
				ObjectMeta: metav1.ObjectMeta{
					Name: h.Name,
					Labels: map[string]string{
						controlPlaneLabel: "",
						"node.kubernetes.io/exclude-from-external-load-balancers": "",
					},
				},
			})
		}
		l.ready("the cluster works only with it", "DaemonSet", metav1.NamespaceSystem, "kube-proxy")
		l.ready("the cluster works only with it", "DaemonSet", "kube-flannel", "kube-flannel-ds")
		for _, h := range in.Cluster.Nodes() {
			l.ready("its pods get addresses", "Network", "", h.Name)
		}
		return l.done()
	},
}

// ready waits for one thing in the cluster.
func (l *list) ready(why, kind, namespace, name string) {
	l.add(why, addons.Ready{Kind: kind, Namespace: namespace, Name: name, Within: readyWithin, OK: true})
}

func (l *list) objects(why string, all ...runtime.Object) {
	for _, o := range all {
		l.add(why, addons.New(o))
	}
}

// haveUpstream says whether every node has a name server to ask about the world outside.
func haveUpstream(in Input) bool {
	for _, h := range in.Cluster.Nodes() {
		if len(in.Facts[h.Name].Nameservers) == 0 {
			return false
		}
	}
	return true
}

func configMap(name, key, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceSystem},
		Data:       map[string]string{key: value},
	}
}

// kubeadmConfig is kubeadm's ClusterConfiguration (v1beta4), which its upgrade and certs commands read.
func kubeadmConfig(in Input) ([]byte, error) {
	api, err := in.Lock.Image("kube-apiserver")
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(map[string]any{
		"apiVersion":           "kubeadm.k8s.io/v1beta4",
		"kind":                 "ClusterConfiguration",
		"clusterName":          in.Cluster.Metadata.Name,
		"kubernetesVersion":    api.Version,
		"controlPlaneEndpoint": in.Cluster.Endpoint(),
		"certificatesDir":      pkiDir,
		"imageRepository":      in.Cluster.Registry(),
		"networking": map[string]any{
			"dnsDomain":     in.Cluster.Spec.Network.DNSDomain,
			"podSubnet":     in.Cluster.Spec.Network.PodCIDR.String(),
			"serviceSubnet": in.Cluster.Spec.Network.ServiceCIDR.String(),
		},
		"etcd":                map[string]any{"local": map[string]any{"dataDir": "/var/lib/etcd"}},
		"encryptionAlgorithm": "ECDSA-P256",
	})
}

// sharedKubeletConfig is the kubelet's configuration without what is peculiar to a host.
func sharedKubeletConfig(in Input) ([]byte, error) {
	in.Host = in.Cluster.Nodes()[0]
	in.Host.Runtime = inventory.RuntimeContainerd // kubeadm writes what another runtime needs into the node's own configuration
	k := kubeletConfig(in)
	k.RegisterWithTaints = nil
	// A node that joins by kubeadm has no certificate from us: it asks the API for one.
	k.TLSCertFile, k.TLSPrivateKeyFile, k.ServerTLSBootstrap = "", "", true
	return yaml.Marshal(k)
}

const bootstrappers = "system:bootstrappers:kubeadm:default-node-token"

// roles are kubeadm's, so that a node can also join by hand with kubeadm and a token that somebody makes.
func roles() []runtime.Object {
	group := func(name string) rbacv1.Subject {
		return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
	}
	bind := func(name, role string, subjects ...rbacv1.Subject) runtime.Object {
		return &rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   subjects,
		}
	}
	out := []runtime.Object{
		bind("kubeadm:cluster-admins", "cluster-admin", group("kubeadm:cluster-admins")),
		bind("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", group(bootstrappers)),
		// kubeadm also lets whoever holds a bootstrap token have a certificate for any node's name approved at once. Here a person approves it.
		bind("kubeadm:node-autoapprove-certificate-rotation", "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", group("system:nodes")),
		&rbacv1.ClusterRole{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:get-nodes"},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}}},
		},
		bind("kubeadm:get-nodes", "kubeadm:get-nodes", group(bootstrappers)),
	}
	for _, cm := range []struct{ role, name string }{
		{"kubeadm:nodes-kubeadm-config", "kubeadm-config"},
		{"kubeadm:kubelet-config", "kubelet-config"},
		{"kube-proxy", "kube-proxy"},
	} {
		out = append(out,
			&rbacv1.Role{
				TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
				ObjectMeta: metav1.ObjectMeta{Name: cm.role, Namespace: metav1.NamespaceSystem},
				Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{cm.name}, Verbs: []string{"get"}}},
			},
			&rbacv1.RoleBinding{
				TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
				ObjectMeta: metav1.ObjectMeta{Name: cm.role, Namespace: metav1.NamespaceSystem},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: cm.role},
				Subjects:   []rbacv1.Subject{group(bootstrappers), group("system:nodes")},
			})
	}
	return out
}
