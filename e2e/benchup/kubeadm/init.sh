set -euo pipefail
cat > /etc/kw-bench/kubeadm.yaml <<'CONF'
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: bench0.0123456789abcdef
localAPIEndpoint: {advertiseAddress: {{.Address}}}
nodeRegistration:
  name: {{.Name}}
  criSocket: unix:///run/containerd/containerd.sock
  imagePullSerial: false
  ignorePreflightErrors: [all]
  kubeletExtraArgs:
  - {name: node-ip, value: {{.Address}}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {{version "kube-apiserver"}}
imageRepository: {{.Registry}}
encryptionAlgorithm: ECDSA-P256
networking: {podSubnet: 10.244.0.0/16}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
failCgroupV1: false
evictionHard: {nodefs.available: 1Gi, imagefs.available: 1Gi, memory.available: 100Mi}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
conntrack: {maxPerCore: 0, min: 0}
CONF
kubeadm init --config /etc/kw-bench/kubeadm.yaml > /etc/kw-bench/init.log 2>&1 || { tail -40 /etc/kw-bench/init.log; exit 1; }
cat > /etc/kw-bench/flannel.yaml <<'CONF'
apiVersion: v1
kind: Namespace
metadata: {name: kube-flannel, labels: {pod-security.kubernetes.io/enforce: privileged}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: flannel, namespace: kube-flannel}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: flannel}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get]}
- {apiGroups: [""], resources: [nodes], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [nodes/status], verbs: [patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: flannel}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: flannel}
subjects: [{kind: ServiceAccount, name: flannel, namespace: kube-flannel}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-flannel-cfg, namespace: kube-flannel}
data:
  net-conf.json: '{"Network": "10.244.0.0/16", "EnableNFTables": true, "Backend": {"Type": "vxlan"}}'
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kube-flannel-ds, namespace: kube-flannel}
spec:
  selector: {matchLabels: {app: flannel}}
  template:
    metadata: {labels: {app: flannel}}
    spec:
      serviceAccountName: flannel
      hostNetwork: true
      priorityClassName: system-node-critical
      tolerations: [{operator: Exists}]
      containers:
      - name: kube-flannel
        image: {{image "flannel"}}
        command: [/opt/bin/flanneld, --ip-masq, --kube-subnet-mgr]
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        - {name: KUBERNETES_SERVICE_HOST, value: "{{.Address}}"}
        - {name: KUBERNETES_SERVICE_PORT, value: "6443"}
        securityContext: {capabilities: {add: [NET_ADMIN, NET_RAW]}}
        volumeMounts:
        - {name: run, mountPath: /run/flannel}
        - {name: cfg, mountPath: /etc/kube-flannel/}
      volumes:
      - {name: run, hostPath: {path: /run/flannel, type: DirectoryOrCreate}}
      - {name: cfg, configMap: {name: kube-flannel-cfg}}
CONF
kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f /etc/kw-bench/flannel.yaml > /dev/null &
