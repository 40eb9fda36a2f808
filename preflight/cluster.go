package preflight

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kubewright/kubewright/inventory"
)

// clusterChecks are about what hosts have of a cluster already.
var clusterChecks = []check{
	{"authorities", Error, every, func(l *look) {
		own := map[string]*x509.Certificate{}
		for _, h := range l.Cluster.With(inventory.ControlPlane) {
			if cert := parse(l.Facts[h.Name].Authorities["kubernetes"]); cert != nil {
				own["kubernetes"] = cert
			}
		}
		l.see("%d authorities", len(l.f.Authorities))
		for _, name := range slices.Sorted(maps.Keys(l.f.Authorities)) {
			cert := parse(l.f.Authorities[name])
			if cert == nil {
				l.add("the authority "+name+" is no certificate", "a certificate, or none", "bring it back from a backup; up never makes an authority anew")
				continue
			}
			now := l.f.Now
			if now.IsZero() {
				now = l.Now
			}
			switch want := own[name]; {
			case want != nil && fingerprint(want) != fingerprint(cert):
				l.add(fmt.Sprintf("the authority %s is another one (%s) than the control plane's (%s)", name, fingerprint(cert), fingerprint(want)),
					"one authority for the cluster", "reset the host, with the inventory of the cluster that it belongs to")
			case !now.IsZero() && now.Before(cert.NotBefore):
				l.add(fmt.Sprintf("the authority %s is valid from %s on, and it is %s there", name, cert.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)),
					"an authority that is valid now", "set the host's clock")
			case !now.IsZero() && now.After(cert.NotAfter):
				l.add(fmt.Sprintf("the authority %s was valid until %s", name, cert.NotAfter.UTC().Format(time.RFC3339)), "an authority that is valid now", "make the cluster anew: nothing trusts another authority")
			case !cert.IsCA:
				l.add("the certificate of the authority "+name+" may not sign others", "an authority's certificate", "bring it back from a backup; up never makes an authority anew")
			}
		}
	}},
}

func parse(text string) *x509.Certificate {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return fmt.Sprintf("%x", sum[:6])
}
