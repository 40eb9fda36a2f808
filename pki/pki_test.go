package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var apiserver = Request{
	CommonName: "kube-apiserver", DNSNames: []string{"node-1", "kubernetes"}, IPs: []string{"10.96.0.1", "fd00::1"},
	Usages: []Usage{ServerAuth}, Days: 100,
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func authority(t *testing.T) (cert, key []byte) {
	t.Helper()
	cert, key, err := NewAuthority("kubernetes", now)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestSignSaysWhatWasPlannedAndNoMore(t *testing.T) {
	ca, caKey := authority(t)
	key := must[[]byte](t)(NewKey())
	csr := must[[]byte](t)(NewCSR(key, apiserver))
	cert := must[[]byte](t)(Sign(ca, caKey, csr, apiserver, now))
	if why := Stale(cert, key, ca, apiserver, now); why != "" {
		t.Errorf("a new certificate is stale: %s", why)
	}
	leaf := must[*x509.Certificate](t)(parseCert(cert))
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 1 {
		t.Errorf("CA %v, usage %v, extended %v", leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for _, name := range []string{"node-1", "kubernetes", "10.96.0.1", "fd00::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	said, until, err := Describe(cert)
	if err != nil || said.CommonName != "kube-apiserver" || len(said.Usages) != 1 || !until.Equal(now.Add(100*day)) {
		t.Errorf("Describe: %+v %v %v", said, until, err)
	}
}

func TestSignRefuses(t *testing.T) {
	ca, caKey := authority(t)
	ecKey := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ask := func(change func(*x509.CertificateRequest)) []byte {
		c := &x509.CertificateRequest{
			Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: []string{"kubernetes", "node-1"},
			IPAddresses: []net.IP{net.ParseIP("10.96.0.1"), net.ParseIP("fd00::1")},
		}
		change(c)
		der := must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, c, ecKey))
		return encode("CERTIFICATE REQUEST", der)
	}
	weak := func() []byte {
		t.Setenv("GODEBUG", "rsa1024min=0")
		k := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
		c := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "kube-apiserver"}}
		return encode("CERTIFICATE REQUEST", must[[]byte](t)(x509.CreateCertificateRequest(rand.Reader, c, k)))
	}
	good := ask(func(*x509.CertificateRequest) {})
	if err := CheckCSR(good, apiserver); err != nil {
		t.Fatalf("the honest CSR is refused: %v", err)
	}
	block, _ := pem.Decode(good)
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	caTrue := must[[]byte](t)(asn1.Marshal(struct{ CA bool }{true}))
	for name, row := range map[string]struct {
		csr  []byte
		says string
	}{
		"another name":       {ask(func(c *x509.CertificateRequest) { c.Subject.CommonName = "admin" }), "common name"},
		"a group":            {ask(func(c *x509.CertificateRequest) { c.Subject.Organization = []string{"system:masters"} }), "organization"},
		"an attribute":       {ask(func(c *x509.CertificateRequest) { c.Subject.OrganizationalUnit = []string{"x"} }), "subject"},
		"a further DNS name": {ask(func(c *x509.CertificateRequest) { c.DNSNames = append(c.DNSNames, "evil") }), "DNS names"},
		"a DNS name less":    {ask(func(c *x509.CertificateRequest) { c.DNSNames = c.DNSNames[:1] }), "DNS names"},
		"a further address":  {ask(func(c *x509.CertificateRequest) { c.IPAddresses = append(c.IPAddresses, net.IPv4(1, 2, 3, 4)) }), "addresses"},
		"an e-mail address":  {ask(func(c *x509.CertificateRequest) { c.EmailAddresses = []string{"a@b"} }), "e-mail"},
		"a URI":              {ask(func(c *x509.CertificateRequest) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }), "URIs"},
		"to be an authority": {ask(func(c *x509.CertificateRequest) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: caTrue}}
		}), "extension 2.5.29.19"},
		"with a weak key":      {weak(), "weaker than 3072"},
		"with a bad signature": {encode("CERTIFICATE REQUEST", forged), "signature"},
		"with something after": {append(bytes.Clone(good), good...), "one certificate request"},
		"nothing":              {nil, "one certificate request"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Sign(ca, caKey, row.csr, apiserver, now)
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, want an error about %q", err, row.says)
			}
		})
	}
}

