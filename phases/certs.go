package phases

import (
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
)

// certDays is how long leaf certificates live; they are made anew by up when a quarter is left (kubeadm: one year).
const certDays = 365

var controlPlaneCerts = engine.Phase[Input]{
	Name:  "certificates",
	Short: "make the control plane's certificates and kubeconfigs",
	Long: "Makes, with kubeadm's names and subjects, the certificates and kubeconfigs that the control plane's components show " +
		"each other. Every key is made on the host that uses it.",
	On:    onControlPlane,
	Steps: controlPlaneCertSteps,
}

func controlPlaneCertSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	host, addr := in.Host.Name, in.Host.Address.String()
	both := []pki.Usage{pki.ServerAuth, pki.ClientAuth}
	server, client := both[:1], both[1:]

	l.add("the API server proves who it is", l.cert("apiserver", KubernetesCA, pki.Request{
		CommonName: "kube-apiserver", DNSNames: apiNames(in), IPs: apiAddresses(in), Usages: server,
	}))
	l.add("the API server logs in to kubelets", l.cert("apiserver-kubelet-client", KubernetesCA, pki.Request{
		CommonName: "kube-apiserver-kubelet-client", Organization: []string{"kubeadm:cluster-admins"}, Usages: client,
	}))
	l.add("the API server proves itself to extension API servers", l.cert("front-proxy-client", frontProxyCA, pki.Request{
		CommonName: "front-proxy-client", Usages: client,
	}))
	local := []string{host, "localhost"}
	addresses := []string{addr, "127.0.0.1", "::1"}
	l.add("etcd proves who it is", l.cert("etcd/server", etcdCA, pki.Request{CommonName: host, DNSNames: local, IPs: addresses, Usages: both}))
	l.add("etcd's members know each other", l.cert("etcd/peer", etcdCA, pki.Request{CommonName: host, DNSNames: local, IPs: addresses, Usages: both}))
	l.add("health checks log in to etcd", l.cert("etcd/healthcheck-client", etcdCA, pki.Request{CommonName: "kube-etcd-healthcheck-client", Usages: client}))
	l.add("the API server logs in to etcd", l.cert("apiserver-etcd-client", etcdCA, pki.Request{CommonName: "kube-apiserver-etcd-client", Usages: client}))

	// Those that the controller manager and the scheduler would make themselves nobody can verify, and would be others at each start. Each has a folder of its
	// own, as a file alone could not be followed into a container when it is made anew.
	loopback := pki.Request{CommonName: "localhost", DNSNames: []string{"localhost"}, IPs: []string{"127.0.0.1", "::1"}, Usages: server}
	l.add("who asks the controller manager for its metrics can verify it", l.cert("controller-manager/server", KubernetesCA, loopback))
	l.add("who asks the scheduler for its metrics can verify it", l.cert("scheduler/server", KubernetesCA, loopback))

	// Components of the control plane talk to the API server beside them, whatever happens to the endpoint (as kubeadm does).
	own := "https://" + addr + ":6443"
	l.add("the controller manager logs in to the API", l.kubeconfig("controller-manager.conf", own, "system:kube-controller-manager"))
	l.add("the scheduler logs in to the API", l.kubeconfig("scheduler.conf", own, "system:kube-scheduler"))
	l.add("whoever works on this host logs in to the API; its power comes from RBAC and can be taken away",
		l.kubeconfig("admin.conf", "https://"+in.Cluster.Endpoint(), "kubernetes-admin", "kubeadm:cluster-admins"))
	return l.done()
}

// cert is a certificate under pkiDir, in kubeadm's place.
func (l *list) cert(name, authority string, r pki.Request) ops.Certificate {
	r.Days = certDays
	return ops.Certificate{
		Request: r, Cert: pkiDir + "/" + name + ".crt", KeyFile: pkiDir + "/" + name + ".key",
		Authority: authority, CACert: caCert(authority),
	}
}

func (l *list) kubeconfig(file, server, user string, groups ...string) ops.Kubeconfig {
	return ops.Kubeconfig{
		Path: "/etc/kubernetes/" + file, Cluster: l.in.Cluster.Metadata.Name, User: user, Server: server,
		Authority: KubernetesCA, CACert: caCert(KubernetesCA),
		Request: pki.Request{CommonName: user, Organization: groups, Usages: []pki.Usage{pki.ClientAuth}, Days: certDays},
	}
}

