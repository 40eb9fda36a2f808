package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/inventory"
	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/preflight"
	"github.com/kubewright/kubewright/report"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// status is what is true of a cluster now.
type status struct {
	Cluster   string `json:"cluster"`
	API       string `json:"api"` // ready, or why not
	Version   string `json:"version,omitempty"`
	KubeProxy string `json:"kubeProxy,omitempty"` // the mode that runs, as the cluster's own configuration says
	// Proxy is which mode was asked for, and which one the hosts that were reached can do.
	Proxy *preflight.Decision `json:"kubeProxyDecision,omitempty"`
	Hosts []hostStatus        `json:"hosts"`
	// Policies says what becomes of NetworkPolicies.
	Policies string `json:"networkPolicies,omitempty"`
}

// noPolicies is what flannel does with NetworkPolicies: it carries packets, and nobody asks whether they may pass.
const noPolicies = "not enforced: flannel has no policy controller, so every pod reaches every other whatever they say"

type hostStatus struct {
	Name    string            `json:"name"`
	Address string            `json:"address"`
	Roles   []inventory.Role  `json:"roles"`
	Reached bool              `json:"reached"`
	Error   string            `json:"error,omitempty"`
	OS      string            `json:"os,omitempty"`
	Kernel  string            `json:"kernel,omitempty"`
	Units   map[string]string `json:"units,omitempty"`
	Node    string            `json:"node,omitempty"` // Ready, NotReady: why, or absent
	Kubelet string            `json:"kubelet,omitempty"`
	Runtime string            `json:"runtime,omitempty"` // of the node's containers, with its version: containerd://2.3.3
}

func statusCommand() *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use: "status", Short: "Say how the hosts and the nodes are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--output", output, "table", "json"); err != nil {
				return err
			}
			c, err := inventory.Load(file)
			if err != nil {
				return err
			}
			f, unreached := connectSome(cmd.Context(), c, nil)
			defer f.close()
			s := f.status(cmd.Context(), flatten(unreached))
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return s.table(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&file, "config", "f", "cluster.yaml", "the inventory file")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

// statusWait bounds how long the API is asked.
const statusWait = 10 * time.Second

func (f *fleet) status(ctx context.Context, unreached []error) status {
	s := status{Cluster: f.cluster.Metadata.Name}
	asking, cancel := context.WithTimeout(ctx, statusWait)
	nodes, err := f.nodes(asking, &s)
	cancel()
	s.API = "ready"
	if err != nil {
		s.API = err.Error()
	}
	s.Proxy = f.decision()
	for _, h := range f.cluster.Spec.Hosts {
		hs := hostStatus{Name: h.Name, Address: h.Address.String(), Roles: h.Roles}
		if m := f.hosts[h.Name]; m != nil {
			hs.Reached, hs.OS, hs.Kernel = true, m.Facts().OSName, m.Facts().Kernel
			looking, cancel := context.WithTimeout(ctx, statusWait)
			hs.Units, err = units(looking, m, h)
			cancel()
			if err != nil {
				hs.Error = err.Error()
			}
		} else {
			for _, e := range unreached {
				if hostOfError(e) == h.Name {
					hs.Error = e.Error()
				}
			}
		}
		if h.Node() && nodes != nil {
			hs.Node = "absent"
			if n, ok := nodes[h.Name]; ok {
				hs.Node, hs.Kubelet, hs.Runtime = readiness(n), n.Status.NodeInfo.KubeletVersion, n.Status.NodeInfo.ContainerRuntimeVersion
			}
		}
		s.Hosts = append(s.Hosts, hs)
	}
	return s
}

func (f *fleet) nodes(ctx context.Context, s *status) (map[string]corev1.Node, error) {
	client, err := addons.NewAPI(phases.ClusterTarget, f.rest).Client(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := client.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var v apiversion.Info
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	s.Version = v.GitVersion
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := map[string]corev1.Node{}
	for _, n := range list.Items {
		out[n.Name] = n
	}
	s.KubeProxy, s.Policies = proxyMode(ctx, client), noPolicies
	return out, nil
}

// proxyMode is the mode that the cluster's own configuration gives kube-proxy.
func proxyMode(ctx context.Context, client kubernetes.Interface) string {
	cm, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "kube-proxy", metav1.GetOptions{})
	if err != nil {
		return ""
	}
	var config struct {
		Mode string `json:"mode"`
	}
	if err := yaml.Unmarshal([]byte(cm.Data["config.conf"]), &config); err != nil {
		return ""
	}
	return config.Mode
}

func readiness(n corev1.Node) string {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.Status == corev1.ConditionTrue {
				return "Ready"
			}
			return "NotReady: " + c.Message
		}
	}
	return "NotReady: the kubelet has said nothing"
}

// units are the states of what should run on the host.
func units(ctx context.Context, m *member, h inventory.Host) (map[string]string, error) {
	var wishes []ops.Op
	for _, name := range phases.Units(h) {
		wishes = append(wishes, ops.Unit{Name: name, Active: true, Enabled: true})
	}
	seen, err := m.Observe(ctx, wishes)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i, op := range seen {
		state := "inactive"
		if u := op.(ops.Unit); u.Active {
			state = "active"
		}
		out[wishes[i].(ops.Unit).Name] = state
	}
	return out, nil
}

func (s status) table(w io.Writer) error {
	fmt.Fprintf(w, "cluster %s: api %s", s.Cluster, report.Escape(s.API))
	if s.Version != "" {
		fmt.Fprintf(w, ", %s, kube-proxy in %s mode", report.Escape(s.Version), report.Escape(dash(s.KubeProxy)))
	}
	fmt.Fprintln(w)
	if s.Policies != "" {
		fmt.Fprintf(w, "network policies: %s\n", s.Policies)
	}
	if s.Proxy != nil {
		fmt.Fprintf(w, "kube-proxy: %s\n", report.Escape(s.Proxy.String()))
	}
	fmt.Fprintln(w)
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, "HOST\tADDRESS\tROLES\tNODE\tKUBELET\tRUNTIME\tUNITS\tOS\tKERNEL")
	for _, h := range s.Hosts {
		if !h.Reached {
			fmt.Fprintf(out, "%s\t%s\t%s\tnot reached: %s\n", h.Name, h.Address, roles(h.Roles), report.Escape(h.Error))
			continue
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.Name, h.Address, roles(h.Roles), report.Escape(dash(h.Node)),
			report.Escape(dash(h.Kubelet)), report.Escape(dash(strings.Replace(h.Runtime, "://", " ", 1))), report.Escape(h.unitsText()), report.Escape(h.OS), report.Escape(h.Kernel))
	}
	return out.Flush()
}
