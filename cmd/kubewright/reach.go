package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/kubewright/kubewright/addons"
	"github.com/kubewright/kubewright/agent"
	"github.com/kubewright/kubewright/bundle"
	"github.com/kubewright/kubewright/phases"
	"github.com/kubewright/kubewright/pki"
	"k8s.io/client-go/rest"
)

// Sign implements phases.Reach.
func (f *fleet) Sign(ctx context.Context, host, authority string, csr []byte, r pki.Request) ([]byte, error) {
	m, err := f.member(host)
	if err != nil {
		return nil, err
	}
	select {
	case f.signing <- struct{}{}:
		defer func() { <-f.signing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return m.Session.Sign(ctx, authority, csr, r)
}

// Authority implements phases.Reach.
func (f *fleet) Authority(ctx context.Context, host, authority string) ([]byte, error) {
	m, err := f.member(host)
	if err != nil {
		return nil, err
	}
	return m.ReadCA(ctx, authority)
}

// Send implements phases.Reach.
func (f *fleet) Send(ctx context.Context, host, digest string) error {
	m, err := f.member(host)
	if err != nil {
		return err
	}
	var size int64
	for _, c := range f.bundle.Lock.Components {
		if c.Digest == digest {
			size = c.Size
		}
	}
	r, err := f.bundle.Blob(digest)
	if err != nil {
		return err
	}
	defer r.Close()
	return m.conn.Upload(ctx, agent.StateDir+"/blobs/"+strings.TrimPrefix(digest, "sha256:"), size, r, 0o600)
}

// Push implements phases.Reach.
func (f *fleet) Push(ctx context.Context, host, component string) error {
	m, err := f.member(host)
	if err != nil {
		return err
	}
	transport, err := f.registryTransport(ctx, m)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	return bundle.Push(ctx, f.bundle, bundle.Registry{Address: f.cluster.Registry(), Transport: transport}, []string{component}, nil)
}

// registryTransport reaches the registry from the registry host itself, and believes only the registry's own authority.
func (f *fleet) registryTransport(ctx context.Context, m *member) (*http.Transport, error) {
	pem, err := m.ReadCA(ctx, "registry")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: the registry's authority is not a certificate", m.name)
	}
	return &http.Transport{
		DialContext:     func(ctx context.Context, _, addr string) (net.Conn, error) { return m.conn.DialTCP(ctx, addr) },
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},

		TLSHandshakeTimeout: 20 * time.Second, ResponseHeaderTimeout: time.Minute,
	}, nil
}

// rest is how the cluster's API is reached: from its authority's host, with a key that lives in this process's memory and a
// certificate that lives for a day.
func (f *fleet) rest(ctx context.Context) (*rest.Config, error) {
	holder, ok := phases.AuthorityHost(f.cluster, phases.KubernetesCA)
	if !ok {
		return nil, addons.ErrNoCluster
	}
	m, err := f.member(holder.Name)
	if err != nil {
		return nil, err
	}
	ca, err := m.ReadCA(ctx, phases.KubernetesCA)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", addons.ErrNoCluster, err)
	}
	cert, key, err := f.credential(ctx, m, pki.Request{
		CommonName: "kubewright", Organization: []string{"system:masters"}, Usages: []pki.Usage{pki.ClientAuth}, Days: 1,
	})
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            "https://" + f.cluster.Endpoint(),
		TLSClientConfig: rest.TLSClientConfig{CAData: ca, CertData: cert, KeyData: key},
		Dial:            func(ctx context.Context, _, addr string) (net.Conn, error) { return m.conn.DialTCP(ctx, addr) },
	}, nil
}

// credential makes a key here and has the cluster's authority sign for it.
func (f *fleet) credential(ctx context.Context, holder *member, r pki.Request) (cert, key []byte, err error) {
	if key, err = pki.NewKey(); err != nil {
		return nil, nil, err
	}
	csr, err := pki.NewCSR(key, r)
	if err != nil {
		return nil, nil, err
	}
	cert, err = holder.Session.Sign(ctx, phases.KubernetesCA, csr, r)
	return cert, key, err
}