// caCert is where a host that trusts an authority has its certificate.
func caCert(authority string) string {
	switch authority {
	case etcdCA:
		return pkiDir + "/etcd/ca.crt"
	case frontProxyCA:
		return pkiDir + "/front-proxy-ca.crt"
	case registryCAName:
		return registryCA
	}
	return pkiDir + "/ca.crt"
}

// apiNames and apiAddresses are what clients may call the API server: kubeadm's set and the inventory's.
func apiNames(in Input) []string {
	domain := in.Cluster.Spec.Network.DNSDomain
	names := []string{in.Host.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain}
	for _, s := range extraSANs(in.Cluster) {
		if !isAddress(s) {
			names = append(names, s)
		}
	}
	return distinct(names)
}

func apiAddresses(in Input) []string {
	out := []string{in.Cluster.ServiceIP(1).String(), in.Host.Address.String(), "127.0.0.1"}
	for _, s := range extraSANs(in.Cluster) {
		if isAddress(s) {
			out = append(out, s)
		}
	}
	return distinct(out)
}

func extraSANs(c *inventory.Cluster) []string {
	return append([]string{hostOf(c.Endpoint())}, c.Spec.APIServer.CertSANs...)
}

var nodeCerts = engine.Phase[Input]{
	Name:  "node-certificates",
	Short: "make the kubelet's certificates and kubeconfig",
	Long: "Makes the key with which the kubelet logs in to the API and the one it serves with, and has them signed over the " +
		"connection that has already proven who the host is: no bootstrap token is made, none can leak.",
	On:    onNodes,
	After: []string{"authorities"},
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		if in.Host.Has(inventory.ControlPlane) {
			// The authority itself lies here.
		} else {
			l.add("kubeadm's place for everything of the cluster", ops.Dir{Path: "/etc/kubernetes", Mode: 0o755, Owned: true})
			l.add("the node knows its API server by this authority", trust(in, KubernetesCA, caCert(KubernetesCA)))
		}
		l.add("the kubelet's own state", ops.Dir{Path: "/var/lib/kubelet", Mode: 0o700, Owned: true})
		if s := in.Cluster.Spec.Addons.Storage; s.Enabled {
			l.add("the volumes of pods", ops.Dir{Path: s.Path, Mode: 0o755, Owned: true})
		}
		l.add("the kubelet logs in as this node and renews the certificate itself", ops.Certificate{
			Request: pki.Request{
				CommonName: "system:node:" + in.Host.Name, Organization: []string{"system:nodes"},
				Usages: []pki.Usage{pki.ClientAuth}, Days: certDays,
			},
			Cert: kubeletClientCert, Authority: KubernetesCA, CACert: caCert(KubernetesCA), Rotating: true,
		})
		l.add("the API server verifies the kubelet it execs and reads logs through", ops.Certificate{
			Request: pki.Request{
				CommonName: "system:node:" + in.Host.Name, Organization: []string{"system:nodes"},
				DNSNames: []string{in.Host.Name}, IPs: []string{in.Host.Address.String()},
				Usages: []pki.Usage{pki.ServerAuth}, Days: certDays,
			},
			Cert: kubeletServerCert, KeyFile: kubeletServerKey, Authority: KubernetesCA, CACert: caCert(KubernetesCA),
		})
		l.add("the kubelet finds the API", ops.Kubeconfig{
			Path: "/etc/kubernetes/kubelet.conf", Cluster: in.Cluster.Metadata.Name, User: "system:node:" + in.Host.Name,
			Server: apiFor(in), CACert: caCert(KubernetesCA), ClientFile: kubeletClientCert,
		})
		return l.done()
	},
}

const (
	kubeletClientCert = "/var/lib/kubelet/pki/kubelet-client-current.pem"
	kubeletServerCert = "/var/lib/kubelet/pki/kubelet-server.crt"
	kubeletServerKey  = "/var/lib/kubelet/pki/kubelet-server.key"
)

// apiFor is the API server a kubelet talks to: on a control-plane host the one beside it, else the endpoint.
func apiFor(in Input) string {
	if in.Host.Has(inventory.ControlPlane) {
		return "https://" + in.Host.Address.String() + ":6443"
	}
	return "https://" + in.Cluster.Endpoint()
}
