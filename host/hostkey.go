package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// Key is the public key of a host.
type Key struct {
	Type        string // ssh-ed25519, ecdsa-sha2-nistp256, ssh-rsa, ...
	Fingerprint string // SHA256:..., as ssh-keygen -l prints it
	Line        string // its line in known_hosts
}

func keyOf(endpoint string, k ssh.PublicKey) Key {
	if cert, ok := k.(*ssh.Certificate); ok {
		k = cert.Key
	}
	return Key{Type: k.Type(), Fingerprint: ssh.FingerprintSHA256(k), Line: knownhosts.Line([]string{endpoint}, k)}
}

// families are the host key algorithms that we accept, one row for each sort of key. RSA signs with SHA-2 only.
var families = [][]string{
	{ssh.KeyAlgoED25519},
	{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
	{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
}

// certificates are the same for host certificates. What a CA's own key is says nothing about the keys that it signs, so that one
// known CA means all of them.
var certificates = []string{
	ssh.CertAlgoED25519v01,
	ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
	ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
}

func modern() []string { return slices.Concat(families...) }

// algorithmsFor are the algorithms by which a host can show a key of this type.
func algorithmsFor(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// belief is what we hold true about the keys of one host.
type belief struct {
	endpoint string
	pins     []string              // fingerprints; when there are any, known is not asked
	known    *knownhosts.HostKeyDB // nil with pins
	source   string
	learn    bool // set by Trust, which wants to see keys: none is believed
}

// believe reads what is known of a host. A known_hosts file that does not exist knows nothing; it never means that anything goes.
func believe(a Address) (belief, error) {
	b := belief{endpoint: a.endpoint(), pins: a.HostKeys, source: "the inventory"}
	if len(b.pins) > 0 {
		for _, p := range b.pins {
			if !strings.HasPrefix(p, "SHA256:") {
				return b, a.fail("read the pinned host keys", fmt.Errorf("%q is not a SHA256 fingerprint", Printable(p)),
					"write fingerprints as ssh-keygen -l prints them: SHA256:...")
			}
		}
		return b, nil
	}
	file, err := knownHostsFile(a)
	if err != nil {
		return b, a.fail("read known hosts", err, "name the file with ssh.knownHostsFile, or pin the host's key with ssh.hostKeys")
	}
	b.source = file
	b.known, err = readKnownHosts(file)
	if err != nil {
		return b, a.fail("read known hosts", err, "correct or remove the line that the message names")
	}
	return b, nil
}

func knownHostsFile(a Address) (string, error) {
	if a.KnownHostsFile != "" {
		return fromHome(a.KnownHostsFile)
	}
	return fromHome("~/.ssh/known_hosts")
}

func readKnownHosts(file string) (*knownhosts.HostKeyDB, error) {
	db, err := knownhosts.NewDB(file)
	if errors.Is(err, fs.ErrNotExist) {
		return knownhosts.NewDB()
	}
	return db, err
}

// fromHome gives ~/ its meaning.
func fromHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, rest), err
}

// algorithms says how the host is asked to show its key. Only the types that we know are asked for: a host that has several keys
// would otherwise show one that we cannot compare, and look like an impostor.
func (b belief) algorithms() []string {
	if b.known == nil {
		return modern()
	}
	var algos []string
	for _, k := range b.known.HostKeys(b.endpoint) {
		more := algorithmsFor(k.Type())
		if k.Cert {
			more = certificates
		}
		for _, a := range more {
			if !slices.Contains(algos, a) {
				algos = append(algos, a)
			}
		}
	}
	if len(algos) == 0 {
		return modern()
	}
	return algos
}

// check says nil for a believed key, and otherwise why not.
func (b belief) check(remote net.Addr, key ssh.PublicKey) *KeyError {
	bad := &KeyError{Problem: KeyUnknown, Seen: []Key{keyOf(b.endpoint, key)}, Source: b.source}
	if b.learn {
		return bad
	}
	if b.known == nil {
		if slices.Contains(b.pins, ssh.FingerprintSHA256(key)) {
			return nil
		}
		bad.Problem, bad.Want = KeyChanged, b.pins
		return bad
	}
	err := b.known.HostKeyCallback()(b.endpoint, remote, key)
	var mismatch *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		bad.Problem = KeyRevoked
		return bad
	case errors.As(err, &mismatch):
		bad.Want = b.want()
		if len(bad.Want) > 0 {
			bad.Problem = KeyChanged
		}
		return bad
	}
	bad.Problem, bad.Why = KeyCertificate, errors.New(Printable(err.Error()))
	return bad
}

// want lists the fingerprints of the keys that are known of this very host; a CA's key is not one of them.
func (b belief) want() []string {
	if b.known == nil {
		return b.pins
	}
	var prints []string
	for _, k := range b.known.HostKeys(b.endpoint) {
		if !k.Cert {
			prints = append(prints, ssh.FingerprintSHA256(k.PublicKey))
		}
	}
	return prints
}

// keyRemedy says what a person does about a key that is not believed.
func keyRemedy(e *KeyError, a Address) string {
	switch {
	case e.Problem == KeyUnknown:
		return "compare the fingerprint with the one on the host's console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then run: " +
			"kubewright trust " + a.Name + "; or pin it in the inventory with ssh.hostKeys"
	case e.Problem == KeyRevoked:
		return "give the host a new key; this one must not be used any more"
	case e.Problem == KeyCertificate:
		return "have the host's certificate signed for " + a.Addr + " by the authority in " + e.Source
	case len(a.HostKeys) > 0:
		return "if the host was reinstalled, compare its fingerprint on its console and correct ssh.hostKeys in the inventory; if it was not, somebody is between you and it"
	}
	return "if the host was reinstalled, compare its fingerprint on its console and remove the old key with: ssh-keygen -R '" +
		knownhosts.Normalize(a.endpoint()) + "' -f " + e.Source + "; if it was not, somebody is between you and it"
}
