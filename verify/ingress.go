package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

const ingressing = "kubectl -n traefik get pods -o wide, and their logs; kubectl get ingressclass"

// sites makes two Services with one pod each.
func (e *Env) sites(ctx context.Context) ([]*corev1.Pod, error) {
	var out []*corev1.Pod
	for _, name := range []string{"red", "blue"} {
		if err := e.create(ctx, pod(name, podSpec(e.web())), service(name)); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"red", "blue"} {
		p, err := e.pod(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := e.endpoints(ctx, name, []*corev1.Pod{p}); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// site is the name at which an Ingress of the check serves a Service. It has to be one that nobody else has.
func (e *Env) site(name string) string { return name + "." + e.Namespace + ".test" }

// rule leads from a name and a path to a Service.
func (e *Env) rule(name, path string, service string) networkingv1.IngressRule {
	return networkingv1.IngressRule{Host: e.site(name), IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
		Path: path, PathType: ptr(networkingv1.PathTypePrefix),
		Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}}},
	}}}}}
}

// visit asks for a page of a site at a node from each of the hands, until the controller has learned of the Ingress.
func (e *Env) visit(ctx context.Context, hands []hand, n Node, port int32, site, path, want string) error {
	url := fmt.Sprintf("http://%s%s", net.JoinHostPort(n.Address, fmt.Sprint(port)), path)
	return fromEverywhere(ctx, hands, func(ctx context.Context, h hand) error {
		var last error
		for range 10 {
			got, err := e.get(ctx, h, 1, url, "Host: "+site)
			if err == nil && got == want {
				return nil
			}
			if last = err; err == nil {
				last = fmt.Errorf("from %s: %s as %s answers %q, not %q", h, url, site, got, want)
			}
			select {
			case <-ctx.Done():
				return errors.Join(last, context.Cause(ctx))
			case <-time.After(500 * time.Millisecond):
			}
		}
		return last
	})
}

// serve makes an Ingress, and finds the doors of its controller and who is to ask at them.
func (e *Env) serve(ctx context.Context, in *networkingv1.Ingress) (doors, []hand, error) {
	if err := e.create(ctx, in); err != nil {
		return doors{}, nil, err
	}
	d, err := e.openDoors(ctx)
	if err != nil {
		return d, nil, err
	}
	hands, err := e.asking(ctx, true)
	return d, hands, err
}

