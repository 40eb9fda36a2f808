package addons

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"os"
	"time"

	"github.com/kubewright/kubewright/ops"
	"github.com/kubewright/kubewright/pki"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TLSSecret is a certificate and its key in a Secret: signed by the cluster's authority for a key that is made for it, and made anew when its end
// is near; or the user's own, from files of the workstation.
type TLSSecret struct {
	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	Request   pki.Request `json:"request,omitzero"`
	CertFile  string      `json:"certFile,omitempty"`
	KeyFile   string      `json:"keyFile,omitempty"`
	Addon     string      `json:"addon,omitempty"`
	Absent    bool        `json:"absent,omitempty"`
	Stale     string      `json:"stale,omitempty"` // in observations: why it has to be made anew
}

// Key is secret:NAMESPACE/NAME.
func (s TLSSecret) Key() ops.Key { return secretKey(s.Namespace, s.Name) }

// ID is the Secret's.
func (s TLSSecret) ID() ID { return secretID(s.Namespace, s.Name) }

func (s TLSSecret) within(addon string) Member { s.Addon = addon; return s }
func (s TLSSecret) absent() ops.Op             { s.Absent = true; return s }

func secretKey(ns, name string) ops.Key { return ops.Key("secret:" + ns + "/" + name) }
func secretID(ns, name string) ID       { return ID{Kind: "Secret", Namespace: ns, Name: name} }

// Observe compares what the certificate says with what is asked for, not its bytes.
func (s TLSSecret) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	live, err := a.secret(ctx, s.Namespace, s.Name)
	if err != nil {
		return nil, err
	}
	cert, key := live[corev1.TLSCertKey], live[corev1.TLSPrivateKeyKey]
	switch {
	case live == nil:
		return s.absent(), nil
	case s.CertFile == "":
		s.Stale = pki.Stale(cert, key, a.config.CAData, s.Request, time.Now())
	default:
		wantCert, wantKey, err := readPair(s.CertFile, s.KeyFile)
		if err != nil {
			return nil, err
		}
		if string(cert) != string(wantCert) || string(key) != string(wantKey) {
			s.Stale = "it is not the one in " + s.CertFile
		}
	}
	return s, nil
}

func readPair(certFile, keyFile string) (cert, key []byte, err error) {
	if cert, err = os.ReadFile(certFile); err != nil {
		return nil, nil, err
	}
	if key, err = os.ReadFile(keyFile); err != nil {
		return nil, nil, err
	}
	_, err = tls.X509KeyPair(cert, key)
	return cert, key, err
}

// Set makes the key here, has the certificate signed and applies both; the key is nowhere else.
func (s TLSSecret) Set(ctx context.Context, m ops.Machine, _ ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	var cert, key []byte
	if s.CertFile != "" {
		cert, key, err = readPair(s.CertFile, s.KeyFile)
	} else if key, err = pki.NewKey(); err == nil {
		var csr []byte
		if csr, err = pki.NewCSR(key, s.Request); err == nil {
			cert, err = a.sign(ctx, csr, s.Request)
		}
	}
	if err != nil {
		return err
	}
	return a.applySecret(ctx, s.Addon, s.Namespace, s.Name, corev1.SecretTypeTLS, map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key})
}

// Password is a random password in a Secret, made once.
type Password struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	User      string `json:"user"`
	Addon     string `json:"addon,omitempty"`
	Absent    bool   `json:"absent,omitempty"`
}

// Key is secret:NAMESPACE/NAME.
func (p Password) Key() ops.Key { return secretKey(p.Namespace, p.Name) }

// ID is the Secret's.
func (p Password) ID() ID { return secretID(p.Namespace, p.Name) }

func (p Password) within(addon string) Member { p.Addon = addon; return p }
func (p Password) absent() ops.Op             { p.Absent = true; return p }

// Observe says whether there is one.
func (p Password) Observe(ctx context.Context, m ops.Machine) (ops.Op, error) {
	a, err := api(m)
	if err != nil {
		return nil, err
	}
	live, err := a.secret(ctx, p.Namespace, p.Name)
	if err == nil && len(live["password"]) == 0 {
		return p.absent(), nil
	}
	return p, err
}

// Set makes one of 144 bits.
func (p Password) Set(ctx context.Context, m ops.Machine, _ ops.Op) error {
	a, err := api(m)
	if err != nil {
		return err
	}
	random := make([]byte, 18)
	rand.Read(random) // never fails (crypto/rand)
	return a.applySecret(ctx, p.Addon, p.Namespace, p.Name, corev1.SecretTypeOpaque, map[string][]byte{
		"user": []byte(p.User), "password": []byte(base64.RawURLEncoding.EncodeToString(random)),
	})
}

// secret is what a Secret holds, nil where there is none.
func (a *API) secret(ctx context.Context, ns, name string) (map[string][]byte, error) {
	var s *corev1.Secret
	err := persist(ctx, func() (err error) {
		s, err = a.clients.CoreV1().Secrets(ns).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if errors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s.Data == nil {
		return map[string][]byte{}, nil
	}
	return s.Data, nil
}

func (a *API) applySecret(ctx context.Context, addon, ns, name string, kind corev1.SecretType, data map[string][]byte) error {
	o := New(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Type:       kind, Data: data,
	})
	return o.within(addon).Set(ctx, machine{a}, nil)
}

// serviceCertificate is what a Service's certificate says.
func serviceCertificate(name, ns string) pki.Request {
	return pki.Request{
		CommonName: name + "." + ns + ".svc", DNSNames: []string{name + "." + ns + ".svc", name + "." + ns + ".svc.cluster.local"},
		Usages: []pki.Usage{pki.ServerAuth}, Days: 365,
	}
}
