package phases_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/pki"
)

// reach writes down what it is used for.
type reach struct{ used []string }

func (r *reach) Sign(_ context.Context, host, authority string, _ []byte, req pki.Request) ([]byte, error) {
	r.used = append(r.used, fmt.Sprintf("%s signs as %s: %s", host, authority, req.CommonName))
	return []byte("a certificate"), nil
}

func (r *reach) Authority(_ context.Context, host, authority string) ([]byte, error) {
	r.used = append(r.used, fmt.Sprintf("%s shows %s", host, authority))
	return []byte("an authority"), nil
}

func (r *reach) Send(_ context.Context, host, digest string) error {
	r.used = append(r.used, fmt.Sprintf("%s gets %s", host, digest))
	return nil
}

func (r *reach) Push(_ context.Context, host, component string) error {
	r.used = append(r.used, fmt.Sprintf("%s is pushed %s", host, component))
	return nil
}

// csr asks for what the request says, with a new key.
func csr(t *testing.T, r pki.Request) []byte {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	out, err := pki.NewCSR(key, r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	nodeClient = pki.Request{CommonName: "system:node:node-0001", Organization: []string{"system:nodes"}}
	nodeServer = pki.Request{CommonName: "system:node:node-0001", Organization: []string{"system:nodes"}, DNSNames: []string{"node-0001"}, IPs: []string{"192.168.1.31"}}
	anyone     = pki.Request{}
	otherNode  = pki.Request{CommonName: "system:node:master", Organization: []string{"system:nodes"}}
	root       = pki.Request{CommonName: "kubernetes-admin", Organization: []string{"kubeadm:cluster-admins"}}
	greedy     = pki.Request{CommonName: "system:node:node-0001", Organization: []string{"system:nodes", "system:masters"}}
	moreNames  = pki.Request{CommonName: "system:node:node-0001", Organization: []string{"system:nodes"}, DNSNames: []string{"node-0001", "kubernetes"}, IPs: []string{"192.168.1.31"}}
)

const (
	clientKey = ops.Key("cert:/var/lib/kubelet/pki/kubelet-client-current.pem")
	serverKey = ops.Key("cert:/var/lib/kubelet/pki/kubelet-server.crt")
)

func TestPlannedQuestionsAreAnswered(t *testing.T) {
	digest := sum(program("registry"))
	c := course(t)
	works := expand(t, c, machineFacts())
	for _, row := range []struct {
		host string
		q    ops.Question
		used string
	}{
		{"node-0001", ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, nodeClient)}, "master signs as kubernetes: system:node:node-0001"},
		{"node-0001", ops.Question{Key: serverKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, nodeServer)}, "master signs as kubernetes: system:node:node-0001"},
		{"master", ops.Question{Key: "kubeconfig:/etc/kubernetes/admin.conf", Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, root)}, "master signs as kubernetes: kubernetes-admin"},
		{"node-0001", ops.Question{Key: "trust:/etc/kubernetes/pki/ca.crt", Kind: ops.AskCA, Name: "kubernetes"}, "master shows kubernetes"},
		{"node-0001", ops.Question{Key: "trust:/etc/kubewright/pki/registry-ca.crt", Kind: ops.AskCA, Name: "registry"}, "registry shows registry"},
		{"registry", ops.Question{Key: "file:/usr/local/bin/registry", Kind: ops.AskBlob, Name: digest}, "registry gets " + digest},
		{"registry", ops.Question{Key: ops.Key("stored:bin/kubelet@" + sum([]byte("manifest kubelet"))), Kind: ops.AskPush, Name: "bin/kubelet"}, "registry is pushed bin/kubelet"},
	} {
		r := &reach{}
		_, err := phases.NewAnswers(c, works, r).Answer(t.Context(), row.host, row.q)
		if err != nil || !slices.Equal(r.used, []string{row.used}) {
			t.Errorf("%s for %s: %v, %q", row.host, row.q.Key, err, r.used)
		}
	}
}

