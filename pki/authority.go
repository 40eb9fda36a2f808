package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	day         = 24 * time.Hour
	authorityIn = 3650 * day
	// early is how far back a certificate's life begins, so that hosts whose clocks lag a little accept it at once.
	early = 5 * time.Minute
)

// NewAuthority makes a certificate authority that lives ten years, in the shape that kubeadm gives its own.
func NewAuthority(commonName string, now time.Time) (certPEM, keyPEM []byte, err error) {
	if commonName == "" {
		return nil, nil, errors.New("an authority needs a common name")
	}
	if keyPEM, err = NewKey(); err != nil {
		return nil, nil, err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		DNSNames:              []string{commonName},
		NotBefore:             now.Add(-early).UTC(),
		NotAfter:              now.Add(authorityIn).UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	return encode("CERTIFICATE", der), keyPEM, nil
}

// ErrExpired is what CheckAuthority returns of an authority whose time is over and with which nothing else is wrong.
var ErrExpired = errors.New("the authority has expired")

// CheckAuthority says what keeps a certificate and key from being used as an authority now.
func CheckAuthority(certPEM, keyPEM []byte, now time.Time) error {
	cert, err := parseAuthority(certPEM)
	if err != nil {
		return err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return err
	}
	if !samePublic(cert.PublicKey, key.Public()) {
		return errors.New("the key is not the one in the certificate")
	}
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("the authority is not valid before %s", cert.NotBefore.Format(time.RFC3339))
	}
	if now.After(cert.NotAfter) {
		return ErrExpired
	}
	return nil
}

// IsAuthority says whether the PEM holds the certificate of an authority with this common name.
func IsAuthority(certPEM []byte, commonName string) bool {
	cert, err := parseAuthority(certPEM)
	return err == nil && (commonName == "" || cert.Subject.CommonName == commonName)
}

func parseAuthority(certPEM []byte) (*x509.Certificate, error) {
	cert, err := parseCert(certPEM)
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be read: %w", err)
	}
	if !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("the certificate is not that of an authority")
	}
	return cert, nil
}

// Fingerprint is "sha256:" and the digest of the certificate's public key, as kubeadm's discovery hash; "" when there is no certificate.
func Fingerprint(certPEM []byte) string {
	cert, err := parseCert(certPEM)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// newSerial is a positive random number of 127 bits: unguessable, and short enough for every parser (RFC 5280, 4.1.2.2).
func newSerial() (*big.Int, error) {
	for {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
		if err != nil || n.Sign() > 0 {
			return n, err
		}
	}
}
