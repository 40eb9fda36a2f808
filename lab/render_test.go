package lab

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubewright/kubewright/inventory"
)

func TestRenderDefault(t *testing.T) {
	c := *Default()
	c.Spec.Hosts = c.Spec.Hosts[:2]
	got, err := render(settle(c, map[string]string{"master": "SHA256:mmm", "node-0001": "SHA256:nnn"}, noVM))
	if err != nil {
		t.Fatal(err)
	}
	want := `# Written by kubewright lab up; gone with kubewright lab down.
apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata:
  name: lab
spec:
  ssh:
    user: root
    keyFile: id_ed25519
  hosts:
    - name: master
      address: 192.168.1.21
      roles:
        - control-plane
      ssh:
        hostKeys:
          - SHA256:mmm
    - name: node-0001
      address: 192.168.1.31
      roles:
        - worker
      ssh:
        hostKeys:
          - SHA256:nnn
  containerd:
    restrictOOMScoreAdj: true
  kubelet:
    failCgroupV1: false
    evictionHard:
      imagefs.available: 1Gi
      memory.available: 100Mi
      nodefs.available: 1Gi
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	if len(c.Spec.Hosts[0].SSH.HostKeys) != 0 {
		t.Error("settle wrote into the caller's hosts")
	}
}

func TestRenderKeepsTheUsersWishes(t *testing.T) {
	c := inventory.Cluster{
		Metadata: inventory.Metadata{Name: "mine"},
		Spec: inventory.Spec{
			// The user's own hosts are reached as deploy with the user's key; the lab's are not.
			SSH:       inventory.SSH{User: "deploy", KeyFile: "/home/u/.ssh/id_rsa", Port: 2222},
			Hosts:     []inventory.Host{{Name: "a", Address: netip.MustParseAddr("10.0.0.2"), Roles: []inventory.Role{"control-plane", "worker"}, SSH: inventory.SSH{Address: "a.example.org"}}},
			Network:   inventory.Network{PodCIDR: netip.MustParsePrefix("10.100.0.0/16")},
			APIServer: inventory.APIServer{CertSANs: []string{"api.example.org"}},
			Kubelet:   inventory.Kubelet{MaxPods: 30, EvictionHard: map[string]string{"nodefs.available": "5%"}},
			Firewall:  "off",
		},
	}
	got, err := render(settle(c, map[string]string{"a": "SHA256:aaa"}, noVM))
	if err != nil {
		t.Fatal(err)
	}
	want := `# Written by kubewright lab up; gone with kubewright lab down.
apiVersion: kubewright.io/v1alpha1
kind: Cluster
metadata:
  name: mine
spec:
  ssh:
    user: admin
    keyFile: id_ed25519
  hosts:
    - name: a
      address: 10.0.0.2
      roles:
        - control-plane
        - worker
      ssh:
        hostKeys:
          - SHA256:aaa
  network:
    podCIDR: 10.100.0.0/16
  apiServer:
    certSANs:
      - api.example.org
  containerd:
    restrictOOMScoreAdj: true
  kubelet:
    failCgroupV1: false
    evictionHard:
      nodefs.available: 5%
    maxPods: 30
  firewall: "off"
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}
