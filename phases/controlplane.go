package phases

import (
	"fmt"
	"sort"
	"strings"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/templates"
)

const (
	manifests = "/etc/kubernetes/manifests"
	policyDir = "/etc/kubernetes/policy"
	auditDir  = "/var/log/kubernetes/audit"
)

// Every server speaks TLS 1.2 or later with authenticated encryption and forward secrecy only (CIS 1.2.29, 4.2.12).
var tlsSuites = []string{
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}

var controlPlane = engine.Phase[Input]{
	Name:  "control-plane",
	Short: "bring up etcd and the API",
	Long: "Writes etcd and the API server as static pods, with the policies the API server reads, pulls what runs next meanwhile, and " +
		"waits on the host itself until both answer. On a running control plane each is changed only once the one below it is back.",
	On:    onControlPlane,
	Steps: controlPlaneSteps,
}

func controlPlaneSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	etcdAccount(&l)
	l.add("who asked the API for what is written here", ops.Dir{Path: "/var/log/kubernetes", Mode: 0o700, Owned: true}, ops.Dir{Path: auditDir, Mode: 0o700, Owned: true})
	policies, err := templates.Policies()
	if err != nil {
		return nil, err
	}
	for _, p := range policies {
		l.add(p.Why, private(policyDir+"/"+p.Name, p.Content))
	}
	etcd, api := etcdPod(&l), apiServerPod(&l, policies)
	store := ops.Probe{Name: "etcd", URL: "http://127.0.0.1:2381/readyz", Inputs: etcd.inputs(), Within: probeWithin, OK: true}
	l.pod(etcd)
	if in.running() {
		// An API server whose store goes away exits, and the kubelet lets it wait longer from one exit to the next.
		l.add("the store is healthy", store)
	}
	l.pod(api)
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "flannel"} {
		l.add("pulled while the API server comes up", l.pulled(name))
	}
	if !in.running() {
		l.add("the store is healthy", store)
	}
	l.add("the API server is ready", ops.Probe{
		Name: "kube-apiserver", URL: "https://" + in.Host.Address.String() + ":6443/readyz", CA: caCert(KubernetesCA),
		Inputs: api.inputs(), Within: probeWithin, OK: true,
	})
	return l.done()
}

// probeWithin is how long a part of the control plane may take to answer, in seconds. A busy host takes ten.
const probeWithin = 180

// running says whether etcd runs on the host already.
func (in Input) running() bool {
	for _, l := range in.facts().Listening {
		if l.Port == 2379 {
			return true
		}
	}
	return false
}

// etcdDir is where etcd's copies of its keys are: those in kubeadm's place are root's alone, and must be (CIS 1.1.19, 1.1.21).
const etcdDir = "/etc/kubernetes/etcd"

// etcdAccount has etcd run as a user of its own, whose data it is (CIS 1.1.12). What an earlier etcd wrote as root is given to that user before
// the new one starts.
func etcdAccount(l *list) {
	as := l.in.facts().Etcd
	l.add("etcd runs as nobody else does",
		ops.Group{Name: "etcd", GID: as.GID}, ops.User{Name: "etcd", UID: as.UID, GID: as.GID})
	l.add("the store of everything", ops.Dir{Path: "/var/lib/etcd", Mode: 0o700, UID: as.UID, GID: as.GID, Owned: true, Deep: true})
	l.add("etcd reads its keys here", ops.Dir{Path: etcdDir, Mode: 0o700, UID: as.UID, GID: as.GID})
	for _, name := range []string{"ca.crt", "server.crt", "server.key", "peer.crt", "peer.key"} {
		l.add("etcd may not read root's", ops.Copy{Path: etcdDir + "/" + name, From: pkiDir + "/etcd/" + name, Mode: 0o400, UID: as.UID, GID: as.GID})
	}
}

var controllers = engine.Phase[Input]{
	Name:  "controllers",
	Short: "start the controller manager and the scheduler",
	Long: "Lets the kubelet start the controller manager and the scheduler now that the API answers: the controller manager exits when " +
		"it does not within ten seconds, and would then wait out a crash back-off.",
	On: onControlPlane,
	Steps: func(in Input) ([]engine.Step, error) {
		l := list{in: in}
		l.pod(controllerManagerPod(&l))
		l.pod(schedulerPod(&l))
		l.add(kubeletWorks, kubeletProbe)
		return l.done()
	},
}

