package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

const resolving = "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide, and their logs; kubectl -n kube-system get endpointslices -l k8s-app=kube-dns"

// endpoints waits until a Service's EndpointSlices have exactly these pods as ready.
func (e *Env) endpoints(ctx context.Context, service string, pods []*corev1.Pod) error {
	var want []string
	for _, p := range pods {
		want = append(want, p.Status.PodIP)
	}
	slices.Sort(want)
	_, err := awaitAll(ctx, e, discoveryv1.LabelServiceName+"="+service, func(all []*discoveryv1.EndpointSlice) string {
		var have []string
		for _, s := range all {
			for _, p := range s.Endpoints {
				if p.Conditions.Ready == nil || *p.Conditions.Ready {
					have = append(have, p.Addresses...)
				}
			}
		}
		slices.Sort(have)
		if slices.Equal(have, want) {
			return ""
		}
		return fmt.Sprintf("the endpoints of Service %s are [%s], and its pods are [%s]", service, strings.Join(have, " "), strings.Join(want, " "))
	})
	return err
}

var (
	addressLine = regexp.MustCompile(`(?m)^Address(?: \d+)?: *(\S+)$`)
	serviceLine = regexp.MustCompile(`(?m)^(\S+)\s+service = (\d+ \d+ \d+ \S+)$`)
)

// addresses reads what nslookup found: the first address is the server's own.
func addresses(text string) (out []string) {
	_, text, _ = strings.Cut(text, "\n\n")
	for _, m := range addressLine.FindAllStringSubmatch(text, -1) {
		if a, err := netip.ParseAddr(m[1]); err == nil {
			out = append(out, a.String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// targets reads which SRV records nslookup found, as PRIORITY WEIGHT PORT NAME.
func targets(text string) (out []string) {
	for _, m := range serviceLine.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.TrimSuffix(m[2], "."))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lookup asks for records until they are the wanted ones: CoreDNS learns of a Service by watching, a moment after the API has it.
func (e *Env) lookup(ctx context.Context, h hand, kind, name, server string, want []string) error {
	slices.Sort(want)
	argv := []string{"nslookup", "-type=" + kind, name}
	if server != "" {
		argv = append(argv, server)
	}
	read := addresses
	if kind == "srv" {
		read = targets
	}
	var last error
	for range 8 {
		text, err := e.run(ctx, h, argv...)
		got := read(text)
		if slices.Equal(got, want) {
			return nil
		}
		last = fmt.Errorf("from %s: the %s records of %s are [%s], want [%s]", h, strings.ToUpper(kind), name, strings.Join(got, "; "), strings.Join(want, "; "))
		if err != nil {
			last = fmt.Errorf("the %s records of %s: %w", strings.ToUpper(kind), name, err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(last, context.Cause(ctx))
		case <-time.After(500 * time.Millisecond):
		}
	}
	return last
}

// fqdn is the full name of a Service of the check.
func (e *Env) fqdn(service string) string {
	return service + "." + e.Namespace + ".svc." + e.Domain
}

var dns = Check{
	Name: "dns", Short: "names of Services are found, from pods and from nodes: A and SRV, by full name and by short name", Remedy: resolving,
	Run: func(ctx context.Context, e *Env) error {
		s := service("web")
		if err := e.create(ctx, s); err != nil {
			return err
		}
		server, err := e.dnsAddress(ctx)
		if err != nil {
			return err
		}
		hands, err := e.bothHands(ctx)
		if err != nil {
			return err
		}
		full := e.fqdn("web")
		if err := fromEverywhere(ctx, hands, func(ctx context.Context, h hand) error {
			given := ""
			if h.host { // its own configuration is the node's
				given = server
			}
			if err := e.lookup(ctx, h, "a", full+".", given, []string{s.Spec.ClusterIP}); err != nil {
				return err
			}
			return e.lookup(ctx, h, "srv", "_http._tcp."+full+".", given, []string{"0 100 80 " + full})
		}); err != nil {
			return err
		}
		half := hands[:len(hands)/2]
		e.Saw("%s is %s (A), port http is 80 (SRV), from a pod on each of %s", full, s.Spec.ClusterIP, names(half))
		e.Saw("the same from each of these nodes itself, asking %s", server)
		inside, asker, err := e.ownHand(ctx)
		if err != nil {
			return err
		}
		near := service("near")
		near.Spec.Selector = app("asker")
		if err := e.create(ctx, near); err != nil {
			return err
		}
		if err := e.endpoints(ctx, "near", []*corev1.Pod{asker}); err != nil {
			return err
		}
		for _, name := range []string{"near", "near." + e.Namespace, e.fqdn("near")} {
			if err := e.asks(ctx, inside, "http://"+name+"/hostname", []*corev1.Pod{asker}); err != nil {
				return err
			}
		}
		e.Saw("a pod of the same namespace reached a Service as near, as near.%s and by its full name", e.Namespace)
		return nil
	},
}

var headless = Check{
	Name: "headless", Short: "the name of a headless Service is the addresses of all of its pods, and follows them", Remedy: resolving,
	Run: func(ctx context.Context, e *Env) error {
		s := service("web")
		s.Spec.ClusterIP = corev1.ClusterIPNone
		pods, err := e.served(ctx, 3, s)
		if err != nil {
			return err
		}
		hands, err := e.asking(ctx, false)
		if err != nil {
			return err
		}
		same := func(pods []*corev1.Pod) error {
			var want []string
			for _, p := range pods {
				want = append(want, p.Status.PodIP)
			}
			return fromEverywhere(ctx, hands, func(ctx context.Context, h hand) error {
				return e.lookup(ctx, h, "a", e.fqdn("web")+".", "", slices.Clone(want))
			})
		}
		if err := same(pods); err != nil {
			return err
		}
		e.Saw("%s is the addresses of its 3 pods, from a pod on each of %s", e.fqdn("web"), names(hands))
		return nil
	},
}
