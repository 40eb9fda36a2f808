package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// NewCSR asks for a certificate that says what r says, for the key given. It is a CSR in PEM.
func NewCSR(keyPEM []byte, r Request) ([]byte, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	ips, err := r.ips()
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{Subject: r.subject(), DNSNames: r.DNSNames, IPAddresses: ips}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, err
	}
	return encode("CERTIFICATE REQUEST", der), nil
}

// CheckCSR says in what a CSR asks for anything else than r: another name, group, DNS name or address, an e-mail address or URI, or for a
// weak key. The error names the field.
func CheckCSR(csrPEM []byte, r Request) error {
	_, err := checkCSR(csrPEM, r)
	return err
}

func checkCSR(csrPEM []byte, r Request) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(csrPEM)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 {
		return nil, errors.New("csr: it is not one certificate request in PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("csr: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("csr: signature: %w", err)
	}
	if err := strong(csr.PublicKey); err != nil {
		return nil, fmt.Errorf("csr: %w", err)
	}
	if field := differs(subjectOf(csr.Subject), csr.DNSNames, csr.IPAddresses, r); field != "" {
		return nil, fmt.Errorf("csr: %s is not what was planned", field)
	}
	for what, n := range map[string]int{"e-mail addresses": len(csr.EmailAddresses), "URIs": len(csr.URIs)} {
		if n > 0 {
			return nil, fmt.Errorf("csr: it asks for %s", what)
		}
	}
	for _, e := range csr.Extensions {
		// Only the subject's other names (2.5.29.17) are asked for by extension; a CA:TRUE or a usage asked for is never granted, so refuse it.
		if e.Id.String() != "2.5.29.17" {
			return nil, fmt.Errorf("csr: it asks for extension %s", e.Id)
		}
	}
	return csr, nil
}

func (r Request) subject() pkix.Name {
	return pkix.Name{CommonName: r.CommonName, Organization: r.Organization}
}

func (r Request) ips() ([]net.IP, error) {
	var out []net.IP
	for _, s := range r.IPs {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("address %q cannot be in a certificate", s)
		}
		out = append(out, net.IP(a.Unmap().AsSlice()))
	}
	return out, nil
}

// plainSubject is what of a subject's name kubewright's certificates use; other says that it holds something else besides.
type plainSubject struct {
	commonName    string
	organizations []string
	other         bool
}

func subjectOf(n pkix.Name) plainSubject {
	// Names holds every attribute, also those that have no field.
	return plainSubject{n.CommonName, n.Organization, len(n.Names) != len(n.Organization)+min(len(n.CommonName), 1)}
}

// differs names the first field in which a subject and its other names are not r's; sets are compared as sets.
func differs(s plainSubject, dns []string, ips []net.IP, r Request) string {
	want, err := r.ips()
	switch {
	case err != nil:
		return "an address"
	case s.commonName != r.CommonName:
		return "the common name"
	case !sameSet(s.organizations, r.Organization):
		return "the organization"
	case s.other:
		return "the subject"
	case !sameSet(dns, r.DNSNames):
		return "the DNS names"
	case !sameSet(texts(ips), texts(want)):
		return "the addresses"
	}
	return ""
}

func texts(ips []net.IP) []string {
	var out []string
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return out
}

func sameSet(a, b []string) bool {
	norm := func(s []string) []string { s = slices.Clone(s); slices.Sort(s); return slices.Compact(s) }
	return slices.Equal(norm(a), norm(b))
}