func etcdPod(l *list) staticPod {
	in := l.in
	addr := in.Host.Address.String()
	return staticPod{
		name: "etcd", image: l.image("etcd"), command: "etcd", why: "the store of everything",
		annotations: map[string]string{"kubeadm.kubernetes.io/etcd.advertise-client-urls": "https://" + addr + ":2379"},
		flags: map[string]string{
			"name":                           in.Host.Name,
			"data-dir":                       "/var/lib/etcd",
			"listen-client-urls":             "https://127.0.0.1:2379,https://" + addr + ":2379",
			"advertise-client-urls":          "https://" + addr + ":2379",
			"listen-peer-urls":               "https://" + addr + ":2380",
			"initial-advertise-peer-urls":    "https://" + addr + ":2380",
			"initial-cluster":                in.Host.Name + "=https://" + addr + ":2380",
			"initial-cluster-state":          "new",
			"listen-metrics-urls":            "http://127.0.0.1:2381",
			"client-cert-auth":               "true",
			"peer-client-cert-auth":          "true",
			"cert-file":                      etcdDir + "/server.crt",
			"key-file":                       etcdDir + "/server.key",
			"trusted-ca-file":                etcdDir + "/ca.crt",
			"peer-cert-file":                 etcdDir + "/peer.crt",
			"peer-key-file":                  etcdDir + "/peer.key",
			"peer-trusted-ca-file":           etcdDir + "/ca.crt",
			"snapshot-count":                 "10000",
			"watch-progress-notify-interval": "5s",
			"feature-gates":                  "InitialCorruptCheck=true",
			"tls-min-version":                "TLS1.2",
			"cipher-suites":                  strings.Join(tlsSuites, ","),
		},
		dirs:  map[string]string{"etcd-data": "/var/lib/etcd", "etcd-certs": etcdDir},
		as:    in.facts().Etcd,
		write: []string{"etcd-data"},
		probe: probe{scheme: "HTTP", port: 2381, live: "/livez", ready: "/readyz"}, cpu: "100m", memory: "100Mi",
	}
}

func apiServerPod(l *list, policies []templates.Policy) staticPod {
	var reads [][]byte
	for _, p := range policies {
		reads = append(reads, p.Content)
	}
	in := l.in
	addr := in.Host.Address.String()
	return staticPod{
		name: "kube-apiserver", image: l.image("kube-apiserver"), command: "kube-apiserver", why: "the API", reads: reads,
		annotations: map[string]string{"kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": addr + ":6443"},
		flags: map[string]string{
			"advertise-address":                       addr,
			"allow-privileged":                        "true",
			"authorization-mode":                      "Node,RBAC",
			"client-ca-file":                          pkiDir + "/ca.crt",
			"enable-bootstrap-token-auth":             "true",
			"etcd-cafile":                             pkiDir + "/etcd/ca.crt",
			"etcd-certfile":                           pkiDir + "/apiserver-etcd-client.crt",
			"etcd-keyfile":                            pkiDir + "/apiserver-etcd-client.key",
			"etcd-servers":                            "https://127.0.0.1:2379",
			"kubelet-client-certificate":              pkiDir + "/apiserver-kubelet-client.crt",
			"kubelet-client-key":                      pkiDir + "/apiserver-kubelet-client.key",
			"kubelet-certificate-authority":           pkiDir + "/ca.crt",
			"kubelet-preferred-address-types":         "InternalIP,ExternalIP,Hostname",
			"proxy-client-cert-file":                  pkiDir + "/front-proxy-client.crt",
			"proxy-client-key-file":                   pkiDir + "/front-proxy-client.key",
			"requestheader-allowed-names":             "front-proxy-client",
			"requestheader-client-ca-file":            pkiDir + "/front-proxy-ca.crt",
			"requestheader-extra-headers-prefix":      "X-Remote-Extra-",
			"requestheader-group-headers":             "X-Remote-Group",
			"requestheader-username-headers":          "X-Remote-User",
			"secure-port":                             "6443",
			"service-account-issuer":                  "https://kubernetes.default.svc." + in.Cluster.Spec.Network.DNSDomain,
			"service-account-key-file":                pkiDir + "/sa.pub",
			"service-account-signing-key-file":        pkiDir + "/sa.key",
			"service-account-extend-token-expiration": "false",
			"service-cluster-ip-range":                in.Cluster.Spec.Network.ServiceCIDR.String(),
			"tls-cert-file":                           pkiDir + "/apiserver.crt",
			"tls-private-key-file":                    pkiDir + "/apiserver.key",
			"tls-min-version":                         "VersionTLS12",
			"tls-cipher-suites":                       strings.Join(tlsSuites, ","),
			"profiling":                               "false",
			"audit-log-path":                          auditDir + "/audit.log",
			"audit-log-maxage":                        "30",
			"audit-log-maxbackup":                     "10",
			"audit-log-maxsize":                       "100",
			"audit-policy-file":                       policyDir + "/audit.yaml",
			"authentication-config":                   policyDir + "/authentication.yaml",
			"admission-control-config-file":           policyDir + "/admission.yaml",
			"enable-admission-plugins":                "NodeRestriction,DenyServiceExternalIPs,EventRateLimit",
		},
		dirs:  map[string]string{"k8s-certs": pkiDir, "policy": policyDir, "audit": auditDir},
		write: []string{"audit"},
		probe: probe{scheme: "HTTPS", host: addr, port: 6443, live: "/livez", ready: "/readyz"}, cpu: "250m",
	}
}

