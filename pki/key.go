package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// NewKey makes an ECDSA P-256 private key, as "EC PRIVATE KEY" in PEM like kubeadm.
func NewKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return encode("EC PRIVATE KEY", der), nil
}

// PublicKey is the public half of a private key, as PKIX "PUBLIC KEY" in PEM.
func PublicKey(keyPEM []byte) ([]byte, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return encode("PUBLIC KEY", der), nil
}

// GoodKey says whether the PEM holds a private key that is strong enough to be used again.
func GoodKey(keyPEM []byte) bool {
	key, err := parseKey(keyPEM)
	return err == nil && strong(key.Public()) == nil
}

func encode(block string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der})
}

// parseKey reads the first private key in the PEM: SEC 1, PKCS #1 or PKCS #8, whichever tool wrote it.
func parseKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, errors.New("the private key cannot be read") // the parser's words might quote the key
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, fmt.Errorf("a private key of type %T cannot sign", key)
	}
	return nil, errors.New("there is no private key in it")
}

// strong refuses keys weaker than ECDSA P-256 or RSA 3072.
func strong(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if bits := k.Curve.Params().BitSize; bits < 256 {
			return fmt.Errorf("key: ECDSA with %d bits is weaker than P-256", bits)
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < 3072 {
			return fmt.Errorf("key: RSA with %d bits is weaker than 3072", bits)
		}
	default:
		return fmt.Errorf("key: type %T is neither ECDSA nor RSA", public)
	}
	return nil
}

// samePublic says whether two public keys are one.
func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// parseCert reads the first certificate in the PEM.
func parseCert(data []byte) (*x509.Certificate, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("there is no certificate in it")
}
