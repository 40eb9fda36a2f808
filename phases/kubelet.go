package phases

import (
	"net/netip"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeletv1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"
)

var controlPlaneKubelet = engine.Phase[Input]{
	Name:  "kubelet",
	Short: "start the kubelet",
	Long:  "Starts the kubelet, which will run the control plane's static pods.",
	On:    onControlPlane,
	Steps: kubeletSteps,
}

var workerKubelet = engine.Phase[Input]{
	Name:  "join",
	Short: "join the node",
	Long: "Starts the kubelet once the API answers. It has its certificate already and registers itself at the first try; all " +
		"nodes join at once.",
	On:    onWorkers,
	After: []string{"control-plane"},
	Steps: func(in Input) ([]engine.Step, error) {
		steps, err := kubeletSteps(in)
		return append(steps, engine.Step{Op: kubeletProbe, Why: kubeletWorks}), err
	},
}

// kubeletProbe tells a kubelet that works from one that systemd starts over and over.
var kubeletProbe = ops.Probe{Name: "kubelet", URL: "http://127.0.0.1:10248/healthz", Within: 60, OK: true}

const kubeletWorks = "a kubelet that crashes in a loop is active now and then, too"

const kubeletConfigPath = "/var/lib/kubelet/config.yaml"

func kubeletSteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	config, err := yaml.Marshal(kubeletConfig(in))
	if err != nil {
		return nil, err
	}
	l.add("the kubelet runs what lies here", ops.Dir{Path: manifests, Mode: 0o700, Owned: true})
	l.add("the kubelet looks for volume plugins here", ops.Dir{Path: "/usr/libexec/kubernetes", Mode: 0o755, Owned: true})
	l.add("how this kubelet behaves", private(kubeletConfigPath, config))
	instance, err := yaml.Marshal(map[string]string{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "containerRuntimeEndpoint": in.criSocket(),
	})
	if err != nil {
		return nil, err
	}
	l.add("kubeadm's tools read the runtime's socket here", private("/var/lib/kubelet/instance-config.yaml", instance))
	flags := []byte("KUBELET_KUBEADM_ARGS=\"--hostname-override=" + in.Host.Name + " --node-ip=" + in.Host.Address.String() + "\"\n")
	l.add("the node's name and address are the inventory's", private("/var/lib/kubelet/kubeadm-flags.env", flags))
	svc := service{
		Name: "kubelet", Description: "kubelet: the Kubernetes node agent",
		After: in.runtimeUnit() + " network-online.target", Wants: in.runtimeUnit() + " network-online.target",
		Exec:            "/usr/local/bin/kubelet --kubeconfig=/etc/kubernetes/kubelet.conf --config=" + kubeletConfigPath + " $KUBELET_KUBEADM_ARGS",
		EnvironmentFile: "-/var/lib/kubelet/kubeadm-flags.env",
		Reads:           [][]byte{config, flags, []byte(l.binary("kubelet", "").Digest), []byte(apiFor(in))},
	}
	l.add("the kubelet starts with the host", svc.file())
	l.add("its pods end with it", pods(in))
	l.add("the node runs pods", svc.unit())
	return l.done()
}

// resolved says whether a host asks systemd-resolved's stub for names.
func resolved(f agent.Facts) bool {
	for _, s := range f.Nameservers {
		if a, err := netip.ParseAddr(s); err != nil || !a.IsLoopback() {
			return false
		}
	}
	return f.Units["systemd-resolved.service"].Active
}

// kubeletConfig is one host's kubelet configuration. The cluster's kubelet-config ConfigMap is the same without what is
// peculiar to a host.
func kubeletConfig(in Input) *kubeletv1.KubeletConfiguration {
	spec := in.Cluster.Spec
	minute := metav1.Duration{Duration: time.Minute}
	k := &kubeletv1.KubeletConfiguration{
		TypeMeta:                 metav1.TypeMeta{APIVersion: "kubelet.config.k8s.io/v1beta1", Kind: "KubeletConfiguration"},
		StaticPodPath:            manifests,
		ContainerRuntimeEndpoint: in.criSocket(),
		ClusterDomain:            spec.Network.DNSDomain,
		ClusterDNS:               []string{in.Cluster.ServiceIP(10).String()},
		CgroupDriver:             cgroupDriver,
		RotateCertificates:       true,
		TLSCertFile:              kubeletServerCert,
		TLSPrivateKeyFile:        kubeletServerKey,
		TLSMinVersion:            "VersionTLS12",
		TLSCipherSuites:          tlsSuites,
		Authentication: kubeletv1.KubeletAuthentication{
			Anonymous: kubeletv1.KubeletAnonymousAuthentication{Enabled: new(false)},
			Webhook:   kubeletv1.KubeletWebhookAuthentication{Enabled: new(true)},
			X509:      kubeletv1.KubeletX509Authentication{ClientCAFile: caCert(KubernetesCA)},
		},
		Authorization:                  kubeletv1.KubeletAuthorization{Mode: kubeletv1.KubeletAuthorizationModeWebhook},
		HealthzBindAddress:             "127.0.0.1",
		HealthzPort:                    new(int32(10248)),
		ReadOnlyPort:                   0,
		SeccompDefault:                 new(true),
		PodPidsLimit:                   new(int64(4096)),
		MaxPods:                        int32(spec.Kubelet.MaxPods),
		EventRecordQPS:                 new(int32(50)),
		StreamingConnectionIdleTimeout: metav1.Duration{Duration: 4 * time.Hour},
		SerializeImagePulls:            new(false),
		MaxParallelImagePulls:          new(int32(4)),
		EvictionHard:                   spec.Kubelet.EvictionHard,
		FailCgroupV1:                   spec.Kubelet.FailCgroupV1,
		// What the node says of itself reaches the API soon enough while it is young; later the lease is what counts.
		NodeStatusReportFrequency: minute,
	}
	if in.Host.Has(inventory.ControlPlane) && !in.Host.Has(inventory.Worker) {
		k.RegisterWithTaints = []corev1.Taint{{Key: controlPlaneLabel, Effect: corev1.TaintEffectNoSchedule}}
	}
	if in.Host.Docker() {
		// cri-dockerd answers exec and attach with addresses without a scheme, which the kubelet's own end of WebSockets (beta since 1.36) takes for https. A
		// kubelet that does not have it says so, and the API server translates, as it did before.
		k.FeatureGates = map[string]bool{"ExtendWebSocketsToKubelet": false}
	}
	if in.facts().Container != "" {
		k.FailSwapOn = new(false) // swap is the machine's below, and shows in here
	}
	switch {
	case len(in.facts().Nameservers) == 0:
		k.ResolverConfig = new("") // without name servers there is nothing for pods to inherit
	case resolved(in.facts()):
		// systemd-resolved's stub answers on the host's loopback only; its own list is for everyone else (kubeadm does the same).
		k.ResolverConfig = new("/run/systemd/resolve/resolv.conf")
	}
	return k
}
