package inventory

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// keyFiles makes the paths in the file absolute, and checks each private key once: where it was written, not where it was inherited.
func (r *reading) keyFiles(c *Cluster, dir string) {
	fix := func(path string, s *SSH) {
		for _, f := range []struct {
			name  string
			value *string
		}{{"keyFile", &s.KeyFile}, {"knownHostsFile", &s.KnownHostsFile}} {
			if r.bad(field(path, f.name)) || *f.value == "" {
				continue
			}
			written := *f.value
			abs, err := absolute(dir, written)
			if err != nil {
				if r.wrote(field(path, f.name)) {
					r.fail(field(path, f.name), Problem{Code: codeKeyFile, Found: show(written), Wrong: "needs your home directory, which is not known", Remedy: "set HOME, or write the whole path"})
				}
				continue
			}
			*f.value = abs
			if f.name == "keyFile" && r.wrote(field(path, f.name)) {
				r.keyFile(field(path, f.name), abs)
			}
		}
	}
	fix("spec.ssh", &c.Spec.SSH)
	for i := range c.Spec.Hosts {
		fix(field(hostPath(i), "ssh"), &c.Spec.Hosts[i].SSH)
	}
}

// absolute is where a path in a file of that directory leads.
func absolute(dir, path string) (string, error) {
	if path == "~" || strings.HasPrefix(path, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		return filepath.Join(home, strings.TrimPrefix(path, "~")), nil
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	return filepath.Join(dir, path), nil
}

// maxKeySize is far above any private key.
const maxKeySize = 64 << 10

// keyFile checks that a file is a private key that ssh would use as well. What is in it is never shown.
func (r *reading) keyFile(path, file string) {
	no := func(wrong, remedy string) {
		r.fail(path, Problem{Code: codeKeyFile, Found: show(file), Wrong: wrong, Expected: "a private key", Remedy: remedy})
	}
	data, err := readFile(file, maxKeySize)
	if err != nil {
		no("cannot be read: "+err.Error(), "name a private key, or leave keyFile out to use the SSH agent")
		return
	}
	text := strings.TrimSpace(string(data))
	first, _, _ := strings.Cut(text, "\n")
	switch {
	case text == "":
		no("is empty", "name a private key")
	case strings.HasPrefix(first, "PuTTY-User-Key-File"):
		no("is in PuTTY's format", "convert it with: puttygen "+bare(file)+" -O private-openssh -o id_kubewright")
	case isPublicKey(first):
		no("is a public key", publicRemedy(file))
	case strings.HasPrefix(first, "-----BEGIN DSA PRIVATE KEY"):
		no("is a DSA key, which OpenSSH no longer accepts", "make another with: ssh-keygen -t ed25519")
	case !strings.HasPrefix(first, "-----BEGIN ") || !strings.Contains(first, "PRIVATE KEY-----"):
		no("is not a private key", "name one that ssh-keygen made")
	default:
		sound, locked := keyForm(data)
		if !sound {
			no("is not a private key, though it begins like one", "name one that ssh-keygen made, whole and as it was made")
			return
		}
		if locked && os.Getenv("SSH_AUTH_SOCK") == "" {
			no("needs a passphrase, and there is no SSH agent that could hold it", "start an agent, and give it the key with: ssh-add "+bare(file))
			return
		}
		info, err := os.Stat(file)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			no(fmt.Sprintf("is open to others (mode %04o)", info.Mode().Perm()), "run: chmod 600 "+bare(file))
		}
	}
}

// keyForm says whether a file's content has the outer form of a private key, and whether it is locked with a passphrase.
func keyForm(data []byte) (sound, locked bool) {
	block, _ := pem.Decode(data)
	switch {
	case block == nil:
		return false, false
	case block.Type == "OPENSSH PRIVATE KEY":
		// OpenSSH's PROTOCOL.key: a magic, then the names of the cipher and of what makes a key for it of the passphrase.
		rest, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
		_, rest, okCipher := sshString(rest)
		kdf, _, okKDF := sshString(rest)
		return ok && okCipher && okKDF, string(kdf) != "none"
	}
	return strings.HasSuffix(block.Type, "PRIVATE KEY"),
		block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
}

// sshString takes a string with its length before it from the beginning of b.
func sshString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return nil, nil, false
	}
	end := 4 + int(binary.BigEndian.Uint32(b))
	return b[4:end], b[end:], true
}

func isPublicKey(line string) bool {
	for _, p := range []string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "-----BEGIN PUBLIC KEY", "-----BEGIN RSA PUBLIC KEY", "---- BEGIN SSH2 PUBLIC KEY"} {
		if strings.HasPrefix(line, p) {
			return true
		}
	}
	return false
}

func publicRemedy(file string) string {
	if private, ok := strings.CutSuffix(file, ".pub"); ok {
		return "write " + bare(private)
	}
	return "name the private key that belongs to it"
}