// strangers holds that what no Ingress has is answered with 404.
func (e *Env) strangers(ctx context.Context, hands []hand, d doors, site, path string) error {
	for _, n := range d.nodes {
		url := fmt.Sprintf("http://%s%s", net.JoinHostPort(n.Address, fmt.Sprint(d.http)), path)
		if err := fromEverywhere(ctx, hands, func(ctx context.Context, h hand) error {
			got, err := e.get(ctx, h, 1, url, "Host: "+site)
			if err == nil {
				return fmt.Errorf("from %s: %s as %s answers %q, not 404", h, url, site, got)
			}
			if !strings.Contains(err.Error(), " 404 ") {
				return err
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

var ingress = Check{
	Name: "ingress", Short: "an Ingress leads two names to two Services, at every node of the controller, and an unknown name to 404", Needs: []Need{Ingress}, Remedy: ingressing,
	Run: func(ctx context.Context, e *Env) error {
		pods, err := e.sites(ctx)
		if err != nil {
			return err
		}
		in := &networkingv1.Ingress{ObjectMeta: named("sites"), Spec: networkingv1.IngressSpec{
			IngressClassName: ptr("traefik"), Rules: []networkingv1.IngressRule{e.rule("red", "/", "red"), e.rule("blue", "/", "blue")},
		}}
		d, hands, err := e.serve(ctx, in)
		if err != nil {
			return err
		}
		for _, n := range d.nodes {
			for _, p := range pods {
				if err := e.visit(ctx, hands, n, d.http, e.site(p.Name), "/hostname", p.Name); err != nil {
					return err
				}
			}
		}
		e.Saw("%s leads to red and %s to blue, at port %d of %s, asked from %s", e.site("red"), e.site("blue"), d.http, nodeNames(d.nodes), names(hands))
		if err := e.strangers(ctx, hands, d, e.site("nobody"), "/hostname"); err != nil {
			return err
		}
		e.Saw("%s, which no Ingress has, is answered with 404 at each of them", e.site("nobody"))
		at := net.JoinHostPort(d.nodes[0].Address, fmt.Sprint(d.http))
		body, err := e.fetch(ctx, question{url: "http://" + at + "/hostname", host: e.site("red")})
		var away *net.OpError
		switch {
		case errors.As(err, &away):
			e.Saw("the workstation itself has no direct way there (%v)", err)
		case err != nil:
			return fmt.Errorf("from the workstation: %w", err)
		case body != "red":
			return fmt.Errorf("from the workstation: %s as %s answers %q", at, e.site("red"), body)
		default:
			e.Saw("from the workstation %s as %s leads to red as well", at, e.site("red"))
		}
		return nil
	},
}

var ingressNginx = Check{
	Name: "ingress-nginx", Short: "an Ingress of the class nginx works as it did with ingress-nginx, with its annotation use-regex", Needs: []Need{Ingress}, Remedy: ingressing,
	Run: func(ctx context.Context, e *Env) error {
		pods, err := e.sites(ctx)
		if err != nil {
			return err
		}
		in := &networkingv1.Ingress{ObjectMeta: named("old"), Spec: networkingv1.IngressSpec{
			IngressClassName: ptr("nginx"), Rules: []networkingv1.IngressRule{e.rule("red", "/host", "red")},
		}}
		in.Annotations = map[string]string{"nginx.ingress.kubernetes.io/use-regex": "true"}
		in.Spec.Rules[0].HTTP.Paths[0].PathType = ptr(networkingv1.PathTypeImplementationSpecific)
		d, hands, err := e.serve(ctx, in)
		if err != nil {
			return err
		}
		for _, n := range d.nodes {
			if err := e.visit(ctx, hands, n, d.http, e.site("red"), "/hostname", pods[0].Name); err != nil {
				return err
			}
		}
		e.Saw("/hostname of %s, which the expression /host meets and a path /host does not, leads to red, at port %d of %s", e.site("red"), d.http, nodeNames(d.nodes))
		if err := e.strangers(ctx, hands, d, e.site("red"), "/clientip"); err != nil {
			return err
		}
		e.Saw("/clientip, which it does not meet, is answered with 404")
		return nil
	},
}

var ingressTLS = Check{
	Name: "ingress-tls", Short: "an Ingress shows the certificate of its Secret to who asks for its name", Needs: []Need{Ingress}, Remedy: ingressing,
	Run: func(ctx context.Context, e *Env) error {
		if _, err := e.sites(ctx); err != nil {
			return err
		}
		cert, key, roots, err := selfSigned(e.site("red"))
		if err != nil {
			return err
		}
		secret := &corev1.Secret{ObjectMeta: named("red-tls"), Type: corev1.SecretTypeTLS, Data: map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key}}
		in := &networkingv1.Ingress{ObjectMeta: named("secure"), Spec: networkingv1.IngressSpec{
			IngressClassName: ptr("traefik"), Rules: []networkingv1.IngressRule{e.rule("red", "/", "red")},
			TLS: []networkingv1.IngressTLS{{Hosts: []string{e.site("red")}, SecretName: "red-tls"}},
		}}
		if err := e.create(ctx, secret, in); err != nil {
			return err
		}
		d, err := e.openDoors(ctx)
		if err != nil {
			return err
		}
		for _, p := range d.pods {
			i := slices.IndexFunc(p.Spec.Containers[0].Ports, func(c corev1.ContainerPort) bool { return c.Name == "websecure" })
			if i < 0 {
				return fmt.Errorf("%s has no port for TLS", p.Name)
			}
			// Through the API server: what is to be seen is the certificate, and this way is there from any workstation.
			by := e.dialPod(p.Namespace, p.Name, int(p.Spec.Containers[0].Ports[i].ContainerPort))
			var last error
			for range 10 {
				var body string
				body, last = e.fetch(ctx, question{url: "https://" + e.site("red") + "/hostname", by: by, tls: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
				if last == nil && body != "red" {
					last = fmt.Errorf("%q answered, not red", body)
				}
				if last == nil || ctx.Err() != nil {
					break
				}
				select {
				case <-ctx.Done():
				case <-time.After(500 * time.Millisecond):
				}
			}
			if last != nil {
				return fmt.Errorf("%s on %s: %w", p.Name, p.Spec.NodeName, last)
			}
			e.Saw("https://%s shows the certificate that the check had made, and leads to red, at %s on %s", e.site("red"), p.Name, p.Spec.NodeName)
		}
		return nil
	},
}

// selfSigned is a certificate for one name that believes in itself, for an hour.
func selfSigned(name string) (cert, key []byte, roots *x509.CertPool, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	like := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "kubewright verify"}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, like, like, private.Public(), private)
	if err != nil {
		return nil, nil, nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, nil, err
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), roots, nil
}