func controllerManagerPod(l *list) staticPod {
	in := l.in
	conf := "/etc/kubernetes/controller-manager.conf"
	return staticPod{
		name: "kube-controller-manager", image: l.image("kube-controller-manager"), command: "kube-controller-manager",
		why: "makes the world what the API says",
		flags: map[string]string{
			"allocate-node-cidrs":              "true",
			"authentication-kubeconfig":        conf,
			"authorization-kubeconfig":         conf,
			"kubeconfig":                       conf,
			"bind-address":                     "127.0.0.1",
			"client-ca-file":                   pkiDir + "/ca.crt",
			"cluster-cidr":                     in.Cluster.Spec.Network.PodCIDR.String(),
			"cluster-name":                     in.Cluster.Metadata.Name,
			"cluster-signing-cert-file":        pkiDir + "/ca.crt",
			"cluster-signing-key-file":         pkiDir + "/ca.key",
			"controllers":                      "*,bootstrapsigner,tokencleaner",
			"leader-elect":                     "true",
			"profiling":                        "false",
			"requestheader-client-ca-file":     pkiDir + "/front-proxy-ca.crt",
			"root-ca-file":                     pkiDir + "/ca.crt",
			"service-account-private-key-file": pkiDir + "/sa.key",
			"service-cluster-ip-range":         in.Cluster.Spec.Network.ServiceCIDR.String(),
			"terminated-pod-gc-threshold":      "1000",
			"authorization-always-allow-paths": loopbackPaths,
			"tls-cert-file":                    pkiDir + "/controller-manager/server.crt",
			"tls-private-key-file":             pkiDir + "/controller-manager/server.key",
			"tls-min-version":                  "VersionTLS12",
			"tls-cipher-suites":                strings.Join(tlsSuites, ","),
			"use-service-account-credentials":  "true",
		},
		dirs:  map[string]string{"k8s-certs": pkiDir},
		files: map[string]string{"kubeconfig": conf},
		probe: probe{scheme: "HTTPS", port: 10257, live: "/healthz"}, cpu: "200m",
	}
}

// loopbackPaths are what the controller manager and the scheduler tell whoever is on their host, as etcd and kube-proxy do. Others come by the addon monitoring,
// which asks who they are.
const loopbackPaths = "/healthz,/livez,/readyz,/metrics"

func schedulerPod(l *list) staticPod {
	conf := "/etc/kubernetes/scheduler.conf"
	return staticPod{
		name: "kube-scheduler", image: l.image("kube-scheduler"), command: "kube-scheduler", why: "gives pods their nodes",
		flags: map[string]string{
			"authentication-kubeconfig":        conf,
			"authorization-kubeconfig":         conf,
			"kubeconfig":                       conf,
			"bind-address":                     "127.0.0.1",
			"leader-elect":                     "true",
			"profiling":                        "false",
			"authorization-always-allow-paths": loopbackPaths,
			"tls-cert-file":                    pkiDir + "/scheduler/server.crt",
			"tls-private-key-file":             pkiDir + "/scheduler/server.key",
			"tls-min-version":                  "VersionTLS12",
			"tls-cipher-suites":                strings.Join(tlsSuites, ","),
		},
		dirs:  map[string]string{"scheduler-certs": pkiDir + "/scheduler"},
		files: map[string]string{"kubeconfig": conf},
		probe: probe{scheme: "HTTPS", port: 10259, live: "/livez", ready: "/readyz"}, cpu: "100m",
	}
}

// args are flags as a container's arguments, in a fixed order.
func args(flags map[string]string) []string {
	var out []string
	for name, value := range flags {
		out = append(out, fmt.Sprintf("--%s=%s", name, value))
	}
	sort.Strings(out)
	return out
}
