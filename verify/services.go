package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const proxying = "kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide, and their logs"

// rounds is how often a Service is asked before it counts as balanced: with three pods, one in two hundred thousand would miss one by chance.
const rounds = 30

// served makes n pods and a Service in front of them, and waits until the Service's endpoints are exactly these.
func (e *Env) served(ctx context.Context, n int, s *corev1.Service) ([]*corev1.Pod, error) {
	spec := podSpec(e.web())
	spec.TopologySpreadConstraints = spread("web")
	if err := e.create(ctx, newDeployment("web", int32(n), spec), s); err != nil {
		return nil, err
	}
	pods, err := e.readyPods(ctx, "app=web", n)
	if err != nil {
		return nil, err
	}
	return pods, e.endpoints(ctx, s.Name, pods)
}

// asks asks a URL again and again until every pod has answered, as programming what leads to them takes nodes a moment, and returns the pods that did.
func (e *Env) asks(ctx context.Context, h hand, url string, pods []*corev1.Pod) error {
	var last error
	n := rounds
	if len(pods) == 1 {
		n = 1
	}
	for range 5 {
		text, err := e.get(ctx, h, n, url)
		_, missing := answered(text, pods)
		if err == nil && len(missing) == 0 {
			return nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("from %s: of %d answers of %s none came from %s", h, n, url, strings.Join(missing, ", "))
		}
		select {
		case <-ctx.Done():
			return errors.Join(last, context.Cause(ctx))
		case <-time.After(time.Second):
		}
	}
	return last
}

// fromEverywhere does something from each of the hands, side by side, and tells who could not.
func fromEverywhere(ctx context.Context, all []hand, do func(context.Context, hand) error) error {
	errs := make([]error, len(all))
	done := make(chan struct{})
	for i, h := range all {
		go func() {
			errs[i] = do(ctx, h)
			done <- struct{}{}
		}()
	}
	for range all {
		<-done
	}
	return errors.Join(errs...)
}

// bothHands are those in the pods' network and those in the nodes' own.
func (e *Env) bothHands(ctx context.Context) ([]hand, error) {
	inside, err := e.asking(ctx, false)
	if err != nil {
		return nil, err
	}
	outside, err := e.asking(ctx, true)
	return slices.Concat(inside, outside), err
}

func names(all []hand) string {
	var out []string
	for _, h := range all {
		out = append(out, h.node)
	}
	return strings.Join(out, ", ")
}

var clusterIP = Check{
	Name: "cluster-ip", Short: "a Service's address leads to all of its pods, from pods and from nodes", Remedy: proxying,
	Run: func(ctx context.Context, e *Env) error {
		s := service("web")
		pods, err := e.served(ctx, 3, s)
		if err != nil {
			return err
		}
		hands, err := e.bothHands(ctx)
		if err != nil {
			return err
		}
		url := fmt.Sprintf("http://%s:80/hostname", s.Spec.ClusterIP)
		if err := fromEverywhere(ctx, hands, func(ctx context.Context, h hand) error { return e.asks(ctx, h, url, pods) }); err != nil {
			return err
		}
		_, text := places(pods)
		e.Saw("all 3 pods (%s) answered %d questions to %s:80 from a pod and from the node itself on each of %s", text, rounds, s.Spec.ClusterIP, names(hands[:len(hands)/2]))
		return nil
	},
}

var nodePort = Check{
	Name: "node-port", Short: "a NodePort answers on every node", Remedy: proxying + "; the node's firewall has to let 30000-32767 in",
	Run: func(ctx context.Context, e *Env) error {
		s := service("web")
		s.Spec.Type = corev1.ServiceTypeNodePort
		pods, err := e.served(ctx, 2, s)
		if err != nil {
			return err
		}
		hands, err := e.asking(ctx, true)
		if err != nil {
			return err
		}
		port := s.Spec.Ports[0].NodePort
		for _, n := range e.Nodes {
			url := fmt.Sprintf("http://%s/hostname", net.JoinHostPort(n.Address, fmt.Sprint(port)))
			if err := fromEverywhere(ctx, hands, func(ctx context.Context, h hand) error { return e.asks(ctx, h, url, pods) }); err != nil {
				return err
			}
		}
		e.Saw("port %d of %s answers from each of these nodes, with both pods", port, nodeNames(e.Nodes))
		return e.fromHere(ctx, port)
	},
}

func nodeNames(all []Node) string {
	var out []string
	for _, n := range all {
		out = append(out, n.Name)
	}
	return strings.Join(out, ", ")
}

// fromHere asks for a port of every node from the workstation. Where the workstation has no way to any node, as behind a jump host, that is told and no
// failure; where it has one to some node it must have it to all.
func (e *Env) fromHere(ctx context.Context, port int32) error {
	var reached, missed []string
	var wrong error
	for _, n := range e.Nodes {
		url := fmt.Sprintf("http://%s/hostname", net.JoinHostPort(n.Address, fmt.Sprint(port)))
		body, err := e.fetch(ctx, question{url: url})
		if err != nil {
			missed, wrong = append(missed, n.Name), err
			continue
		}
		reached = append(reached, fmt.Sprintf("%s (%s)", n.Name, body))
	}
	switch {
	case len(missed) == 0:
		e.Saw("from the workstation, by TCP without a tunnel: %s", strings.Join(reached, ", "))
	case len(reached) == 0:
		e.Saw("the workstation itself has no direct way to the nodes' ports (%v)", wrong)
	default:
		return fmt.Errorf("from the workstation port %d answers on %s, but not on %s: %w", port, strings.Join(reached, ", "), strings.Join(missed, ", "), wrong)
	}
	return nil
}

// dialer is how an HTTP client connects.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// question is one HTTP request of a check.
type question struct {
	url, host, token string
	tls              *tls.Config
	by               dialer // how to connect; the workstation's own way where there is none
}

// fetch asks for a page, and wants 200.
func (e *Env) fetch(ctx context.Context, q question) (string, error) {
	status, body, err := e.ask(ctx, q)
	if err == nil && status != http.StatusOK {
		return "", fmt.Errorf("%s answered %d", q.url, status)
	}
	return body, err
}

// ask asks for a page.
func (e *Env) ask(ctx context.Context, q question) (int, string, error) {
	by := q.by
	if by == nil {
		by = e.Dial
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 8*time.Second, errors.New("no answer within 8s"))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, q.url, nil)
	if err != nil {
		return 0, "", err
	}
	request.Host = q.host
	if q.token != "" {
		request.Header.Set("Authorization", "Bearer "+q.token)
	}
	client := http.Client{
		Transport:     &http.Transport{DialContext: by, DisableKeepAlives: true, TLSClientConfig: q.tls},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, 8*most))
	return answer.StatusCode, strings.TrimSpace(string(raw)), err
}

// dnsAddress is the address of the cluster's DNS, as kubeadm names its Service.
func (e *Env) dnsAddress(ctx context.Context) (string, error) {
	s, err := e.Client.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, "kube-dns", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return s.Spec.ClusterIP, nil
}
