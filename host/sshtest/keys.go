package sshtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"
)

// NewKey makes a key of a type: ssh.KeyAlgoED25519, KeyAlgoECDSA256 or KeyAlgoRSA.
func NewKey(tb testing.TB, keyType string) ssh.Signer {
	tb.Helper()
	s, err := ssh.NewSignerFromKey(newPrivate(tb, keyType))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newPrivate(tb testing.TB, keyType string) crypto.PrivateKey {
	tb.Helper()
	var key crypto.PrivateKey
	var err error
	switch keyType {
	case ssh.KeyAlgoED25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case ssh.KeyAlgoECDSA256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ssh.KeyAlgoRSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		tb.Fatalf("no keys of type %s are made here", keyType)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// NewKeyFile writes a new private key to a file, under a passphrase if one is given.
func NewKeyFile(tb testing.TB, keyType, passphrase string) (ssh.Signer, string) {
	tb.Helper()
	key := newPrivate(tb, keyType)
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		tb.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s, file
}

func newKeyFile(tb testing.TB) (ssh.Signer, string) { return NewKeyFile(tb, ssh.KeyAlgoED25519, "") }