func TestStale(t *testing.T) {
	ca, caKey := authority(t)
	otherCA, _ := authority(t)
	key, otherKey := must[[]byte](t)(NewKey()), must[[]byte](t)(NewKey())
	cert := must[[]byte](t)(Sign(ca, caKey, must[[]byte](t)(NewCSR(key, apiserver)), apiserver, now))
	with := func(change func(*Request)) Request {
		r := apiserver
		change(&r)
		return r
	}
	for name, row := range map[string]struct {
		cert, key, ca []byte
		r             Request
		after         int // days
		want          string
	}{
		"new":                     {cert, key, ca, apiserver, 0, ""},
		"three quarters over":     {cert, key, ca, apiserver, 74, ""},
		"in its last quarter":     {cert, key, ca, apiserver, 76, "it expires soon"},
		"over":                    {cert, key, ca, apiserver, 101, "it has expired"},
		"wished for longer":       {cert, key, ca, with(func(r *Request) { r.Days = 3650 }), 0, ""},
		"order does not matter":   {cert, key, ca, with(func(r *Request) { r.DNSNames = []string{"kubernetes", "node-1"} }), 0, ""},
		"another name":            {cert, key, ca, with(func(r *Request) { r.CommonName = "x" }), 0, "the common name changed"},
		"a further address":       {cert, key, ca, with(func(r *Request) { r.IPs = append(r.IPs, "10.0.0.9") }), 0, "the addresses changed"},
		"another usage":           {cert, key, ca, with(func(r *Request) { r.Usages = []Usage{ClientAuth} }), 0, "the usages changed"},
		"another key":             {cert, otherKey, ca, apiserver, 0, "its key is another one"},
		"another authority":       {cert, key, otherCA, apiserver, 0, "another authority signed it"},
		"no key":                  {cert, nil, ca, apiserver, 0, "its key cannot be read"},
		"rubbish":                 {[]byte("x"), key, ca, apiserver, 0, "the certificate cannot be read"},
		"a leaf as its authority": {cert, key, cert, apiserver, 0, "its authority cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Stale(row.cert, row.key, row.ca, row.r, now.Add(time.Duration(row.after)*day)); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestAuthorityOutlivesWhatItSigns(t *testing.T) {
	ca, caKey := authority(t)
	key := must[[]byte](t)(NewKey())
	late := now.Add(authorityIn - 10*day)
	cert := must[[]byte](t)(Sign(ca, caKey, must[[]byte](t)(NewCSR(key, apiserver)), apiserver, late))
	_, until, _ := Describe(cert)
	if !until.Equal(now.Add(authorityIn)) {
		t.Errorf("it lives until %v", until)
	}
	if why := Stale(cert, key, ca, apiserver, late); why != "" {
		t.Errorf("stale from birth: %s", why)
	}
	if err := CheckAuthority(ca, caKey, now.Add(authorityIn+day)); err != ErrExpired {
		t.Errorf("after ten years: %v", err)
	}
	if err := CheckAuthority(ca, key, now); err == nil {
		t.Error("an authority with another key passes")
	}
	if err := CheckAuthority(cert, key, now); err == nil {
		t.Error("a leaf passes as an authority")
	}
	if !IsAuthority(ca, "kubernetes") || IsAuthority(ca, "etcd-ca") || IsAuthority(cert, "kube-apiserver") {
		t.Error("IsAuthority")
	}
	if fp := Fingerprint(ca); len(fp) != len("sha256:")+64 || fp == Fingerprint(cert) {
		t.Errorf("fingerprint %q", fp)
	}
}

func TestSecretCannotBeShown(t *testing.T) {
	s := Secret("canary")
	in := struct{ S Secret }{s}
	shown := []string{fmt.Sprint(s), s.String(), s.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%X", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, s), fmt.Sprintf(verb, in), fmt.Sprintf(verb, &in))
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		shown = append(shown, string(must[[]byte](t)(marshal(in))))
	}
	for _, text := range shown {
		for _, leak := range []string{"canary", "63616e617279", "63616E617279", "Y2FuYXJ5", "99 97 110"} {
			if strings.Contains(text, leak) {
				t.Errorf("shown: %s", text)
			}
		}
	}
}

func TestKubeconfig(t *testing.T) {
	embedded := Kubeconfig{Cluster: "kubernetes", Server: "https://10.0.0.1:6443", User: "kubernetes-admin",
		CA: []byte("ca"), ClientCert: []byte("cert"), ClientKey: Secret("key")}
	byFile := Kubeconfig{Cluster: "kubernetes", Server: "https://10.0.0.1:6443", User: "system:node:n1",
		CA: []byte("ca"), ClientFile: "/var/lib/kubelet/pki/kubelet-client-current.pem"}
	for _, k := range []Kubeconfig{embedded, byFile} {
		data := must[[]byte](t)(k.Encode())
		if !strings.Contains(string(data), "current-context: "+k.User+"@kubernetes") {
			t.Errorf("no context in\n%s", data)
		}
		back := must[Kubeconfig](t)(DecodeKubeconfig(data))
		again := must[[]byte](t)(back.Encode())
		if !bytes.Equal(data, again) {
			t.Errorf("not the same again:\n%s", again)
		}
		if _, err := DecodeKubeconfig(append(data, "extra: 1\n"...)); err == nil {
			t.Error("a file with more in it is read")
		}
	}
	half := embedded
	half.ClientKey = nil
	if _, err := half.Encode(); err == nil {
		t.Error("a certificate without its key is written")
	}
}

func TestPublicKeyIsReadByOthers(t *testing.T) {
	key := must[[]byte](t)(NewKey())
	block, _ := pem.Decode(must[[]byte](t)(PublicKey(key)))
	if block == nil || block.Type != "PUBLIC KEY" {
		t.Fatal("not a PUBLIC KEY")
	}
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		t.Error(err)
	}
	if !GoodKey(key) || GoodKey([]byte("x")) {
		t.Error("GoodKey")
	}
}
