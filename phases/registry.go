package phases

import (
	"fmt"

	"github.com/kubewright/kubewright/engine"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
	"sigs.k8s.io/yaml"
)

const registryRoot = "/var/lib/registry"

var registry = engine.Phase[Input]{
	Name:  "registry",
	Short: "serve the private registry",
	Long: "Runs the distribution registry as a systemd unit, with TLS from an authority of its own, and fills it from the " +
		"bundle. Every image and every binary that hosts get comes from here, by digest.",
	On:    onRegistry,
	Steps: registrySteps,
}

func registrySteps(in Input) ([]engine.Step, error) {
	l := list{in: in}
	addr := in.Host.Address.String()
	l.add("the registry's certificate is checked against an authority that signs nothing else",
		ops.Authority{Name: registryCAName, Cert: registryCA, KeyFile: registryPKI + "/registry-ca.key", CommonName: "kubewright-registry-ca"})
	cert, key := registryPKI+"/registry.crt", registryPKI+"/registry.key"
	l.add("hosts verify whom they fetch from", ops.Certificate{
		Request: pki.Request{
			CommonName: in.Host.Name, DNSNames: []string{in.Host.Name}, IPs: []string{addr},
			Usages: []pki.Usage{pki.ServerAuth}, Days: 365,
		},
		Cert: cert, KeyFile: key, Authority: registryCAName, CACert: registryCA,
	})
	l.add("images and binaries are kept here", ops.Dir{Path: registryRoot, Mode: 0o755, Owned: true})

	bin := l.binary("registry", "/usr/local/bin")
	bin.From, bin.CA = ops.FromWorkstation, "" // there is no registry yet to fetch it from
	l.add("the registry itself", bin)
	config, err := yaml.Marshal(map[string]any{
		"version": "0.1",
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			"filesystem": map[string]any{"rootdirectory": registryRoot},
			"delete":     map[string]any{"enabled": true},
		},
		"http": map[string]any{
			"addr": fmt.Sprintf("%s:%d", addr, in.Cluster.Spec.Registry.Port),
			"tls":  map[string]any{"certificate": cert, "key": key, "minimumtls": "tls1.2"},
		},
	})
	if err != nil {
		return nil, err
	}
	l.add("where the registry listens and stores", text("/etc/kubewright/registry.yaml", config))
	svc := service{
		Name: "kubewright-registry", Description: "kubewright private registry",
		Exec: "/usr/local/bin/registry serve /etc/kubewright/registry.yaml", Reads: [][]byte{config, []byte(bin.Digest)}, Marks: []string{cert, key},
		// Its OpenTelemetry exporter would look for a collector on the network otherwise.
		Environment: []string{"OTEL_TRACES_EXPORTER=none"},
	}
	l.add("the registry starts with the host", svc.file())
	l.add("hosts fetch from it from now on", svc.unit())
	l.add("the registry answers", ops.Probe{
		Name: "registry", URL: fmt.Sprintf("https://%s/v2/", in.Cluster.Registry()), CA: registryCA, Within: 30, OK: true,
	})
	for _, c := range Stocked(in.Cluster, in.Lock) {
		l.add("hosts get it from the registry only", ops.Stored{
			Root: registryRoot, Repository: c.Repository, Digest: c.ManifestDigest(), Component: c.Repository, Present: true,
		})
	}
	return l.done()
}