// TestForgedQuestionsAreRefused is what a host that somebody else has taken could ask. None of it reaches another host, the
// bundle or the registry.
func TestForgedQuestionsAreRefused(t *testing.T) {
	kubelet := sum(program("kubelet"))
	c := course(t)
	works := expand(t, c, machineFacts())
	for _, row := range []struct {
		name, host string
		q          ops.Question
		says       string
	}{
		{"for a thing that is in nobody's plan", "node-0001",
			ops.Question{Key: "cert:/root/x.crt", Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, nodeClient)}, "not in its plan"},
		{"for what is in another host's plan", "node-0001",
			ops.Question{Key: "kubeconfig:/etc/kubernetes/admin.conf", Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, root)}, "not in its plan"},
		{"as a host that is in no inventory", "intruder",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, nodeClient)}, "not in its plan"},
		{"as the cluster", phases.ClusterTarget,
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, nodeClient)}, "not in its plan"},
		{"for nothing at all", "node-0001", ops.Question{}, "not in its plan"},
		{"of another authority", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "etcd", Data: csr(t, nodeClient)}, "does not need"},
		{"of no authority", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "", Data: csr(t, nodeClient)}, "does not need"},
		{"another kind of question", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskCA, Name: "kubernetes"}, "does not need"},
		{"a kind that there is not", "node-0001",
			ops.Question{Key: clientKey, Kind: "shell", Name: "kubernetes"}, "does not need"},
		{"as another node", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, otherNode)}, "the common name is not what was planned"},
		{"as the administrator", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, root)}, "the common name is not what was planned"},
		{"with one group more", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, greedy)}, "the organization is not what was planned"},
		{"with a name more", "node-0001",
			ops.Question{Key: serverKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, moreNames)}, "the DNS names is not what was planned"},
		{"a server's certificate with the client's key", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, nodeServer)}, "is not what was planned"},
		{"with no request", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes"}, "not one certificate request"},
		{"with two requests", "node-0001",
			ops.Question{Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: append(csr(t, nodeClient), csr(t, root)...)}, "not one certificate request"},
		{"for a kubeconfig that needs no signature", "node-0001",
			ops.Question{Key: "kubeconfig:/etc/kubernetes/kubelet.conf", Kind: ops.AskSign, Name: "", Data: csr(t, anyone)}, "does not need"},
		{"for another authority's certificate", "node-0001",
			ops.Question{Key: "trust:/etc/kubernetes/pki/ca.crt", Kind: ops.AskCA, Name: "etcd"}, "does not need"},
		{"for an authority's signature where only its certificate is needed", "node-0001",
			ops.Question{Key: "trust:/etc/kubernetes/pki/ca.crt", Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, anyone)}, "does not need"},
		{"for other bytes", "registry",
			ops.Question{Key: "file:/usr/local/bin/registry", Kind: ops.AskBlob, Name: kubelet}, "does not need"},
		{"for the bytes of a file that comes from the registry", "node-0001",
			ops.Question{Key: "file:/usr/local/bin/kubelet", Kind: ops.AskBlob, Name: kubelet}, "does not need"},
		{"for the bytes of a file that has none", "registry",
			ops.Question{Key: "file:/etc/kubewright/registry.yaml", Kind: ops.AskBlob, Name: ""}, "does not need"},
		{"to be pushed something else", "registry",
			ops.Question{Key: ops.Key("stored:bin/kubelet@" + sum([]byte("manifest kubelet"))), Kind: ops.AskPush, Name: "bin/kubeadm"}, "does not need"},
		{"to be pushed, as a node", "node-0001",
			ops.Question{Key: ops.Key("stored:bin/kubelet@" + sum([]byte("manifest kubelet"))), Kind: ops.AskPush, Name: "bin/kubelet"}, "not in its plan"},
		{"for a directory", "node-0001",
			ops.Question{Key: "dir:/etc/kubernetes", Kind: ops.AskBlob, Name: kubelet}, "does not need"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &reach{}
			got, err := phases.NewAnswers(c, works, r).Answer(t.Context(), row.host, row.q)
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, want %q", err, row.says)
			}
			if len(got) > 0 || len(r.used) > 0 {
				t.Errorf("it got %q, and %q", got, r.used)
			}
		})
	}
}

