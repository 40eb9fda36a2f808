package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

const keyName = "id_ed25519"

// keypair is an SSH key and its public half as a line for authorized_keys or known_hosts.
type keypair struct {
	signer     ssh.Signer
	authorized string
}

func (k keypair) fingerprint() string { return ssh.FingerprintSHA256(k.signer.PublicKey()) }

// keyAt reads the key, or makes it when it is not there.
func keyAt(path, comment string) (keypair, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = newKey(path, comment)
	}
	if err != nil {
		return keypair{}, err
	}
	signer, err := ssh.ParsePrivateKey(b)
	if err != nil {
		return keypair{}, fmt.Errorf("%s: %w", path, err)
	}
	return keypair{signer, string(ssh.MarshalAuthorizedKey(signer.PublicKey()))}, nil
}

func newKey(path, comment string) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(block)
	return b, writeFile(path, b, 0o600)
}

// hostKey is what the host's sshd proves itself with. It is made before the host's first boot, so that there is no moment of
// blind trust.
func (c container) hostKey() (keypair, error) {
	return keyAt(filepath.Join(c.root(), "etc/ssh/ssh_host_ed25519_key"), "root@"+c.Name)
}
