set -euo pipefail
cat > /etc/kw-bench/kubeadm.yaml <<'CONF'
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: {{.Master}}:6443
    token: bench0.0123456789abcdef
    unsafeSkipCAVerification: true
nodeRegistration:
  name: {{.Name}}
  criSocket: unix:///run/containerd/containerd.sock
  ignorePreflightErrors: [all]
  kubeletExtraArgs:
  - {name: node-ip, value: {{.Address}}}
CONF
kubeadm join --config /etc/kw-bench/kubeadm.yaml > /etc/kw-bench/join.log 2>&1 || { tail -40 /etc/kw-bench/join.log; exit 1; }
