package preflight

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/inventory"
)

// Scope is how much hosts are asked to try.
type Scope struct {
	Window time.Duration // how long they listen for each other
	Fsync  time.Duration // how long etcd's disk is timed; 0: not
	Pulls  bool          // whether the registry is asked for what the host will run
	Trial  bool          // whether the runtime is to run a container, which it writes in its own store for
}

// The scopes. The brief one is part of the first up: it ends as soon as all hosts have heard of each other, and where they do not it takes no
// longer than its window.
var (
	Brief = Scope{Window: time.Second}
	Full  = Scope{Window: 3 * time.Second, Fsync: 2 * time.Second, Pulls: true}
)

// Survey is what each host is to find out, by its name: one question each, sent to all at the same moment.
func Survey(in Input, scope Scope) map[string]agent.SurveyAsk {
	raw := make([]byte, 12)
	rand.Read(raw)
	token := "kubewright-" + hex.EncodeToString(raw)
	asks := map[string]*agent.SurveyAsk{}
	for _, h := range in.Cluster.Spec.Hosts {
		a := &agent.SurveyAsk{Window: scope.Window, Address: h.Address.String(), Token: token, Names: []string{}, Mounts: node(h)}
		// What /etc/hosts says of its own name is known; what name servers say has to be asked.
		if f := in.Facts[h.Name]; f.Hostname != "" && len(f.Names) == 0 && len(f.Nameservers) > 0 {
			name := f.Hostname
			a.Names = append(a.Names, name)
		}
		if end, _, _ := strings.Cut(in.Cluster.Endpoint(), ":"); end != "" {
			if _, err := netip.ParseAddr(end); err != nil && !slices.Contains(a.Names, end) {
				a.Names = append(a.Names, end)
			}
		}
		if scope.Fsync > 0 && controls(h) {
			a.Fsync, a.FsyncFor = etcdData, scope.Fsync
		}
		if name, ok := foreignServer(in.Cluster); ok && node(h) && !slices.Contains(a.Names, name) {
			a.Names = append(a.Names, name)
		}
		needs := in.Needs[h.Name]
		if scope.Pulls && node(h) && len(needs.Pulls) > 0 && RegistryRuns(in) {
			a.Registry = &agent.RegistryAsk{Address: in.Cluster.Registry(), Manifests: needs.Pulls}
			for _, r := range in.Cluster.With(inventory.Registry) {
				a.Registry.Authority = in.Facts[r.Name].Authorities["registry"]
			}
		}
		if scope.Trial && node(h) && runtimeRuns(h, in.Facts[h.Name]) {
			a.Trial = needs.Pause
		}
		asks[h.Name] = a
	}
	for _, p := range reached(in) {
		for _, to := range in.Cluster.Spec.Hosts {
			if !p.on(to) {
				continue
			}
			var from []string
			for _, src := range in.Cluster.Spec.Hosts {
				if src.Name == to.Name || !p.from(src) {
					continue
				}
				from = append(from, src.Address.String())
				asks[src.Name].Try = append(asks[src.Name].Try, agent.Crossing{To: to.Address.String(), Port: p.Port, Protocol: p.Protocol, Big: p.Protocol == "udp"})
			}
			if len(from) > 0 {
				asks[to.Name].Listen = append(asks[to.Name].Listen, agent.Opening{Port: p.Port, Protocol: p.Protocol, From: from})
			}
		}
	}
	out := map[string]agent.SurveyAsk{}
	for name, a := range asks {
		out[name] = *a
	}
	return out
}

// reached are the ports that peers must reach. Where a cluster runs already, its overlay and its NodePorts belong to the kernel and to kube-proxy, whose rules
// answer no visitor of ours.
func reached(in Input) (out []port) {
	fresh := func(h inventory.Host) bool { return node(h) && in.Facts[h.Name].Changes == 0 }
	for _, p := range ports(in.Cluster) {
		switch {
		case p.local:
			continue
		case p.kernel:
			carried := p.on
			p.on = func(h inventory.Host) bool { return carried(h) && fresh(h) }
		case p.Port == 2379 || p.Port == 2380:
			if len(in.Cluster.With(inventory.ControlPlane)) < 2 {
				continue
			}
		case p.Port == 10256:
			continue // for load balancers, not for peers
		}
		out = append(out, p)
	}
	for _, protocol := range []string{"tcp", "udp"} {
		out = append(out, port{Opening: agent.Opening{Port: sampleNodePort, Protocol: protocol}, on: fresh, from: node})
	}
	return out
}

// RegistryRuns says whether there is a registry to ask: ours, or one that was made by somebody else.
func RegistryRuns(in Input) bool {
	for _, h := range in.Cluster.With(inventory.Registry) {
		for _, held := range in.Facts[h.Name].Listening {
			if held.Protocol == "tcp" && held.Port == in.Cluster.Spec.Registry.Port && held.Process == "registry" {
				return true
			}
		}
	}
	return false
}

// runtimeRuns says whether there is a containerd of ours that can be tried; Docker is tried by nobody but the kubelet.
func runtimeRuns(h inventory.Host, f agent.Facts) bool {
	return f.Changes > 0 && !h.Docker() && f.Units["containerd.service"].Active
}

// Measured is how far a host's clock is before ours, by when a question was sent and its answer came here, and what the host's clock said in between. The
// message out and the message back may have taken any share of the time that was spent on the way.
func Measured(v *agent.Survey, sent, came time.Time) Skew {
	out, back := v.Heard.Sub(sent), v.Said.Sub(came)
	return Skew{Ahead: (out + back) / 2, Within: (came.Sub(sent) - v.Said.Sub(v.Heard)).Abs() / 2}
}

// resolved is what a name leads to on the host that is looked at, where that was asked.
func (l *look) resolved(name string) (agent.Resolved, bool) {
	if l.survey == nil {
		return agent.Resolved{}, false
	}
	if i := slices.Index(l.ask.Names, name); i >= 0 && i < len(l.survey.Names) {
		return l.survey.Names[i], true
	}
	return agent.Resolved{}, false
}