// failing is a reach whose hosts are gone.
type failing struct{ reach }

var errGone = errors.New("the host is gone")

func (failing) Sign(context.Context, string, string, []byte, pki.Request) ([]byte, error) {
	return nil, errGone
}
func (failing) Push(context.Context, string, string) error { return errGone }

func TestWhatTheOthersSayIsPassedOn(t *testing.T) {
	c := course(t)
	a := phases.NewAnswers(c, expand(t, c, machineFacts()), &failing{})
	for host, q := range map[string]ops.Question{
		"node-0001": {Key: clientKey, Kind: ops.AskSign, Name: "kubernetes", Data: csr(t, nodeClient)},
		"registry":  {Key: ops.Key("stored:pause@" + sum([]byte("image pause"))), Kind: ops.AskPush, Name: "pause"},
	} {
		if _, err := a.Answer(t.Context(), host, q); !errors.Is(err, errGone) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestProxyMode(t *testing.T) {
	can := machineFacts()["node-0001"].Modules
	without := func(module string) map[string]string {
		out := map[string]string{}
		for m, s := range can {
			if m != module {
				out[m] = s
			}
		}
		return out
	}
	for _, row := range []struct {
		name, asked, fallback string
		modules               map[string]map[string]string // of the nodes; the registry has none, and need not
		mode, why             string
	}{
		{"nftables is asked for", "nftables", "", nil, "nftables", ""},
		{"iptables is asked for, on nodes that could do ipvs", "iptables", "", map[string]map[string]string{"master": can, "node-0001": can, "node-0002": can}, "iptables", ""},
		{"ipvs is asked for and every node can", "ipvs", "nftables", map[string]map[string]string{"master": can, "node-0001": can, "node-0002": can}, "ipvs", ""},
		{"one node lacks one module", "ipvs", "nftables", map[string]map[string]string{"master": can, "node-0001": can, "node-0002": without("ip_set")},
			"nftables", "kube-proxy runs in nftables mode, not ipvs: node-0002 has no ip_set"},
		{"the fallback is the inventory's", "ipvs", "iptables", map[string]map[string]string{"master": without("ip_vs_rr"), "node-0001": can, "node-0002": can},
			"iptables", "kube-proxy runs in iptables mode, not ipvs: master has no ip_vs_rr"},
		{"nothing is known of a node", "ipvs", "nftables", map[string]map[string]string{"master": can, "node-0001": can},
			"nftables", "kube-proxy runs in nftables mode, not ipvs: node-0002 has no answer yet"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := course(t)
			c.Spec.KubeProxy.Mode, c.Spec.KubeProxy.Fallback = row.asked, row.fallback
			facts := map[string]agent.Facts{}
			for host, m := range row.modules {
				facts[host] = agent.Facts{Modules: m}
			}
			// The mode is in what kube-proxy reads, the reason in the plan, and the modules of ipvs are loaded for ipvs only.
			works := expand(t, c, facts)
			if text := objects(t, works); !strings.Contains(text, "    mode: "+row.mode+"\n") || !strings.Contains(text, row.why) {
				t.Errorf("the cluster's objects are for another mode or do not say %q", row.why)
			}
			for _, w := range works {
				for _, s := range w.Steps {
					if m, ok := s.Op.(ops.Module); ok && strings.HasPrefix(m.Name, "ip_vs") && row.mode != "ipvs" {
						t.Errorf("%s loads %s", w.Target, m.Name)
					}
				}
			}
		})
	}
}
