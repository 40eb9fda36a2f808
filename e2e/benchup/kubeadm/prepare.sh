set -euo pipefail
# What a careful administrator scripts: programs, runtime and CNI configuration, everything that can be done at once done at once.
mkdir -p /etc/kw-bench /usr/local/bin /usr/local/sbin /opt/cni/bin /etc/cni/net.d /etc/containerd/certs.d/{{.Registry}} /etc/systemd/system
cat > /etc/kw-bench/ca.crt <<'PEM'
{{.CA}}PEM
curl --silent --show-error --fail --noproxy '*' --cacert /etc/kw-bench/ca.crt --parallel --parallel-immediate \
  -o /usr/local/bin/containerd '{{url "containerd"}}' \
  -o /usr/local/bin/containerd-shim-runc-v2 '{{url "containerd-shim-runc-v2"}}' \
  -o /usr/local/bin/ctr '{{url "ctr"}}' \
  -o /usr/local/bin/crictl '{{url "crictl"}}' \
  -o /usr/local/sbin/runc '{{url "runc"}}' \
  -o /usr/local/bin/kubelet '{{url "kubelet"}}' \
  -o /usr/local/bin/kubeadm '{{url "kubeadm"}}' \
  -o /opt/cni/bin/bridge '{{url "bridge"}}' \
  -o /opt/cni/bin/flannel '{{url "flannel"}}' \
  -o /opt/cni/bin/host-local '{{url "host-local"}}' \
  -o /opt/cni/bin/loopback '{{url "loopback"}}' \
  -o /opt/cni/bin/portmap '{{url "portmap"}}' {{if eq .Name "master"}} -o /usr/local/bin/kubectl '{{url "kubectl"}}'{{end}}
chmod 0755 /usr/local/bin/* /usr/local/sbin/runc /opt/cni/bin/*
cat > /etc/sysctl.d/99-bench.conf <<'CONF'
net.bridge.bridge-nf-call-ip6tables = 1
net.bridge.bridge-nf-call-iptables = 1
net.ipv4.ip_forward = 1
CONF
sysctl -q -p /etc/sysctl.d/99-bench.conf
cat > /etc/cni/net.d/10-flannel.conflist <<'CONF'
{"name":"cbr0","cniVersion":"0.3.1","plugins":[{"type":"flannel","delegate":{"hairpinMode":true,"isDefaultGateway":true}},{"type":"portmap","capabilities":{"portMappings":true}}]}
CONF
cat > /etc/containerd/certs.d/{{.Registry}}/hosts.toml <<'CONF'
server = "https://{{.Registry}}"
[host."https://{{.Registry}}"]
capabilities = ["pull", "resolve"]
ca = "/etc/kw-bench/ca.crt"
CONF
cat > /etc/containerd/config.toml <<'CONF'
version = 3
disabled_plugins = ["io.containerd.internal.v1.opt"]
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{{image "pause"}}"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "/etc/containerd/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "/usr/local/sbin/runc"
SystemdCgroup = true
CONF
cat > /etc/systemd/system/containerd.service <<'CONF'
[Unit]
After=network.target
[Service]
Type=notify
ExecStart=/usr/local/bin/containerd
Delegate=yes
KillMode=process
TasksMax=infinity
Restart=always
[Install]
WantedBy=multi-user.target
CONF
cat > /etc/systemd/system/kubelet.service <<'CONF'
[Unit]
After=containerd.service
Wants=containerd.service
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=10
[Install]
WantedBy=multi-user.target
CONF
systemctl daemon-reload
systemctl enable --quiet kubelet.service
systemctl enable --quiet --now containerd.service
pull() { crictl --runtime-endpoint unix:///run/containerd/containerd.sock pull "$1" > /dev/null; }
{{- if ne .Name "master"}}
# Pulled while the control plane comes up.
pull '{{image "pause"}}' & a=$!
pull '{{image "kube-proxy"}}' & b=$!
pull '{{image "flannel"}}' & c=$!
wait "$a"; wait "$b"; wait "$c"
{{- end}}
