package pki

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Sign makes a certificate for the key in the CSR. It says only what r says: a CSR that asks for anything else is refused. It
// does not outlive its authority.
func Sign(caCert, caKey, csrPEM []byte, r Request, now time.Time) ([]byte, error) {
	if err := CheckAuthority(caCert, caKey, now); err != nil {
		return nil, err
	}
	csr, err := checkCSR(csrPEM, r)
	if err != nil {
		return nil, err
	}
	if r.Days < 1 || len(r.Usages) == 0 || r.CommonName == "" {
		return nil, errors.New("a certificate needs a common name, a usage and a life of at least a day")
	}
	usages, err := r.extKeyUsages()
	if err != nil {
		return nil, err
	}
	ips, err := r.ips()
	if err != nil {
		return nil, err
	}
	ca, err := parseCert(caCert)
	if err != nil {
		return nil, err
	}
	signer, err := parseKey(caKey)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	usage := x509.KeyUsageDigitalSignature
	if _, isRSA := csr.PublicKey.(*rsa.PublicKey); isRSA {
		usage |= x509.KeyUsageKeyEncipherment // means nothing for ECDSA keys (RFC 8813)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               r.subject(),
		DNSNames:              r.DNSNames,
		IPAddresses:           ips,
		NotBefore:             latest(now.Add(-early), ca.NotBefore).UTC(),
		NotAfter:              earliest(now.Add(time.Duration(r.Days)*day), ca.NotAfter).UTC(),
		KeyUsage:              usage,
		ExtKeyUsage:           usages,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, csr.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return encode("CERTIFICATE", der), nil
}

// Stale says in a few words why a certificate must be made anew: "" when it says exactly what r says, was signed by the authority, belongs to
// the key and has more than a quarter of its life before it. Its life is r.Days or, where whoever signed it gave less, that: a
// short-lived one is not stale from birth.
func Stale(certPEM, keyPEM, caPEM []byte, r Request, now time.Time) string {
	cert, err := parseCert(certPEM)
	if err != nil {
		return "the certificate cannot be read"
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return "its key cannot be read"
	}
	if !samePublic(cert.PublicKey, key.Public()) {
		return "its key is another one"
	}
	ca, err := parseAuthority(caPEM)
	if err != nil {
		return "its authority cannot be read"
	}
	if cert.CheckSignatureFrom(ca) != nil {
		return "another authority signed it"
	}
	if field := differs(subjectOf(cert.Subject), cert.DNSNames, cert.IPAddresses, r); field != "" {
		return field + " changed"
	}
	want, err := r.extKeyUsages()
	if err != nil || !sameUsages(cert.ExtKeyUsage, want) || len(cert.UnknownExtKeyUsage) > 0 || cert.IsCA {
		return "the usages changed"
	}
	if err := strong(cert.PublicKey); err != nil {
		return "its key is weak"
	}
	life := min(time.Duration(r.Days)*day, cert.NotAfter.Sub(cert.NotBefore))
	switch left := cert.NotAfter.Sub(now); {
	case left <= 0:
		return "it has expired"
	case left <= life/4:
		return "it expires soon"
	case now.Before(cert.NotBefore):
		return "it is not valid yet"
	}
	return ""
}

// Describe reads what a certificate says and until when.
func Describe(certPEM []byte) (Request, time.Time, error) {
	cert, err := parseCert(certPEM)
	if err != nil {
		return Request{}, time.Time{}, err
	}
	r := Request{
		CommonName:   cert.Subject.CommonName,
		Organization: cert.Subject.Organization,
		DNSNames:     cert.DNSNames,
		IPs:          texts(cert.IPAddresses),
		Days:         int(cert.NotAfter.Sub(cert.NotBefore) / day),
	}
	for usage, ext := range extUsages {
		if slices.Contains(cert.ExtKeyUsage, ext) {
			r.Usages = append(r.Usages, usage)
		}
	}
	slices.Sort(r.Usages)
	return r, cert.NotAfter, nil
}

var extUsages = map[Usage]x509.ExtKeyUsage{ClientAuth: x509.ExtKeyUsageClientAuth, ServerAuth: x509.ExtKeyUsageServerAuth}

func (r Request) extKeyUsages() ([]x509.ExtKeyUsage, error) {
	var out []x509.ExtKeyUsage
	for _, u := range r.Usages {
		ext, known := extUsages[u]
		if !known {
			return nil, fmt.Errorf("no such usage: %q", u)
		}
		out = append(out, ext)
	}
	return out, nil
}

func sameUsages(a, b []x509.ExtKeyUsage) bool {
	norm := func(u []x509.ExtKeyUsage) []x509.ExtKeyUsage {
		u = slices.Clone(u)
		slices.Sort(u)
		return slices.Compact(u)
	}
	return slices.Equal(norm(a), norm(b))
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
